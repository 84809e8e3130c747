/**
 * What one request can cost (issue "bytes have a budget"): twice as much of anything costs at most about twice as much.
 * Measured as processor time of the daemon's thread, which a busy machine does not change much, with a ratio that only a
 * cost of another order exceeds: of quadratic work twice as much costs four times as much.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { contractMethods, extensionMethods } from '../../../src/doors/rpc/methods/all.ts';
import { maxLineBytes } from '../../../src/wire/line-reader.ts';
import { largeParts } from '../../tools/large-requests.ts';
import { ServedInProcess } from '../../tools/served-in-process.ts';

/** What doubling may cost, and from which cost on it is looked at: less is noise. */
const mostTimes = 3;
const noiseMs = 4;
const size = 240_000;
/** Rounds; the least cost of all counts. */
const rounds = 6;

const methods = [...contractMethods, ...extensionMethods].map(({ name }) => name);
const parts = largeParts(methods);
let served: ServedInProcess;
let serial = 1;

beforeAll(async () => {
  served = await ServedInProcess.start('latest');
  await served.cost(
    JSON.stringify({
      ...{ jsonrpc: '2.0', auth: served.token, id: 0, method: 'process.spawn' },
      params: { id: 'held', command: 'sleep', args: ['3600'] },
    }),
  );
});

afterAll(() => served[Symbol.asyncDispose]());

async function leastOf(line: (serial: number) => string, before: number): Promise<number> {
  return Math.min(before, (await served.cost(line(serial++))).totalMs);
}

describe('twice as much costs no more than about twice as much', () => {
  test.each(parts)('$name', async ({ line }) => {
    const once = (id: number) => line(size, served.token, id);
    const twice = (id: number) => line(2 * size, served.token, id);
    let [single, double] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
    for (let round = 0; round < rounds; round++) {
      single = await leastOf(once, single);
      double = await leastOf(twice, double);
      if (round > 0 && (double < noiseMs || double < mostTimes * single)) {
        return;
      }
    }
    expect({ single, double }, 'milliseconds of processor time').toMatchObject({
      double: `at most ${mostTimes * single}`,
    });
  });
});

test('the report: what the dearest requests that fit a line cost, in the longest turn of the event loop', async () => {
  const costs: { name: string; longestMs: number }[] = [];
  for (const { name, line } of parts) {
    const whole = line(maxLineBytes - 12_000, served.token, serial++);
    expect(Buffer.byteLength(whole), name).toBeLessThanOrEqual(maxLineBytes);
    const first = await served.cost(whole);
    const second = await served.cost(whole);
    costs.push({ name, longestMs: Math.min(first.longestMs, second.longestMs) });
  }
  costs.sort((a, b) => b.longestMs - a.longestMs);
  const lines = costs.slice(0, 12).map(({ name, longestMs }) => `${longestMs.toFixed(1).padStart(7)} ms  ${name}`);
  console.info(`longest turn of the event loop for one request, processor time:\n${lines.join('\n')}`);
  expect(costs.length).toBe(parts.length);
});
