/** Child to client: 64 KiB writes of a child, one client that reads as fast as it can. Throughput and CPU time. */

import { interleave, roundsOr } from './support/processes.ts';
import { against, report } from './support/report.ts';
import { streamCandidates } from './support/stream-candidates.ts';

const area = 'stream';
await using candidates = await streamCandidates({ bytes: 600_000_000, writeBytes: 65_536 });
const { holdfast = [], goStd, floor } = await interleave(roundsOr(5), candidates.samples);
const mbs = holdfast.map(({ mbs = 0 }) => mbs);

report([
  ...against(
    'go_std',
    goStd?.map(({ mbs = 0 }) => mbs),
    {
      area,
      what: 'stream, 64 KiB writes',
      unit: 'MB/s',
      target: { atLeast: 1.7 },
      ours: mbs,
    },
  ),
  ...against(
    'go_std',
    goStd?.map(({ cpu = 0 }) => cpu),
    {
      area,
      what: 'stream, CPU time of the daemon',
      unit: 's/GB',
      target: { atMost: 0.55 },
      ours: holdfast.map(({ cpu = 0 }) => cpu),
    },
  ),
  ...against(
    'stream_floor',
    floor?.map(({ mbs = 0 }) => mbs),
    {
      area,
      what: 'stream against the floor in C',
      unit: 'MB/s',
      target: { atLeast: 0.65 },
      ours: mbs,
    },
  ),
]);
