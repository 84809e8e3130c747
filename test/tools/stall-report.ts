/**
 * Runs tests and tells the longest stalls of all daemons they have started:
 *
 *     node test/tools/stall-report.ts [words for vitest]
 *
 * or tells those that a run with HOLDFAST_TEST_STALLS=<file> has written down, as `.ci/run` does:
 *
 *     node test/tools/stall-report.ts --of <file>
 *
 * Nothing is asserted: a machine that is busy, or slow, is no fault. What comes before a daemon listens does not count.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { leastMs, type Stall } from './stall-watch.ts';

const shown = 15;

if (process.argv[2] === '--of') {
  tell(process.argv[3] ?? '');
} else {
  process.exitCode = runAndTell(process.argv.slice(2));
}

/** @returns the exit code of the tests */
function runAndTell(words: readonly string[]): number {
  const folder = mkdtempSync('/tmp/hf-stalls-');
  const file = join(folder, 'stalls');
  writeFileSync(file, '');
  const vitest = fileURLToPath(new URL('../../node_modules/vitest/vitest.mjs', import.meta.url));
  const { status } = spawnSync(process.execPath, [vitest, 'run', ...words], {
    stdio: 'inherit',
    env: { ...process.env, HOLDFAST_TEST_STALLS: file, HOLDFAST_TEST_STALLS_OF: 'all' },
  });
  tell(file);
  rmSync(folder, { recursive: true });
  return status ?? 1;
}

function tell(file: string): void {
  const longest = new Map<number, Stall>();
  for (const line of readFileSync(file, 'utf8').split('\n').filter(Boolean)) {
    const stall = JSON.parse(line) as Stall;
    // A number of an ended process comes again.
    const before = longest.get(stall.pid);
    if (before === undefined || lengthOf(before) < lengthOf(stall)) {
      longest.set(stall.pid, stall);
    }
  }
  const stalls = [...longest.values()].sort((a, b) => lengthOf(b) - lengthOf(a)).slice(0, shown);
  console.log('\nLongest turns of the event loop of the daemons, in milliseconds of processor time:');
  if (stalls.length === 0) {
    console.log(`        none of ${leastMs} or more`);
  }
  for (const stall of stalls) {
    console.log(`${lengthOf(stall).toFixed(0).padStart(6)}  ${stall.test}`);
  }
}

function lengthOf({ busyMs, lateMs }: Stall): number {
  return Math.min(busyMs, lateMs);
}
