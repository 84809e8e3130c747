/** One connection's place in one process's frames (spec process.md §8, wire.md §2 "slow reader"). */
import { describe, expect, test } from 'vitest';
import { Feed, type FeedOwner } from '../../src/engine/local/feed.ts';
import { ReplayWindow } from '../../src/engine/local/window.ts';

const frameSize = 100;
/** Ten frames fit. */
const windowBytes = 10 * frameSize;

/** A process that writes frames, and a reader that takes them when the test says so. */
class Scene implements FeedOwner {
  readonly told: string[] = [];
  readonly window = new ReplayWindow(windowBytes, { onEvict: (seq) => this.feed?.evicting(seq) });
  feed: Feed;

  constructor(framesBefore = 0) {
    this.feed = undefined as unknown as Feed;
    this.write(framesBefore);
    this.feed = new Feed('p1', this, this.window, () => this.told.push('left'));
  }

  write(count: number): void {
    for (let each = 0; each < count; each++) {
      this.window.append(frameSize, (target, offset, seq) => {
        target.latin1Write(String(seq).padEnd(frameSize - 1, ' '), offset);
        target[offset + frameSize - 1] = 0x0a;
      });
    }
    if (count > 0) {
      this.feed?.ready();
    }
  }

  /** Numbers of the frames that can be taken now. */
  take(maxBytes = 1 << 20): number[] {
    const seqs: number[] = [];
    for (let view = this.feed.take(maxBytes); view !== undefined; view = this.feed.take(maxBytes)) {
      seqs.push(...readSeqs(view.bytes));
      view.release();
    }
    return seqs;
  }

  /** Numbers of the frames of one write. */
  takeOnce(maxBytes: number): number[] {
    const view = this.feed.take(maxBytes);
    view?.release();
    return view === undefined ? [] : readSeqs(view.bytes);
  }

  /** As a reattach does: replay, the reply `name`, then live frames. */
  reattach(fromSeq: number, name = 'reply'): void {
    this.feed.replay(fromSeq, () => {
      this.told.push(name);
    });
  }

  feedAttached(): void {}
  feedReady(): void {
    if (this.told.at(-1) !== 'ready') {
      this.told.push('ready');
    }
  }
  feedFellBehind(_feed: Feed, seq: number): void {
    this.told.push(`fell behind at ${seq}`);
  }
  feedReplaced(): void {}
  feedGone(): void {}

  /** What happened besides "there are frames". */
  get events(): string[] {
    return this.told.filter((event) => event !== 'ready');
  }
}

function readSeqs(bytes: Buffer): number[] {
  return bytes.toString('latin1').trimEnd().split('\n').map(Number);
}

function range(first: number, last: number): number[] {
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index);
}

describe('a new receiver', () => {
  test('gets what is written from now on, and is told that there is something to take', () => {
    const scene = new Scene(5);
    expect(scene.take()).toEqual([]);
    scene.write(3);
    expect(scene.told).toEqual(['ready']);
    expect(scene.take()).toEqual([6, 7, 8]);
    expect(scene.take()).toEqual([]);
  });

  test('gets nothing before its reply is queued, and then everything', () => {
    const scene = new Scene();
    scene.feed.hold();
    scene.write(4);
    expect(scene.take()).toEqual([]);
    scene.feed.release();
    expect(scene.take()).toEqual([1, 2, 3, 4]);
  });

  test('waits for as many replies as are owed', () => {
    const scene = new Scene();
    scene.feed.hold();
    scene.feed.hold();
    scene.write(1);
    scene.feed.release();
    expect(scene.take()).toEqual([]);
    scene.feed.release();
    expect(scene.take()).toEqual([1]);
  });
});

describe('a replay', () => {
  test.each([
    [0, range(1, 6)],
    [1, range(2, 6)],
    [5, [6]],
    [6, []],
    [7, []],
    [2 ** 64, []],
  ])('from %d brings exactly the frames above it, then the reply, then live frames', (fromSeq, expected) => {
    const scene = new Scene(6);
    scene.reattach(fromSeq);
    scene.write(2);
    expect(scene.take()).toEqual(expected);
    expect(scene.events).toEqual(['reply']);
    expect(scene.take()).toEqual([]);
    scene.feed.release();
    expect(scene.take()).toEqual([7, 8]);
  });

  test('replies only after the last promised frame was taken', () => {
    const scene = new Scene(6);
    scene.reattach(0);
    expect(scene.takeOnce(4 * frameSize)).toEqual([1, 2, 3, 4]);
    expect(scene.feed.promisedBytes).toBe(2 * frameSize);
    expect(scene.events).toEqual([]);
    expect(scene.take()).toEqual([5, 6]);
    expect([scene.feed.promisedBytes, scene.events]).toEqual([0, ['reply']]);
  });

  test('of a process that has written nothing is a reply alone', () => {
    const scene = new Scene();
    scene.reattach(0);
    expect(scene.take()).toEqual([]);
    expect(scene.events).toEqual(['reply']);
    scene.feed.release();
    scene.write(1);
    expect(scene.take()).toEqual([1]);
  });

  test('completes however fast the process writes, and only then the reader is told what it lost', () => {
    const scene = new Scene(10);
    scene.reattach(0);
    expect(scene.takeOnce(frameSize)).toEqual([1]);
    scene.write(100);
    expect(scene.events).toEqual([]);
    expect(scene.take()).toEqual(range(2, 10));
    expect(scene.events).toEqual(['reply']);
    scene.feed.release();
    expect(scene.take()).toEqual([]);
    expect(scene.events).toEqual(['reply', 'fell behind at 11']);
  });

  test('twice by the same reader brings the frames twice, each with its reply', () => {
    const scene = new Scene(3);
    scene.reattach(0, 'first');
    scene.reattach(1, 'second');
    expect(scene.take()).toEqual([1, 2, 3]);
    scene.feed.release();
    expect(scene.take()).toEqual([2, 3]);
    scene.feed.release();
    scene.write(1);
    expect(scene.take()).toEqual([4]);
    expect(scene.events).toEqual(['first', 'second']);
  });

  test('by a reader that still waited for frames takes none of them away', () => {
    const scene = new Scene(2);
    scene.write(3);
    scene.reattach(4);
    expect(scene.take()).toEqual([3, 4, 5, 5]);
  });

  test('saves a reader that was about to be dropped: it goes on with the frames that are left', () => {
    const scene = new Scene(10);
    scene.reattach(0, 'first');
    scene.write(100);
    scene.reattach(10, 'second');
    expect(scene.take()).toEqual(range(1, 10));
    scene.feed.release();
    expect(scene.take()).toEqual(range(101, 110));
    expect(scene.events).toEqual(['first', 'second']);
    scene.feed.release();
    scene.write(2);
    expect(scene.take()).toEqual([111, 112]);
    expect(scene.events).toEqual(['first', 'second']);
  });
});

describe('a slow reader', () => {
  test('that is exactly one window behind loses nothing', () => {
    const scene = new Scene();
    scene.write(10);
    expect(scene.take()).toEqual(range(1, 10));
    expect(scene.events).toEqual([]);
  });

  test('is told the first frame it did not get', () => {
    const scene = new Scene();
    scene.write(3);
    scene.take();
    scene.write(11);
    expect(scene.events).toEqual(['fell behind at 4']);
  });

  test('that got a part of what there was is told the frame after that part', () => {
    const scene = new Scene();
    scene.write(10);
    expect(scene.takeOnce(6 * frameSize)).toEqual(range(1, 6));
    scene.write(6);
    expect(scene.events).toEqual([]);
    scene.write(1);
    expect(scene.events).toEqual(['fell behind at 7']);
  });

  test('that still waits for the reply of its spawn is told after it', () => {
    const scene = new Scene();
    scene.feed.hold();
    scene.write(11);
    expect(scene.events).toEqual([]);
    scene.feed.release();
    scene.take();
    expect(scene.events).toEqual(['fell behind at 1']);
  });
});

describe('a receiver that is no more', () => {
  test('because another one took over gets what it was promised, its reply, and nothing newer', () => {
    const scene = new Scene(3);
    scene.reattach(0);
    scene.feed.stopLive();
    scene.write(20);
    expect(scene.feed.done).toBe(false);
    expect(scene.take()).toEqual([1, 2, 3]);
    scene.feed.release();
    expect(scene.take()).toEqual([]);
    expect([scene.feed.done, scene.events]).toEqual([true, ['reply']]);
  });

  test('because its process has written its last gets the rest of it, whatever the window does meanwhile', () => {
    const scene = new Scene(2);
    scene.write(4);
    expect(scene.takeOnce(frameSize)).toEqual([3]);
    scene.feed.finish();
    expect(scene.feed.done).toBe(false);
    scene.write(20);
    expect(scene.take()).toEqual([4, 5, 6]);
    expect([scene.feed.done, scene.events]).toEqual([true, []]);
  });

  test('because its process has written its last is still told what it has missed', () => {
    const scene = new Scene(10);
    scene.reattach(0);
    scene.write(20);
    scene.feed.finish();
    expect(scene.take()).toEqual(range(1, 10));
    scene.feed.release();
    scene.take();
    expect(scene.events).toEqual(['reply', 'fell behind at 11']);
  });

  test('because it has left answers what waited for its frames, and gets none', () => {
    const scene = new Scene(3);
    scene.reattach(0);
    scene.feed.leave();
    scene.write(20);
    expect([scene.take(), scene.feed.done, scene.feed.promisedBytes]).toEqual([[], true, 0]);
    expect(scene.events).toEqual(['reply', 'left']);
  });
});
