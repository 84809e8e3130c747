/**
 * Runs the benchmarks and keeps what they found.
 *
 *     npm run bench                      every area
 *     npm run bench -- stream spawn      these areas; the figures of the others are kept
 *
 * An area is a file of this folder that calls `report` (support/report.ts), or just prints. HOLDFAST_BENCH_ROUNDS sets
 * how often each candidate is measured. Results: bench/results/latest.json, and the table and the chart of
 * docs/performance.md.
 */
import { fork } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { keepResults } from './support/keep.ts';
import type { Row } from './support/report.ts';

const areas = readdirSync(import.meta.dirname, { withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && entry.name !== 'run.ts')
  .map(({ name }) => name.slice(0, -'.ts'.length));
const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !areas.includes(name));
if (unknown.length > 0) {
  console.error(`no such area: ${unknown.join(', ')}; there are: ${areas.join(', ')}`);
  process.exit(2);
}

for (const area of wanted.length > 0 ? wanted : areas) {
  console.log(`== ${area}`);
  const rows: Row[] = [];
  const child = fork(join(import.meta.dirname, `${area}.ts`));
  child.on('message', (message) => rows.push(...(message as Row[])));
  const code = await new Promise((resolve) => child.once('close', resolve));
  if (code !== 0) {
    console.error(`${area} ended with ${code}`);
    process.exitCode = 1;
  }
  // After each area, so that a run that is stopped keeps what it has.
  if (rows.length > 0) {
    keepResults(area, rows);
  }
}
