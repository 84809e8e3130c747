/** One reader's place in one process's frames (spec process.md §8, wire.md §2 "steady reader"). */
import { describe, expect, test } from 'vitest';
import { Feed, type FeedOwner } from '../../src/engine/local/feed.ts';
import { ReplayWindow } from '../../src/engine/local/replay-window.ts';
import type { Mark } from '../../src/engine/mark.ts';
import type { FrameStream, Reader, ReaderRole } from '../../src/engine/session-engine.ts';

const frameSize = 100;
/** Ten frames fit. */
const windowBytes = 10 * frameSize;

/** A process that writes frames, and a reader that takes them when the test says so. */
class Scene implements Reader, FeedOwner {
  readonly id = 'p1';
  readonly told: string[] = [];
  readonly window = new ReplayWindow(windowBytes, { onEvict: (seq) => this.feed?.evicting(seq) });
  readonly #marks = new Map<string, Mark>();
  readonly feed: Feed;

  constructor(framesBefore = 0, role: ReaderRole = 'receiver') {
    this.write(framesBefore);
    this.feed = new Feed(this, this, role);
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

  /** Numbers of the frames that can be taken now, with replies by their texts and gaps as `from-to`. */
  take(maxBytes = 1 << 20): (number | string)[] {
    const taken: (number | string)[] = [];
    for (let some = this.takeOnce(maxBytes); some.length > 0; some = this.takeOnce(maxBytes)) {
      taken.push(...some);
    }
    return taken;
  }

  /** The same of one look. */
  takeOnce(maxBytes: number): (number | string)[] {
    const item = this.feed.take(maxBytes);
    if (item === undefined) {
      return [];
    }
    if (item.kind === 'reply') {
      return [item.reply];
    }
    if (item.kind === 'gap') {
      return [`${item.from}-${item.to}`];
    }
    item.release();
    return readSeqs(item.bytes);
  }

  /** As a reattach does: replay, the place of the reply `name`, then live frames. */
  reattach(fromSeq: number, name = 'reply'): void {
    this.#marks.set(name, this.feed.replay(fromSeq));
  }

  /** The reply of a spawn belongs here, or behind a frame. */
  mark(name: string, behind?: number): void {
    const mark = behind === undefined ? this.feed.markHere() : this.feed.markBehind(behind);
    if (mark !== undefined) {
      this.#marks.set(name, mark);
    }
  }

  /** The reply of this name is known. It leaves at once when its place has been reached already. */
  answer(name = 'reply'): void {
    if (this.#marks.get(name)?.fill(name) !== true) {
      this.told.push(name);
    }
  }

  attached(): void {}
  ready(_stream: FrameStream, _more: boolean): void {
    if (this.told.at(-1) !== 'ready') {
      this.told.push('ready');
    }
  }
  fellBehind(_stream: FrameStream, seq: number): void {
    this.told.push(`fell behind at ${seq}`);
  }
  replaced(): void {}
  over(): void {}
  unplaced(reply: string): void {
    this.told.push(`unplaced ${reply}`);
  }
  lost(): void {}
  progress(): number {
    return 0;
  }
  taken(): void {}
  seen(): void {}
  left(): void {
    this.told.push('left');
  }

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

  test('gets nothing before the reply of its spawn is known, and then everything', () => {
    const scene = new Scene();
    scene.mark('reply');
    scene.write(4);
    expect(scene.take()).toEqual([]);
    scene.answer();
    expect(scene.events).toEqual(['reply']);
    expect(scene.take()).toEqual([1, 2, 3, 4]);
  });

  test('waits for as many replies as are owed, whichever is known first', () => {
    const scene = new Scene();
    scene.mark('first');
    scene.mark('second');
    scene.write(1);
    scene.answer('second');
    expect(scene.take()).toEqual([]);
    scene.answer('first');
    expect(scene.events).toEqual(['first']);
    expect(scene.take()).toEqual(['second', 1]);
  });

  test('gets the reply that belongs behind a frame there, and neither sooner nor later', () => {
    const scene = new Scene();
    scene.write(5);
    scene.mark('early', 5);
    scene.answer('early');
    scene.write(2);
    scene.mark('late', 7);
    scene.write(1);
    expect(scene.take()).toEqual([1, 2, 3, 4, 5, 'early', 6, 7]);
    scene.answer('late');
    expect(scene.events).toEqual(['late']);
    expect(scene.take()).toEqual([8]);
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
    const late = new Scene(6);
    late.reattach(fromSeq);
    late.write(2);
    expect(late.take()).toEqual(expected);
    expect(late.take()).toEqual([]);
    late.answer();
    expect(late.events).toEqual(['reply']);
    expect(late.take()).toEqual([7, 8]);

    const early = new Scene(6);
    early.reattach(fromSeq);
    early.write(2);
    early.answer();
    expect([...early.events, ...early.take()].filter((each) => each !== 'reply')).toEqual([...expected, 7, 8]);
  });

  test('known at once has its reply right behind the last promised frame', () => {
    const scene = new Scene(6);
    scene.reattach(0);
    scene.answer();
    scene.write(1);
    expect(scene.takeOnce(4 * frameSize)).toEqual([1, 2, 3, 4]);
    expect([scene.feed.promisedBytes, scene.feed.owes]).toEqual([2 * frameSize, true]);
    expect(scene.take()).toEqual([5, 6, 'reply', 7]);
    expect([scene.feed.promisedBytes, scene.feed.owes, scene.events]).toEqual([0, false, []]);
  });

  test('of a process that has written nothing is a reply alone', () => {
    const scene = new Scene();
    scene.reattach(0);
    expect(scene.take()).toEqual([]);
    scene.answer();
    expect(scene.events).toEqual(['reply']);
    scene.write(1);
    expect(scene.take()).toEqual([1]);
  });

  test('completes however fast the process writes, and only then the reader is told what it lost', () => {
    const scene = new Scene(10);
    scene.reattach(0);
    scene.answer();
    expect(scene.takeOnce(frameSize)).toEqual([1]);
    scene.write(100);
    expect(scene.events).toEqual([]);
    expect(scene.take()).toEqual([...range(2, 10), 'reply']);
    expect(scene.events).toEqual(['fell behind at 11']);
  });

  test('twice by the same reader brings the frames twice, each with its reply', () => {
    const scene = new Scene(3);
    scene.reattach(0, 'first');
    scene.reattach(1, 'second');
    scene.answer('second');
    scene.answer('first');
    scene.write(1);
    expect(scene.take()).toEqual([1, 2, 3, 'first', 2, 3, 'second', 4]);
    expect(scene.events).toEqual([]);
  });

  test('by a reader that still waited for frames takes none of them away, and no reply between them', () => {
    const scene = new Scene(2);
    scene.write(2);
    scene.mark('between', 4);
    scene.write(1);
    scene.reattach(4);
    scene.answer('between');
    scene.answer();
    expect(scene.take()).toEqual([3, 4, 'between', 5, 5, 'reply']);
  });

  test('saves a reader that was about to be dropped: it goes on with the frames that are left', () => {
    const scene = new Scene(10);
    scene.reattach(0, 'first');
    scene.write(100);
    scene.reattach(10, 'second');
    scene.answer('first');
    scene.answer('second');
    expect(scene.take()).toEqual([...range(1, 10), 'first', ...range(101, 110), 'second']);
    scene.write(2);
    expect(scene.take()).toEqual([111, 112]);
    expect(scene.events).toEqual([]);
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
    scene.mark('reply');
    scene.write(11);
    expect(scene.events).toEqual([]);
    scene.answer();
    scene.take();
    expect(scene.events).toEqual(['reply', 'fell behind at 1']);
  });
});

describe('an observer that is slow', () => {
  test('is told what it missed where it is missing, and goes on at the oldest frame that is kept', () => {
    const scene = new Scene(0, 'observer');
    scene.write(3);
    expect(scene.take()).toEqual([1, 2, 3]);
    scene.write(20);
    expect(scene.take()).toEqual(['4-13', ...range(14, 23)]);
    scene.write(1);
    expect(scene.take()).toEqual([24]);
    expect(scene.events).toEqual([]);
  });

  test('gets its promised replay whole before it is told', () => {
    const scene = new Scene(10, 'observer');
    scene.reattach(0);
    scene.answer();
    scene.write(15);
    expect(scene.take()).toEqual([...range(1, 10), 'reply', '11-15', ...range(16, 25)]);
  });
});

describe('an observer of a process that has written its last', () => {
  test('is told what it missed, gets the rest and the replies behind it, and holds nothing afterwards', () => {
    const scene = new Scene(0, 'observer');
    scene.write(15);
    scene.mark('exit', 15);
    scene.answer('exit');
    scene.feed.finish();
    expect(scene.feed.done).toBe(false);
    expect(scene.take()).toEqual(['1-5', ...range(6, 15), 'exit']);
    expect([scene.feed.done, scene.feed.owes]).toEqual([true, false]);
  });
});

describe('a receiver that is no more', () => {
  test('because another one took over gets what it was promised, its reply, and nothing newer', () => {
    const scene = new Scene(3);
    scene.reattach(0);
    scene.feed.stopLive();
    scene.write(20);
    expect(scene.feed.done).toBe(false);
    scene.answer();
    expect(scene.take()).toEqual([1, 2, 3, 'reply']);
    expect([scene.feed.done, scene.events]).toEqual([true, ['left']]);
  });

  test('because another one took over gets the replies that belong behind frames it will not see', () => {
    const scene = new Scene();
    scene.write(3);
    scene.mark('exit', 3);
    scene.feed.stopLive();
    scene.answer('exit');
    expect(scene.events).toEqual(['left', 'exit']);
    expect([scene.take(), scene.feed.done]).toEqual([[], true]);
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
    scene.answer();
    scene.write(20);
    scene.feed.finish();
    expect(scene.take()).toEqual([...range(1, 10), 'reply']);
    expect(scene.events).toEqual(['fell behind at 11']);
  });

  test('because it has left gets its replies at once, those that are known later too, and no frames', () => {
    const scene = new Scene(3);
    scene.reattach(0, 'known');
    scene.answer('known');
    scene.reattach(0, 'unknown');
    scene.feed.leave();
    scene.write(20);
    expect([scene.take(), scene.feed.done, scene.feed.promisedBytes]).toEqual([[], true, 0]);
    scene.answer('unknown');
    expect(scene.events).toEqual(['unplaced known', 'left', 'unknown']);
  });

  test('because it has left holds no frames, also when it asks for some', () => {
    const scene = new Scene(3);
    scene.feed.leave();
    scene.reattach(0);
    expect(scene.feed.promisedBytes).toBe(0);
    scene.answer();
    expect(scene.events).toEqual(['left', 'reply']);
  });
});

describe('a reader that takes frames ahead of its client', () => {
  class Ahead extends Scene {
    readonly confirms = true;
    missedGaps = 0;
    missed(): void {
      this.missedGaps++;
    }
  }

  test('has told nobody that the client has a frame, until it says so', async () => {
    const scene = new Ahead();
    let reached = 0;
    scene.write(3);
    const taken = scene.feed.whenTaken(3).then(() => reached++);
    expect(scene.take()).toEqual([1, 2, 3]);
    scene.feed.confirm(2);
    await Promise.resolve();
    expect(reached).toBe(0);
    scene.feed.confirm(3);
    await taken;
    expect(reached).toBe(1);
  });

  test('that ends lets nobody wait for its client', async () => {
    const scene = new Ahead();
    scene.write(1);
    const taken = scene.feed.whenTaken(1);
    scene.feed.end();
    await taken;
    expect(scene.feed.done).toBe(true);
  });

  test('is told once, as an observer, that its client is to miss something', () => {
    const scene = new Ahead(0, 'observer');
    scene.write(15);
    expect(scene.missedGaps).toBe(1);
    expect(scene.take()).toEqual(['1-5', 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    scene.write(11);
    expect(scene.missedGaps).toBe(2);
  });
});
