/** What happens for one frame, counted and not timed: it must not depend on how many sessions there are. */
import type { Socket } from 'node:net';
import { afterEach, expect, test, vi } from 'vitest';
import { Outbox } from '../../src/doors/rpc/outbox.ts';
import { Cursor } from '../../src/engine/local/cursor.ts';
import { Feed } from '../../src/engine/local/feed.ts';
import { ReplayWindow } from '../../src/engine/local/replay-window.ts';
import type { Reader } from '../../src/engine/session-engine.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

interface Counts {
  readonly writes: number;
  readonly calls: Readonly<Record<string, number>>;
}

/** Attaches the feeds of `sessions` processes to one connection, all of them idle, and counts what one frame of one does. */
async function countsOfOneFrame(sessions: number): Promise<Counts> {
  let writes = 0;
  const socket = {
    writableLength: 0,
    write(_bytes: Uint8Array, sent: () => void) {
      writes++;
      setImmediate(sent);
      return true;
    },
  } as unknown as Socket;
  const outbox = new Outbox(socket, () => {});
  const reader: Reader = {
    attached: (stream) => outbox.add(stream),
    ready: (stream, more) => outbox.wake(stream, more),
    fellBehind: () => {},
    replaced: () => {},
    over: (stream) => outbox.remove(stream),
    unplaced: () => {},
    lost: () => {},
    progress: () => 0,
  };
  const windows: ReplayWindow[] = [];
  const feeds: Feed[] = [];
  for (let index = 0; index < sessions; index++) {
    const window = new ReplayWindow(1_000_000, { onEvict: () => {} });
    const feed = new Feed(
      { id: `p${index}`, window, taken: () => {}, seen: () => {}, left: () => {} },
      reader,
      'receiver',
    );
    reader.attached(feed);
    windows.push(window);
    feeds.push(feed);
    // Each has sent something already, as sessions have.
    window.append(100, (target, offset) => target.fill(0x20, offset, offset + 100));
    feed.ready();
  }
  await settled();

  writes = 0;
  const spies = {
    take: vi.spyOn(Feed.prototype, 'take'),
    ready: vi.spyOn(Feed.prototype, 'ready'),
    promised: vi.spyOn(Feed.prototype, 'promisedBytes', 'get'),
    done: vi.spyOn(Feed.prototype, 'done', 'get'),
    cursor: vi.spyOn(Cursor.prototype, 'take'),
    lookUp: vi.spyOn(ReplayWindow.prototype, 'slabOf'),
  };
  const middle = Math.floor(sessions / 2);
  windows[middle]?.append(100, (target, offset) => target.fill(0x20, offset, offset + 100));
  feeds[middle]?.ready();
  await settled();
  const calls = Object.fromEntries(Object.entries(spies).map(([name, spy]) => [name, spy.mock.calls.length]));
  vi.restoreAllMocks();
  return { writes, calls };
}

/** Two turns: the flush is in the first, what the write's callback does in the second. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test('one frame takes the same steps whether its connection follows one process or a thousand', async () => {
  const alone = await countsOfOneFrame(1);
  expect(alone.writes).toBe(1);
  expect(alone.calls.take).toBeGreaterThan(0);
  expect(await countsOfOneFrame(1_000)).toEqual(alone);
});

test('a frame that many were written before is found without looking through them', async () => {
  const window = new ReplayWindow(16_000_000, { onEvict: () => {} });
  const cursor = window.cursor();
  const lookUps = vi.spyOn(window, 'slabOf');
  for (let frame = 1; frame <= 5_000; frame++) {
    window.append(3_000, (target, offset) => target.fill(0x20, offset, offset + 3_000));
    cursor.take(1)?.release();
  }
  expect(cursor.next).toBe(5_001);
  // The reader is at the end all the time, so it goes from slab to slab and is looked up once.
  expect(lookUps.mock.calls.length).toBeLessThanOrEqual(1);
});

test('the answers of requests that came together leave in one write, without another turn of the loop', async () => {
  const written: string[] = [];
  const socket = { writableLength: 0 } as unknown as Socket;
  const sendNow = (_socket: Socket, bytes: Buffer) => {
    written.push(bytes.toString());
    return bytes.length;
  };
  const outbox = new Outbox(socket, () => {}, { sendNow });
  const turns = vi.spyOn(globalThis, 'setImmediate');
  outbox.collect();
  for (const reply of ['one\n', 'two\n', 'three\n']) {
    outbox.reply(reply);
  }
  expect(written).toEqual([]);
  outbox.flush();
  expect(written).toEqual(['one\ntwo\nthree\n']);
  expect(turns).not.toHaveBeenCalled();
  // An answer that comes later asks for its turn by itself.
  outbox.reply('late\n');
  await settled();
  expect(written).toEqual(['one\ntwo\nthree\n', 'late\n']);
});
