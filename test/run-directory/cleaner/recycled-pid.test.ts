/** Fault 11 of docs/faults.md for the host cleaner: another process gets the pid of an orphan before its signal. */
import { join } from 'node:path';
import { expect } from 'vitest';
import { testNeeding, tracing } from '../../support/needs.ts';
import { chosenPids, runInPidNamespace, withoutPidfd } from '../../support/pid-namespace.ts';

/** Nightly runs ask for more. */
const rounds = Number(process.env.HOLDFAST_TEST_ROUNDS ?? 10);
const script = join(import.meta.dirname, 'fixtures', 'recycle-orphans.ts');

const untouched = {
  status: 0,
  output: `${JSON.stringify({ recycled: rounds, harmed: 0, controlEnded: true })}\n`,
};

testNeeding(chosenPids())(
  'whoever has the pid of an orphan now gets no signal, even when it is an orphan itself',
  { timeout: 300_000 },
  () => {
    expect(runInPidNamespace(script, [String(rounds)])).toMatchObject(untouched);
  },
);

testNeeding(chosenPids(), tracing())(
  'whoever has it gets no signal where the kernel has no pidfd',
  { timeout: 300_000 },
  () => {
    expect(runInPidNamespace(script, [String(rounds)], withoutPidfd)).toMatchObject(untouched);
  },
);
