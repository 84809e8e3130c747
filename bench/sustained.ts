/** `server.ping`, 64 in flight, for about a minute: whether the rate holds, and whether the daemon grows by it. */
import { startDaemon } from '../test/support/daemon.ts';
import { memoryOf, roundsOr, run } from './support/processes.ts';
import { absolute, report } from './support/report.ts';
import { needed } from './support/yardsticks.ts';

const area = 'sustained';
/** Some five seconds each. */
const slices = roundsOr(12);
const pings = 2_000_000;
const client = needed('ping_client');
await using daemon = await startDaemon();
const rates: number[] = [];
const memory: number[] = [];
for (let slice = 0; slice < slices; slice++) {
  const { rate = 0 } = await run(client, [daemon.socket, daemon.token, pings, 64]);
  rates.push(rate);
  memory.push(memoryOf(daemon.pid()).private);
}

report([
  absolute({
    area,
    what: `server.ping for a minute, ${(slices * pings) / 1e6} million of them: the slowest slice`,
    unit: '/s',
    target: { atLeast: 100_000 },
    ours: [Math.min(...rates)],
  }),
  absolute({
    area,
    what: 'the same: private memory at the end less that after the first slice',
    unit: 'MB',
    target: { atMost: 2 },
    ours: [(memory.at(-1) ?? 0) - (memory[0] ?? 0)],
  }),
]);
