/** server.ping on one connection, one at a time, while the child of another connection floods. */
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../../src/client/index.ts';
import { ended, type Figures, run } from './processes.ts';
import { needed } from './yardsticks.ts';

const pings = 1_500;
/** Bounded, should nobody end it. */
export const floodingChild = [needed('noise'), '8000000000', '65536'];
let floods = 0;

interface Place {
  readonly socket: string;
  readonly token: string;
}

/** @param end ends the child; a yardstick does so by itself */
export async function pingDuringFlood(
  { socket, token }: Place,
  end: (processId: string) => Promise<unknown> = async () => {},
): Promise<Figures> {
  const processId = `flood${++floods}`;
  const words = [socket, token, processId, 'spawn', '0', ...floodingChild];
  const reader = spawn(needed('stream_client'), words, { stdio: 'ignore' });
  const readerEnd = ended(reader);
  // Until the flood has filled the window once.
  await sleep(300);
  const figures = await run(needed('ping_client'), [socket, token, pings, 1]);
  const whole = reader.exitCode === null;
  reader.kill('SIGKILL');
  await readerEnd;
  await end(processId);
  // The reader was so late that the daemon dropped it: there was no flood to the end.
  return whole ? figures : pingDuringFlood({ socket, token }, end);
}

/** Ends the child of a daemon of ours. */
export async function endFlood({ socket, token }: Place, processId: string): Promise<void> {
  await using host = await connect({ socket, token });
  await host.process.killAndWait({ id: processId, signal: 'SIGKILL' });
}
