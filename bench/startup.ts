/** `-version` from source, from the start of `bin/holdfast` to its end, against an empty script on the same Node. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { program } from '../test/support/holdfast.ts';
import { interleave, roundsOr, run } from './support/processes.ts';
import { against, report } from './support/report.ts';
import { needed } from './support/yardsticks.ts';

const client = needed('start_time');
const folder = mkdtempSync('/tmp/hfb-');
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const empty = `${folder}/empty.mjs`;
writeFileSync(empty, '');
const samples = await interleave(roundsOr(25), {
  holdfast: () => run(client, [program, '-version']),
  empty: () => run(client, [process.execPath, empty]),
});

report(
  against(
    'an empty script',
    (samples.empty ?? []).map(({ ms = 0 }) => ms),
    {
      area: 'startup',
      what: '`-version` from source',
      unit: 'ms',
      target: { atMost: 1.15 },
      ours: (samples.holdfast ?? []).map(({ ms = 0 }) => ms),
    },
  ),
);
