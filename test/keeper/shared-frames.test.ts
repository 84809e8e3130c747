/** Frames that stay in memory of the keeper and are sent from there (docs/keeper.md "Frames in shared memory"). */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createSharedMemory } from '../../platform/posix/shared-memory.ts';
import { maxSlabBytes } from '../../src/engine/local/replay-window.ts';
import type { Block } from '../../src/engine/local/slab.ts';
import { Debtors, LentFrames } from '../../src/keeper/host/lent-frames.ts';
import { SharedBlocks } from '../../src/keeper/host/shared-blocks.ts';

import { startDaemon } from '../support/daemon.ts';
import { fixture } from '../support/fixtures.ts';
import { collect, connectTo } from '../support/host.ts';
import { linux, testNeeding } from '../support/needs.ts';
import { waitUntil } from '../support/wait.ts';
import { keeperOf } from './support/keeper.ts';

const name = 'memfd:holdfast-frames';
const noLog = { warn: () => {} };

testNeeding(linux)('much output reaches its client byte for byte from memory of the keeper', {}, async () => {
  await using daemon = await startDaemon({ flags: ['-durable'] });
  await using client = await connectTo(daemon);
  const sum = join(daemon.dir, 'sum');
  const [command, args] = fixture('write-noise.ts', '--bytes', '40000000', '--sha256', sum);
  const job = await client.spawn({ id: 'p', command, args });
  expect(await collect(job.stdout)).toEqual({ bytes: 40_000_000, sha256: readFileSync(sum, 'utf8') });
  for (const pid of [daemon.pid(), (await keeperOf(daemon)).pid]) {
    expect(readFileSync(`/proc/${pid}/maps`, 'utf8')).toContain(name);
  }
  // A daemon that comes later reads them there too.
  await client.close();
  await daemon.kill();
  await daemon.start();
  await using later = await connectTo(daemon);
  await collect((await later.session('p')).stdout);
  expect(readFileSync(`/proc/${daemon.pid()}/maps`, 'utf8')).toContain(name);
});

testNeeding(linux)('memory that no session needs any more is given back', {}, async () => {
  await using daemon = await startDaemon({ flags: ['-durable'] });
  await using client = await connectTo(daemon);
  const held = async (): Promise<number> => {
    const { pid } = await keeperOf(daemon);
    const rows = readFileSync(`/proc/${pid}/smaps`, 'utf8').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
    const shared = rows.filter((row) => row.includes(name)).map((row) => Number(/^Rss:\s+(\d+)/m.exec(row)?.[1]));
    return shared.reduce((sum, kilobytes) => sum + kilobytes, 0) / 1024;
  };
  const [command, args] = fixture('write-noise.ts', '--bytes', '30000000');
  const job = await client.spawn({ id: 'p', command, args });
  await collect(job.stdout);
  await job.exit;
  expect(await held()).toBeGreaterThan(15);
  await job.release();
  await waitUntil(async () => (await held()) < 4, 'the keeper to give the window back');
});

function blocks(): { readonly source: SharedBlocks; take(): Block } {
  const source = new SharedBlocks({ memory: createSharedMemory(), log: noLog, onMade: () => {} });
  return {
    source,
    take() {
      const block = source.take(maxSlabBytes);
      if (block === undefined) {
        throw new Error('no block');
      }
      return block;
    },
  };
}

testNeeding(linux)('a block that is in use is nobody else’s, and a free one is used again', {}, () => {
  const { take } = blocks();
  const all = Array.from({ length: 100 }, take);
  expect(new Set(all.map(({ sharedAt }) => sharedAt)).size).toBe(100);
  for (const [index, { bytes }] of all.entries()) {
    bytes.fill(index);
  }
  expect(all.every(({ bytes }, index) => bytes.every((byte) => byte === index))).toBe(true);
  const [first] = all;
  first?.giveBack();
  expect(take().sharedAt).toBe(first?.sharedAt);
});

test('without shared memory windows lie in ordinary memory, and the log says once what that costs', () => {
  const warnings: string[] = [];
  const memory = {
    create: () => {
      throw new Error('memfd_create: errno 38');
    },
    open: () => {
      throw new Error('not asked');
    },
  };
  const log = { warn: (_component: string, text: string) => warnings.push(text) };
  const source = new SharedBlocks({ memory, log, onMade: () => {} });
  expect([source.take(maxSlabBytes), source.take(maxSlabBytes), source.told]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
  expect(warnings).toEqual([expect.stringMatching(/^no shared memory for output \(memfd_create: errno 38\)/)]);
});

test('frames that a daemon was lent stay as they are until it says so, or has ended', () => {
  const alive = new Map([[7, '70']]);
  const daemon = { pid: 7, start: '70', node: undefined };
  const identify = (pid: number) => {
    const start = alive.get(pid);
    return start === undefined ? undefined : { pid, start, node: undefined };
  };
  const released: string[] = [];
  const lend = (...names: string[]): LentFrames => {
    const lent = new LentFrames();
    for (const each of names) {
      lent.lend(() => released.push(each));
    }
    return lent;
  };
  const first = lend('a', 'b');
  first.freed(2);
  first.freed(2);
  first.freed(99);
  expect(released).toEqual(['b']);
  const debtors = new Debtors({ identify });
  debtors.add(daemon, first);
  expect(released).toEqual(['b']);
  debtors.settled({ ...daemon, start: '71' });
  expect(released).toEqual(['b']);
  debtors.settled(daemon);
  expect(released).toEqual(['b', 'a']);
  // Of a daemon that has ended already: its pid may be another process by now.
  debtors.add(daemon, lend('c'));
  alive.set(7, '99');
  debtors.add(daemon, lend('d'));
  expect(released).toEqual(['b', 'a', 'c', 'd']);
});
