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
import { threadMs } from '../../tools/thread-clock.ts';

/** What doubling may cost, and from which cost on it is looked at: less is noise. */
const mostTimes = 3;
const noiseMs = 2;
const size = 240_000;
/**
 * Rounds at most; the least cost of all counts. Processor time can only be too high (garbage of others, a cache that somebody
 * else has emptied), so the least of many is what the request costs, and the first two rounds nearly always tell.
 */
const rounds = 40;

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

interface Growth {
  /** Least processor time of the request, and of the one twice as large, in milliseconds. */
  readonly single: number;
  readonly double: number;
  /** The larger one cost no more than about twice as much. */
  readonly isLinear: boolean;
}

async function growthOf(
  line: (size: number, token: string, serial: number) => string,
  by: ServedInProcess,
): Promise<Growth> {
  const cost = async (bytes: number) => (await by.cost(line(bytes, by.token, serial++))).totalMs;
  let [single, double] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  let isLinear = false;
  for (let round = 0; round < rounds && !isLinear; round++) {
    single = Math.min(single, await cost(size));
    double = Math.min(double, await cost(2 * size));
    isLinear = round > 0 && (double < noiseMs || double < mostTimes * single);
  }
  return { single, double, isLinear };
}

describe('twice as much costs no more than about twice as much', () => {
  test.each(parts)('$name', async ({ line }) => {
    expect(await growthOf(line, served), 'milliseconds of processor time').toMatchObject({ isLinear: true });
  });
});

test('work that is quadratic is seen as such', async () => {
  let looked = 0;
  await using slow = await ServedInProcess.start('latest', {
    // For each 100 bytes a look at the whole line.
    received: (line) => {
      for (let at = 0; at < line.length; at += 100) {
        looked += line.indexOf(0);
      }
    },
    sent: () => {},
  });
  const line = (bytes: number, token: string, id: number) =>
    JSON.stringify({ jsonrpc: '2.0', auth: token, id, method: 'server.ping', unknown: 'x'.repeat(bytes) });
  expect(await growthOf(line, slow)).toMatchObject({ isLinear: false });
  expect(looked).toBeLessThan(0);
});

/** What a request may hold up the others, in milliseconds of processor time of the thread that has the event loop. */
const longestTurnMs = 50;
/** Tries of a request that took longer: what it really costs it costs in each of them, and garbage of others only in some. */
const tries = 5;

/** The longest turn of the event loop that a line takes, by the best try. */
async function longestTurn(line: string, by: ServedInProcess): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let count = 0; count < tries && least > longestTurnMs; count++) {
    least = Math.min(least, (await by.cost(line)).longestMs);
  }
  return least;
}

test('no request that fits a line holds the event loop for more than 50 ms; the report tells the longest turns', {
  timeout: 300_000,
}, async () => {
  const turns: { name: string; ms: number }[] = [];
  for (const { name, line } of parts) {
    const whole = line(maxLineBytes - 12_000, served.token, serial++);
    expect(Buffer.byteLength(whole), name).toBeLessThanOrEqual(maxLineBytes);
    turns.push({ name, ms: await longestTurn(whole, served) });
  }
  turns.sort((a, b) => b.ms - a.ms);
  const lines = turns.slice(0, 12).map(({ name, ms }) => `${ms.toFixed(1).padStart(7)} ms  ${name}`);
  console.info(`longest turn of the event loop for one request, processor time:\n${lines.join('\n')}`);
  expect(turns).toHaveLength(parts.length);
  expect(turns.filter(({ ms }) => ms > longestTurnMs)).toEqual([]);
});

test('a turn that is longer is seen as such', async () => {
  await using slow = await ServedInProcess.start('latest', {
    received: () => {
      const end = threadMs() + 60;
      while (threadMs() < end) {}
    },
    sent: () => {},
  });
  const line = JSON.stringify({ jsonrpc: '2.0', auth: slow.token, id: 1, method: 'server.ping' });
  expect(await longestTurn(line, slow)).toBeGreaterThan(longestTurnMs);
});
