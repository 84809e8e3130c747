/** A thousand idle sessions: private memory of the daemon for each, and what they cost a session that streams. */
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../src/client/index.ts';
import { startDaemon, type TestDaemon } from '../test/support/daemon.ts';
import { cpuSeconds, interleave, memoryOf, roundsOr, run } from './support/processes.ts';
import { absolute, against, report } from './support/report.ts';
import { needed } from './support/yardsticks.ts';

const area = 'sessions';
const idle = 1_000;
const client = needed('stream_client');
const flood = [needed('noise'), '200000000', '65536'];
await using alone = await startDaemon();
await using crowded = await startDaemon();
await using spawner = await connect({ socket: crowded.socket, token: crowded.token });

/** Long enough for the daemon to count as idle and to give back what was garbage. */
const idleMs = 8_000;
await sleep(idleMs);
const before = memoryOf(crowded.pid()).private;
for (let first = 0; first < idle; first += 100) {
  await Promise.all(
    Array.from({ length: 100 }, (_, index) => spawner.spawn({ id: `idle${first + index}`, command: '/bin/cat' })),
  );
}
await sleep(idleMs);
const perSession = ((memoryOf(crowded.pid()).private - before) * 1e6) / 1024 / idle;

let streams = 0;
/** CPU time of the daemon for one stream: what a session costs others shows there, whatever else the machine does. */
const sampleOf =
  ({ pid, socket, token }: { readonly pid: number; readonly socket: string; readonly token: string }) =>
  async () => {
    for (;;) {
      const begin = cpuSeconds(pid);
      const words = [socket, token, `s${++streams}`, 'spawn', 0, ...flood];
      // A client that stood still for a whole window was dropped: measured again.
      const figures = await run(client, words).catch(() => undefined);
      if (figures !== undefined) {
        return { cpu: (cpuSeconds(pid) - begin) / 0.2 };
      }
    }
  };
const samples = await interleave(roundsOr(9), {
  alone: sampleOf(placeOf(alone)),
  crowded: sampleOf(placeOf(crowded)),
});

report([
  absolute({
    area,
    what: '1,000 idle sessions, private memory each',
    unit: 'KiB',
    target: { atMost: 24 },
    ours: [perSession],
  }),
  ...against(
    'a daemon without them',
    (samples.alone ?? []).map(({ cpu = 0 }) => cpu),
    {
      area,
      what: 'stream beside 1,000 idle sessions, CPU time',
      unit: 's/GB',
      target: { atMost: 1.1 },
      ours: (samples.crowded ?? []).map(({ cpu = 0 }) => cpu),
    },
  ),
]);

function placeOf(daemon: TestDaemon) {
  return { pid: daemon.pid(), socket: daemon.socket, token: daemon.token };
}
