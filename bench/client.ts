/** The client library against a client in C that only looks for line ends: the output of one child, as fast as it can be read. */
import { fileURLToPath } from 'node:url';
import { startDaemon } from '../test/support/daemon.ts';
import { interleave, roundsOr, run } from './support/processes.ts';
import { against, report } from './support/report.ts';
import { needed } from './support/yardsticks.ts';

const bytes = 600_000_000;
const script = fileURLToPath(new URL('./support/library-client.ts', import.meta.url));

await using daemon = await startDaemon();
const inC = needed('stream_client');
const child = [needed('noise'), String(bytes), '65536'];
let count = 0;

const { library = [], c } = await interleave(roundsOr(5), {
  library: async () => {
    const figures = await run(process.execPath, [script, daemon.socket, daemon.token, `l${++count}`, ...child]);
    if (figures.bytes !== bytes) {
      throw new Error(`${figures.bytes} bytes came instead of ${bytes}`);
    }
    return { mbs: bytes / 1e6 / (figures.seconds ?? Number.NaN) };
  },
  c: async () => {
    const { seconds = Number.NaN } = await run(inC, [daemon.socket, daemon.token, `c${++count}`, 'spawn', 0, ...child]);
    return { mbs: bytes / 1e6 / seconds };
  },
});

report(
  against(
    'stream_client',
    c?.map(({ mbs = 0 }) => mbs),
    {
      area: 'client',
      what: 'client library, output of one session',
      unit: 'MB/s',
      target: { atLeast: 0.5 },
      ours: library.map(({ mbs = 0 }) => mbs),
    },
  ),
);
