/** `holdfast reconcile` in small random worlds of processes; what was made there is the oracle (fixtures/reconcile-rounds.ts). */
import { join } from 'node:path';
import { expect } from 'vitest';
import { testNeeding } from '../support/needs.ts';
import { chosenPids, runInPidNamespace } from '../support/pid-namespace.ts';

const isLong = process.env.HOLDFAST_FULL_FAULTS === '1';
const rounds = isLong ? 10_000 : 40;
const script = join(import.meta.dirname, 'fixtures', 'reconcile-rounds.ts');

testNeeding(chosenPids())(
  'every verdict is right, no orphan is missed and nobody else is signalled, in random worlds of processes',
  { timeout: isLong ? 7_200_000 : 280_000 },
  () => {
    const seed = Number(process.env.HOLDFAST_SEED ?? 1 + Math.floor(Math.random() * 2 ** 31));
    const { status, output, errors } = runInPidNamespace(script, [String(rounds), String(seed)], [], {
      timeoutMs: isLong ? 7_000_000 : 270_000,
    });
    const last = output.trim().split('\n').at(-1) ?? '';
    expect({ status, faults: output.trim().split('\n').slice(0, -1) }, errors).toEqual({ status: 0, faults: [] });
    const counts = JSON.parse(last);
    console.log(`reconcile: seed ${seed}: ${last}`);
    expect(counts).toMatchObject({ rounds, wrong: 0 });
    expect(counts.claims).toBeGreaterThan(rounds);
    expect(counts.orphansEnded).toBeGreaterThan(0);
  },
);
