/** `-bridge` against Go's io.Copy: echoes of 100 bytes, throughput and CPU time towards the client. */
import { mkdtempSync, rmSync } from 'node:fs';
import { program } from '../test/support/holdfast.ts';
import { interleave, roundsOr, run } from './support/processes.ts';
import { against, report } from './support/report.ts';
import { needed, yardstick } from './support/yardsticks.ts';

const area = 'bridge';
const megabytes = 1_000;
const client = needed('bridge_client');
const goBridge = yardstick('go_bridge');
const folder = mkdtempSync('/tmp/hfb-');
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const socket = `${folder}/s`;
const { holdfast = [], go } = await interleave(roundsOr(3), {
  holdfast: () => run(client, [socket, megabytes, program, '-bridge', '-socket', socket]),
  ...(goBridge && { go: () => run(client, [socket, megabytes, goBridge, socket]) }),
});
const theirs = (name: string) => go?.map((figures) => figures[name] ?? 0);
const ours = (name: string) => holdfast.map((figures) => figures[name] ?? 0);

report([
  ...against('go_bridge', theirs('p50'), {
    area,
    what: '`-bridge`, echo of 100 bytes, p50',
    unit: 'us',
    target: { atMost: 0.8 },
    ours: ours('p50'),
  }),
  ...against('go_bridge', theirs('downMBs'), {
    area,
    what: '`-bridge`, throughput to the client',
    unit: 'MB/s',
    target: { atLeast: 0.7 },
    ours: ours('downMBs'),
  }),
  ...against('go_bridge', theirs('downCpuPerGB'), {
    area,
    what: '`-bridge`, CPU time',
    unit: 's/GB',
    target: { atMost: 1.1 },
    ours: ours('downCpuPerGB'),
  }),
]);
