/** Fault 11 of docs/faults.md for the host cleaner: another process gets the pid of an orphan before its signal. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { canChoosePids, hasStrace, runInPidNamespace, withoutPidfd } from '../../support/pid-namespace.ts';

/** Nightly runs ask for more. */
const rounds = Number(process.env.HOLDFAST_TEST_ROUNDS ?? 10);
const script = join(import.meta.dirname, 'fixtures', 'recycle-orphans.ts');

const ci = process.env.CI === 'true';
if (!canChoosePids) {
  console.warn(
    'SKIPPED: recycled pids need a pid namespace: run as root, or allow user namespaces, with unshare of the package util-linux',
  );
}
if (!hasStrace) {
  console.warn('SKIPPED: recycled pids without pidfd need the package strace');
}

const untouched = {
  status: 0,
  output: `${JSON.stringify({ recycled: rounds, harmed: 0, controlEnded: true })}\n`,
};

test.skipIf(!canChoosePids && !ci)(
  'whoever has the pid of an orphan now gets no signal, even when it is an orphan itself',
  { timeout: 300_000 },
  () => {
    expect(runInPidNamespace(script, [String(rounds)])).toMatchObject(untouched);
  },
);

test.skipIf((!canChoosePids || !hasStrace) && !ci)(
  'whoever has it gets no signal where the kernel has no pidfd',
  { timeout: 300_000 },
  () => {
    expect(runInPidNamespace(script, [String(rounds)], withoutPidfd)).toMatchObject(untouched);
  },
);
