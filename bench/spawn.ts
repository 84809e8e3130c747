/** Processes a second: `true` with three pipes, eight at a time; ours through the daemon, with requests, frames and log. */
import { startDaemon } from '../test/support/daemon.ts';
import { interleave, roundsOr, run } from './support/processes.ts';
import { against, report } from './support/report.ts';
import { needed, yardstick } from './support/yardsticks.ts';

const count = 1_000;
const inFlight = 8;
const client = needed('spawn_client');
const goSpawn = yardstick('go_spawn');
await using daemon = await startDaemon();
let runs = 0;
const samples = await interleave(roundsOr(5), {
  holdfast: () => run(client, [daemon.socket, daemon.token, `r${++runs}-`, count, inFlight, '/bin/true']),
  ...(goSpawn && { go: () => run(goSpawn, [count, inFlight, 0]) }),
});

report(
  against(
    'go_spawn',
    samples.go?.map(({ rate = 0 }) => rate),
    {
      area: 'spawn',
      what: 'spawn `true` with three pipes, 8 at a time',
      unit: '/s',
      target: { atLeast: 0.85 },
      ours: (samples.holdfast ?? []).map(({ rate = 0 }) => rate),
    },
  ),
);
