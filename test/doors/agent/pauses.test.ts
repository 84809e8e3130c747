/** The pauses of the contract, which other tests shorten (spec agent.md §4, §5, §9-11). */
import { expect, test } from 'vitest';
import { agentTimings, Backoff } from '../../../src/doors/agent/pauses.ts';

test('the pauses are those of the contract: 15: a refused token is tried every 60 s', () => {
  expect(agentTimings).toEqual({
    backoffMs: 1000,
    backoffMaxMs: 60_000,
    refusedMs: 60_000,
    unknownSessionMs: 60_000,
    pollMaxMs: 60_000,
    graceMs: 5000,
    lastFlushMs: 10_000,
    // The contract wants it within 250 ms.
    statusSoonMs: 200,
    listedMs: 600_000,
    sameErrorMs: 10_000,
  });
});

test('a queue that fails waits 1, 2, 4 … 60 s, each times 0.8 to 1.2, and begins anew after a success', () => {
  const backoff = new Backoff(agentTimings);
  for (const seconds of [1, 2, 4, 8, 16, 32, 60, 60, 60]) {
    const pause = backoff.next();
    expect(pause).toBeGreaterThanOrEqual(800 * seconds);
    expect(pause).toBeLessThanOrEqual(1200 * seconds);
  }
  backoff.reset();
  expect(backoff.next()).toBeLessThanOrEqual(1200);
});
