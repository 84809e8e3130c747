/** Fault 11 of docs/faults.md: an innocent process gets the pid of a recorded child. */
import { join } from 'node:path';
import { expect } from 'vitest';
import { testNeeding, tracing } from '../../support/needs.ts';
import { chosenPids, runInPidNamespace, withoutPidfd } from '../../support/pid-namespace.ts';

/** Nightly runs ask for ten thousand. */
const rounds = Number(process.env.HOLDFAST_TEST_ROUNDS ?? 25);
const script = join(import.meta.dirname, 'fixtures', 'recycle-pids.ts');

const run = (through: readonly string[]) => runInPidNamespace(script, [String(rounds)], through);

const untouched = {
  status: 0,
  output: `${JSON.stringify({ recycled: rounds, harmed: 0, recycledBetween: rounds, harmedBetween: 0, controlEnded: 1 })}\n`,
};

testNeeding(chosenPids())('whoever has the pid of a recorded child now is left alone', { timeout: 300_000 }, () => {
  expect(run([])).toMatchObject(untouched);
});

testNeeding(chosenPids(), tracing())(
  'whoever has it is left alone where the kernel has no pidfd',
  { timeout: 300_000 },
  () => {
    expect(run(withoutPidfd)).toMatchObject(untouched);
  },
);
