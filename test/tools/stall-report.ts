/**
 * Runs tests and tells the longest stalls of all daemons they have started:
 *
 *     node test/tools/stall-report.ts [words for vitest]
 *
 * Nothing is asserted: a machine that is busy, or slow, is no fault. What comes before a daemon listens does not count.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Stall } from './stall-watch.ts';

const shown = 15;
const folder = mkdtempSync('/tmp/hf-stalls-');
const file = join(folder, 'stalls');
writeFileSync(file, '');
const vitest = fileURLToPath(new URL('../../node_modules/vitest/vitest.mjs', import.meta.url));
const { status } = spawnSync(process.execPath, [vitest, 'run', ...process.argv.slice(2)], {
  stdio: 'inherit',
  env: { ...process.env, HOLDFAST_TEST_STALLS: file },
});
const longest = new Map<number, Stall>();
for (const line of readFileSync(file, 'utf8').split('\n').filter(Boolean)) {
  const stall = JSON.parse(line) as Stall;
  longest.set(stall.pid, stall);
}
rmSync(folder, { recursive: true });
const stalls = [...longest.values()].sort((a, b) => lengthOf(b) - lengthOf(a)).slice(0, shown);
console.log('\nLongest turns of the event loop, in milliseconds of processor time:');
for (const stall of stalls) {
  console.log(`${lengthOf(stall).toFixed(0).padStart(6)}  ${stall.test}`);
}
process.exitCode = status ?? 1;

function lengthOf({ busyMs, lateMs }: Stall): number {
  return Math.min(busyMs, lateMs);
}
