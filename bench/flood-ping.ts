/** server.ping on one connection, one at a time, while the child of another connection floods. */
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../src/client/index.ts';
import { startDaemon } from '../test/support/daemon.ts';
import { ended, type Figures, interleave, roundsOr, run, startServer } from './support/processes.ts';
import { against, report } from './support/report.ts';
import { needed, yardstick } from './support/yardsticks.ts';

const pings = 1_500;
const ping = needed('ping_client');
const stream = needed('stream_client');
/** Bounded, should nobody end it. */
const child = [needed('noise'), '8000000000', '65536'];
await using daemon = await startDaemon();
await using goStd = await startServer(yardstick('go_std'), ({ socket }) => [socket, ...child]);
let floods = 0;

/** @param end ends the child */
async function duringFlood(
  { socket, token }: { readonly socket: string; readonly token: string },
  end: (processId: string) => Promise<unknown>,
): Promise<Figures> {
  const processId = `flood${++floods}`;
  const reader = spawn(stream, [socket, token, processId, 'spawn', '0', ...child], { stdio: 'ignore' });
  const readerEnd = ended(reader);
  // Until the flood has filled the window once.
  await sleep(300);
  const figures = await run(ping, [socket, token, pings, 1]);
  const whole = reader.exitCode === null;
  reader.kill('SIGKILL');
  await readerEnd;
  await end(processId);
  // The reader was so late that the daemon dropped it: there was no flood to the end.
  return whole ? figures : duringFlood({ socket, token }, end);
}

async function kill(processId: string): Promise<void> {
  await using host = await connect({ socket: daemon.socket, token: daemon.token });
  await host.process.killAndWait({ id: processId, signal: 'SIGKILL' });
}

const samples = await interleave(roundsOr(5), {
  holdfast: () => duringFlood(daemon, kill),
  ...(goStd && { goStd: () => duringFlood(goStd, async () => {}) }),
});

report(
  against(
    'go_std',
    samples.goStd?.map(({ p50 = 0 }) => p50),
    {
      area: 'flood-ping',
      what: 'server.ping while another child floods, p50',
      unit: 'us',
      target: { atMost: 3 },
      ours: (samples.holdfast ?? []).map(({ p50 = 0 }) => p50),
    },
  ),
);
