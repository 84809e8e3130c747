/** A thousand idle sessions: private memory of the daemon for each, and what they cost a session that streams. */
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../test/support/client.ts';
import { startDaemon } from '../test/support/daemon.ts';
import { interleave, memoryOf, roundsOr, run } from './support/processes.ts';
import { absolute, against, report } from './support/report.ts';
import { needed } from './support/yardsticks.ts';

const area = 'sessions';
const idle = 1_000;
const client = needed('stream_client');
const flood = [needed('noise'), '200000000', '65536'];
await using alone = await startDaemon();
await using crowded = await startDaemon();
await using spawner = await connect(crowded, { keep: 'figures' });

/** Long enough for the daemon to count as idle and to give back what was garbage. */
const idleMs = 8_000;
await sleep(idleMs);
const before = memoryOf(crowded.pid()).private;
for (let first = 0; first < idle; first += 100) {
  await Promise.all(Array.from({ length: 100 }, (_, index) => spawner.spawn(`idle${first + index}`, '/bin/cat')));
}
await sleep(idleMs);
const perSession = ((memoryOf(crowded.pid()).private - before) * 1e6) / 1024 / idle;

let streams = 0;
const sampleOf =
  ({ socket, token }: { readonly socket: string; readonly token: string }) =>
  async () => {
    for (;;) {
      const words = [socket, token, `s${++streams}`, 'spawn', 0, ...flood];
      // A client that stood still for a whole window was dropped: measured again.
      const figures = await run(client, words).catch(() => undefined);
      if (figures !== undefined) return { mbs: 200 / (figures.seconds ?? 0) };
    }
  };
const samples = await interleave(roundsOr(5), { alone: sampleOf(alone), crowded: sampleOf(crowded) });

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
    (samples.alone ?? []).map(({ mbs = 0 }) => mbs),
    {
      area,
      what: 'stream beside 1,000 idle sessions',
      unit: 'MB/s',
      target: { atLeast: 0.9 },
      ours: (samples.crowded ?? []).map(({ mbs = 0 }) => mbs),
    },
  ),
]);
