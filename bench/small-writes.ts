/** As `stream`, with a child that writes 200 bytes at a time. */
import { interleave, roundsOr } from './support/processes.ts';
import { against, report } from './support/report.ts';
import { streamCandidates } from './support/stream-candidates.ts';

await using candidates = await streamCandidates({ bytes: 100_000_000, writeBytes: 200 });
const { holdfast = [], goStd } = await interleave(roundsOr(5), candidates.samples);

report(
  against(
    'go_std',
    goStd?.map(({ mbs = 0 }) => mbs),
    {
      area: 'small-writes',
      what: 'stream, 200-byte writes',
      unit: 'MB/s',
      target: { atLeast: 1 },
      ours: holdfast.map(({ mbs = 0 }) => mbs),
    },
  ),
);
