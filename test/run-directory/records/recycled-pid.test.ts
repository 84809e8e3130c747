/** Fault 11 of docs/faults.md: an innocent process gets the pid of a recorded child. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { canChoosePids, hasStrace, runInPidNamespace, withoutPidfd } from '../../support/pid-namespace.ts';

/** Nightly runs ask for ten thousand. */
const rounds = Number(process.env.HOLDFAST_TEST_ROUNDS ?? 25);
const script = join(import.meta.dirname, 'fixtures', 'recycle-pids.ts');

const ci = process.env.CI === 'true';
if (!canChoosePids) {
  console.warn(
    'SKIPPED: recycled pids need a pid namespace: run as root, or allow user namespaces, with unshare of the package util-linux',
  );
}
if (!hasStrace) {
  console.warn('SKIPPED: recycled pids without pidfd need the package strace');
}

const run = (through: readonly string[]) => runInPidNamespace(script, [String(rounds)], through);

const untouched = {
  status: 0,
  output: `${JSON.stringify({ recycled: rounds, harmed: 0, recycledBetween: rounds, harmedBetween: 0, controlEnded: 1 })}\n`,
};

test.skipIf(!canChoosePids && !ci)(
  'whoever has the pid of a recorded child now is left alone',
  { timeout: 300_000 },
  () => {
    expect(run([])).toMatchObject(untouched);
  },
);

test.skipIf((!canChoosePids || !hasStrace) && !ci)(
  'whoever has it is left alone where the kernel has no pidfd',
  { timeout: 300_000 },
  () => {
    expect(run(withoutPidfd)).toMatchObject(untouched);
  },
);
