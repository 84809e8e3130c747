/** What one connection has to send, over a real socket (spec wire.md §2 "slow reader", §9). */
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { loadPlatform } from '../../../platform/load.ts';
import { Outbox, type OutboxOptions } from '../../../src/doors/rpc/outbox.ts';
import { Feed } from '../../../src/engine/local/feed.ts';
import { ReplayWindow } from '../../../src/engine/local/replay-window.ts';
import type { FrameStream, Reader } from '../../../src/engine/session-engine.ts';
import { waitUntil } from '../../support/wait.ts';

const frameSize = 1000;
const windowBytes = 16 << 20;
/** What the outbox hands to the socket ahead of the kernel: its high-water mark and one write above it. */
const maxAhead = (1 << 20) + (256 << 10) + frameSize;

/** How the outbox of the next wire sends. */
let options: OutboxOptions = {};
const { transport } = await loadPlatform();

/** An outbox at one end of a socket, a reader at the other. */
class Wire implements Reader, AsyncDisposable {
  readonly outbox: Outbox;
  readonly reader: Socket;
  readonly near: Socket;
  readonly #directory: string;
  drained = 0;
  #received: Buffer[] = [];

  static async open(): Promise<Wire> {
    const directory = mkdtempSync('/tmp/hf-');
    const path = join(directory, 's');
    const near = Promise.withResolvers<Socket>();
    const server = createServer((socket) => near.resolve(socket)).listen(path);
    const reader = connect(path);
    const wire = new Wire(await near.promise, reader, directory);
    server.close();
    return wire;
  }

  private constructor(near: Socket, reader: Socket, directory: string) {
    this.near = near;
    this.#directory = directory;
    this.reader = reader;
    near.on('error', () => {});
    reader.on('error', () => {}).on('data', (chunk) => this.#received.push(chunk));
    this.outbox = new Outbox(
      near,
      () => {
        this.drained++;
      },
      options,
    );
  }

  feed(name: string): { readonly feed: Feed; write(frames: number): void; readonly window: ReplayWindow } {
    const window = new ReplayWindow(windowBytes, { onEvict: () => {} });
    const feed = new Feed({ id: name, window, taken: () => {}, seen: () => {}, left: () => {} }, this, 'receiver');
    this.outbox.add(feed);
    return {
      feed,
      window,
      write: (frames) => {
        for (let count = 0; count < frames; count++) {
          window.append(frameSize, (target, offset, seq) => {
            target.latin1Write(`${name} ${seq}`.padEnd(frameSize - 1), offset);
            target[offset + frameSize - 1] = 0x0a;
          });
        }
        feed.ready();
      },
    };
  }

  /** Lines that have arrived, without padding; the last, unfinished one left out. */
  get lines(): string[] {
    this.#received = [Buffer.concat(this.#received)];
    const lines = (this.#received[0] as Buffer).toString().split('\n');
    return lines.slice(0, -1).map((line) => line.trimEnd());
  }

  get receivedBytes(): number {
    return this.#received.reduce((sum, { length }) => sum + length, 0);
  }

  untilLines(count: number): Promise<true> {
    return waitUntil(() => this.lines.length >= count, `${count} lines`);
  }

  attached(): void {}
  ready(stream: FrameStream, more: boolean): void {
    this.outbox.wake(stream, more);
  }
  fellBehind(): void {}
  replaced(): void {}
  over(stream: FrameStream): void {
    this.outbox.remove(stream);
  }
  unplaced(reply: string): void {
    this.outbox.placed(reply);
  }
  lost(): void {}
  progress(): number {
    return 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.near.destroy();
    this.reader.destroy();
    rmSync(this.#directory, { recursive: true });
  }
}

describe.each([
  ["through the socket's queue", {}],
  ['at once, as far as the kernel takes it', { sendNow: transport.sendNow }],
])('%s:', (_, chosen) => {
  beforeEach(() => {
    options = chosen;
  });

  test('replies arrive whole and in the order in which they were queued, whatever their size', async () => {
    await using wire = await Wire.open();
    const replies = Array.from({ length: 400 }, (_, index) => `${index}:${'x'.repeat((index * 7919) % 40_000)}`);
    replies.push(`large ${'y'.repeat(5_000_000)}`, 'last');
    for (const reply of replies) {
      wire.outbox.reply(`${reply}\n`);
    }
    await wire.untilLines(replies.length);
    expect(wire.lines).toEqual(replies);
    await waitUntil(() => wire.outbox.empty, 'everything to have left');
    expect(wire.outbox.unsentReplyBytes).toBe(0);
  });

  test('replies count as unsent until the reader takes them, and who waits for room is told', async () => {
    await using wire = await Wire.open();
    wire.reader.pause();
    const reply = `${'x'.repeat(999_999)}\n`;
    for (let count = 0; count < 10; count++) {
      wire.outbox.reply(reply);
    }
    wire.outbox.flush();
    expect(wire.outbox.unsentReplyBytes).toBe(10_000_000);
    expect(wire.outbox.empty).toBe(false);
    wire.reader.resume();
    await waitUntil(() => wire.outbox.empty, 'everything to have left');
    expect([wire.outbox.unsentReplyBytes, wire.drained > 0]).toEqual([0, true]);
  });

  test('frames of a process arrive in order and without a gap', async () => {
    await using wire = await Wire.open();
    const { write } = wire.feed('p');
    for (let round = 0; round < 10; round++) {
      write(500);
      await wire.untilLines(round * 500 + 1);
    }
    await wire.untilLines(5000);
    expect(wire.lines).toEqual(Array.from({ length: 5000 }, (_, index) => `p ${index + 1}`));
  });

  test('frames stay in their window until the reader has room for them', async () => {
    await using wire = await Wire.open();
    wire.reader.pause();
    const { feed, write } = wire.feed('p');
    write(16_000);
    wire.outbox.flush();
    const item = feed.take(1);
    if (item?.kind !== 'frames') {
      throw new Error('nothing is left in the window');
    }
    const taken = (item.lastSeq - 1) * frameSize;
    item.release();
    // The kernel takes some at once; the rest of what was handed over is bounded.
    expect(taken).toBeLessThan(maxAhead + (1 << 20));
    expect(taken).toBeGreaterThan(1 << 20);
  });

  test('processes take turns: one that floods does not silence another', async () => {
    await using wire = await Wire.open();
    const [loud, quiet] = [wire.feed('loud'), wire.feed('quiet')];
    loud.write(16_000);
    quiet.write(3);
    await waitUntil(() => wire.lines.includes('quiet 3'), 'the quiet process');
    const before = wire.lines.indexOf('quiet 1');
    expect(before * frameSize).toBeLessThan(maxAhead);
  });

  test('a reply goes before frames that still wait', async () => {
    await using wire = await Wire.open();
    wire.reader.pause();
    const { write } = wire.feed('p');
    write(16_000);
    wire.outbox.flush();
    wire.outbox.reply('reply\n');
    wire.reader.resume();
    await wire.untilLines(16_001);
    expect(wire.lines.indexOf('reply') * frameSize).toBeLessThan(maxAhead + (1 << 20));
    expect(wire.lines.filter((line) => line !== 'reply')).toEqual(
      Array.from({ length: 16_000 }, (_, index) => `p ${index + 1}`),
    );
  });

  test.each([
    ['before the reader has come so far', 0],
    ['while the reader waits for it', 8000],
  ])(
    'a promised replay counts until it was handed over, and its reply, known %s, stands right behind it',
    async (_, linesBefore) => {
      await using wire = await Wire.open();
      wire.reader.pause();
      const { feed, write, window } = wire.feed('p');
      write(8000);
      const mark = feed.replay(0);
      expect(wire.outbox.promisedBytes).toBeGreaterThanOrEqual(8000 * frameSize);
      write(8000);
      expect(window.lastSeq).toBe(16_000);
      if (linesBefore > 0) {
        wire.reader.resume();
        await wire.untilLines(8000 + linesBefore);
      }
      wire.outbox.replyAt(mark, 'reply\n');
      expect(wire.outbox.empty).toBe(false);
      wire.reader.resume();
      await wire.untilLines(16_001 + 8000);
      await waitUntil(() => wire.outbox.empty, 'everything to have left');
      expect(wire.outbox.promisedBytes).toBe(0);
      const { lines } = wire;
      const reply = lines.indexOf('reply');
      expect(lines.slice(reply - 8000, reply)).toEqual(Array.from({ length: 8000 }, (_, index) => `p ${index + 1}`));
      expect(lines[lines.length - 1]).toBe('p 16000');
    },
  );

  test('a process that is no longer the reader’s business sends nothing more', async () => {
    await using wire = await Wire.open();
    wire.reader.pause();
    const [gone, kept] = [wire.feed('gone'), wire.feed('kept')];
    gone.write(8000);
    wire.outbox.flush();
    gone.feed.leave();
    wire.outbox.remove(gone.feed);
    kept.write(10);
    wire.reader.resume();
    await waitUntil(() => wire.lines.includes('kept 10'), 'the other process');
    const { length } = wire.lines.filter((line) => line.startsWith('gone'));
    expect(length * frameSize).toBeLessThan(maxAhead + (1 << 20));
    gone.write(1);
    wire.outbox.reply('reply\n');
    await waitUntil(() => wire.lines.includes('reply'), 'the reply');
    expect(wire.lines.filter((line) => line.startsWith('gone'))).toHaveLength(length);
  });

  test('a closed outbox sends nothing more and takes nothing more', async () => {
    await using wire = await Wire.open();
    const { write } = wire.feed('p');
    write(1);
    await wire.untilLines(1);
    wire.outbox.close();
    wire.outbox.reply('reply\n');
    write(5);
    wire.outbox.flush();
    const other = wire.receivedBytes;
    // What had been written would have left by the next turns of the loop.
    for (let turn = 0; turn < 20; turn++) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect([wire.receivedBytes, wire.outbox.unsentReplyBytes]).toEqual([other, 0]);
  });
});

test('a connection that is broken takes nothing at once, and breaks nothing', async () => {
  await using wire = await Wire.open();
  const near = wire.near;
  wire.reader.destroy();
  await waitUntil(() => near.destroyed || near.readableEnded || near.readyState !== 'open', 'the end of the reader');
  near.destroy();
  expect(transport.sendNow?.(near, Buffer.from('x'))).toBe(0);
});
