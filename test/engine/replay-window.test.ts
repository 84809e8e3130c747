/** The replay window against a plain array (spec process.md §9). */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Cursor } from '../../src/engine/local/cursor.ts';
import { PinnedReplay } from '../../src/engine/local/pinned-replay.ts';
import { ReplayWindow } from '../../src/engine/local/replay-window.ts';
import type { Frames } from '../../src/engine/session-engine.ts';

/** A frame of this many bytes whose content tells its number everywhere, so that a mix-up of any kind shows. */
function frameBytes(seq: number, size: number): Buffer {
  const frame = Buffer.alloc(size, `${seq};`, 'latin1');
  frame[size - 1] = 0x0a;
  return frame;
}

function append(window: ReplayWindow, size: number): void {
  window.append(size, (target, offset, seq) => {
    frameBytes(seq, size).copy(target, offset);
  });
}

function windowOf(maxBytes: number): { readonly window: ReplayWindow; readonly evicted: number[] } {
  const evicted: number[] = [];
  return { window: new ReplayWindow(maxBytes, { onEvict: (seq) => evicted.push(seq) }), evicted };
}

/** Everything a reader gets from here on. */
function drain(reader: Cursor | PinnedReplay, maxBytes = 1 << 20): Buffer {
  const pieces: Buffer[] = [];
  for (let view = reader.take(maxBytes); view !== undefined; view = reader.take(maxBytes)) {
    pieces.push(Buffer.from(view.bytes));
    view.release();
  }
  return Buffer.concat(pieces);
}

describe('the limit', () => {
  test('a total of exactly the limit stays, one byte more drops the oldest frame', () => {
    const { window, evicted } = windowOf(300);
    for (const size of [100, 100, 100]) {
      append(window, size);
    }
    expect([window.firstSeq, window.lastSeq, window.bytes, evicted]).toEqual([1, 3, 300, []]);
    append(window, 1);
    expect([window.firstSeq, window.lastSeq, window.bytes, evicted]).toEqual([2, 4, 201, [1]]);
  });

  test('whole frames go, as many as it takes and no more', () => {
    const { window, evicted } = windowOf(100);
    for (let count = 0; count < 10; count++) {
      append(window, 10);
    }
    append(window, 25);
    expect([window.firstSeq, window.bytes, evicted]).toEqual([4, 95, [1, 2, 3]]);
  });

  test('the newest frame is kept even alone above the limit, and goes with the next one', () => {
    const { window, evicted } = windowOf(1000);
    append(window, 10);
    append(window, 5000);
    expect([window.firstSeq, window.lastSeq, window.bytes, evicted]).toEqual([2, 2, 5000, [1]]);
    expect(drain(new PinnedReplay(window, 1, 2))).toEqual(frameBytes(2, 5000));
    append(window, 10);
    expect([window.firstSeq, window.lastSeq, window.bytes, evicted]).toEqual([3, 3, 10, [1, 2]]);
  });

  test('before the first frame both numbers are 0 and there is nothing to read', () => {
    const { window } = windowOf(100);
    expect([window.firstSeq, window.lastSeq, window.bytes]).toEqual([0, 0, 0]);
    expect(window.cursor().take(100)).toBeUndefined();
    expect(new PinnedReplay(window, 1, 0).take(100)).toBeUndefined();
  });

  test('a frame is told as going while it can still be read', () => {
    const seen: number[] = [];
    const window = new ReplayWindow(100, { onEvict: (seq) => seen.push(seq, window.firstSeq) });
    for (const size of [60, 40, 60]) {
      append(window, size);
    }
    expect(seen).toEqual([1, 1]);
  });
});

describe('readers', () => {
  test('get many small frames in one piece, at most as long as they ask for, and a long frame whole', () => {
    const { window } = windowOf(1 << 20);
    const cursor = window.cursor();
    for (let count = 0; count < 20; count++) {
      append(window, 100);
    }
    const first = cursor.take(1050);
    expect([first?.lastSeq, first?.bytes.length, cursor.next]).toEqual([10, 1000, 11]);
    first?.release();
    append(window, 100_000);
    drain(cursor, 1000);
    expect(cursor.next).toBe(22);
    expect(new PinnedReplay(window, 21, 21).take(10)?.bytes).toEqual(frameBytes(21, 100_000));
  });

  test('a promise takes only what the window still has, and nothing for a number that is yet to come', () => {
    const { window } = windowOf(300);
    for (let count = 0; count < 5; count++) {
      append(window, 100);
    }
    const all = new PinnedReplay(window, 1, 5);
    expect(all.bytesLeft).toBe(300);
    expect(drain(all)).toEqual(Buffer.concat([3, 4, 5].map((seq) => frameBytes(seq, 100))));
    expect(all.bytesLeft).toBe(0);
    const none = new PinnedReplay(window, 2 ** 64, 5);
    expect([none.bytesLeft, none.take(1000)]).toEqual([0, undefined]);
  });
});

// ---- against the model

interface Model {
  readonly sizes: number[];
  first: number;
}

interface Reader {
  readonly source: Cursor | PinnedReplay;
  next: number;
  readonly last: number;
}

type Step =
  | { readonly do: 'append'; readonly size: number }
  | { readonly do: 'promise'; readonly back: number }
  | { readonly do: 'take'; readonly reader: number; readonly most: number }
  | { readonly do: 'drop'; readonly reader: number }
  | { readonly do: 'release'; readonly view: number };

const maxBytes = 1_500_000;
const size = fc.oneof(
  fc.integer({ min: 70, max: 200 }),
  fc.integer({ min: 4000, max: 44_000 }),
  fc.integer({ min: 300_000, max: 600_000 }),
  fc.constantFrom(maxBytes, maxBytes + 1, 524_288, 4096),
);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('append' as const), size }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('promise' as const), back: fc.nat(60) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('take' as const),
      reader: fc.nat(9),
      most: fc.integer({ min: 1, max: 300_000 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('drop' as const), reader: fc.nat(9) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('release' as const), view: fc.nat(9) }) },
);

/** One run of steps on a window and on an array; every byte a reader was lent is compared when it gives it back. */
class Run {
  readonly #evicted: number[] = [];
  readonly #window = new ReplayWindow(maxBytes, { onEvict: (seq) => this.#evicted.push(seq) });
  readonly #model: Model = { sizes: [], first: 0 };
  readonly #promises: Reader[] = [];
  readonly #views: { readonly view: Frames; readonly from: number }[] = [];
  #live: Reader = { source: this.#window.cursor(), next: 1, last: Number.POSITIVE_INFINITY };

  do(step: Step): void {
    if (step.do === 'append') {
      this.#append(step.size);
    } else if (step.do === 'promise') {
      this.#promise(step.back);
    } else if (step.do === 'take') {
      this.#take(step.reader, step.most);
    } else if (step.do === 'drop') {
      this.#drop(step.reader);
    } else {
      this.#release(step.view);
    }
    const { sizes, first } = this.#model;
    expect([this.#window.firstSeq, this.#window.lastSeq]).toEqual([first, sizes.length]);
    expect(this.#window.bytes).toBe(first === 0 ? 0 : total(sizes.slice(first - 1)));
  }

  finish(): void {
    for (const reader of [this.#live, ...this.#promises]) {
      while (this.#takeOnce(reader, 100_000)) {
        this.#release(0);
      }
      expect(reader.next).toBe(Math.min(reader.last, this.#window.lastSeq) + 1);
    }
    while (this.#views.length > 0) {
      this.#release(0);
    }
  }

  #append(size: number): void {
    append(this.#window, size);
    const { sizes } = this.#model;
    sizes.push(size);
    if (this.#model.first === 0) {
      this.#model.first = 1;
    }
    const dropped: number[] = [];
    while (this.#model.first < sizes.length && total(sizes.slice(this.#model.first - 1)) > maxBytes) {
      dropped.push(this.#model.first++);
    }
    expect(this.#evicted.splice(0)).toEqual(dropped);
    // The feed drops a reader whose next frame is gone; here it goes on at the front.
    if (this.#live.next < this.#model.first) {
      this.#live.next = this.#model.first;
      (this.#live.source as Cursor).moveToStart();
    }
  }

  #promise(back: number): void {
    const { lastSeq } = this.#window;
    const first = Math.max(1, lastSeq - back);
    const source = new PinnedReplay(this.#window, first, lastSeq);
    const next = Math.max(first, this.#model.first);
    expect(source.bytesLeft).toBe(total(this.#model.sizes.slice(next - 1)));
    if (lastSeq > 0) {
      this.#promises.push({ source, next, last: lastSeq });
    }
  }

  #take(which: number, most: number): void {
    const readers = [this.#live, ...this.#promises];
    const reader = readers[which % readers.length] as Reader;
    this.#takeOnce(reader, most);
  }

  #takeOnce(reader: Reader, most: number): boolean {
    const view = reader.source.take(most);
    const left = Math.min(reader.last, this.#window.lastSeq) - reader.next + 1;
    expect(view === undefined).toBe(left <= 0);
    if (view === undefined) {
      return false;
    }
    const count = view.lastSeq - reader.next + 1;
    expect(count).toBeGreaterThan(0);
    expect(count).toBeLessThanOrEqual(left);
    if (count > 1) {
      expect(view.bytes.length).toBeLessThanOrEqual(most);
    }
    this.#views.push({ view, from: reader.next });
    reader.next = view.lastSeq + 1;
    return true;
  }

  #drop(which: number): void {
    const [reader] = this.#promises.splice(which % Math.max(1, this.#promises.length), 1);
    (reader?.source as PinnedReplay | undefined)?.drop();
  }

  /** What was lent is still what was first written, however much was written since. */
  #release(which: number): void {
    const [lent] = this.#views.splice(which % Math.max(1, this.#views.length), 1);
    if (lent === undefined) {
      return;
    }
    const frames: Buffer[] = [];
    for (let seq = lent.from; seq <= lent.view.lastSeq; seq++) {
      frames.push(frameBytes(seq, this.#model.sizes[seq - 1] as number));
    }
    expect(lent.view.bytes.equals(Buffer.concat(frames))).toBe(true);
    lent.view.release();
  }
}

function total(sizes: readonly number[]): number {
  return sizes.reduce((sum, size) => sum + size, 0);
}

test('whatever is written, read, promised and let go, every reader gets the bytes that were first written', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 300, size: 'max' }), (steps) => {
      const run = new Run();
      for (const each of steps) {
        run.do(each);
      }
      run.finish();
    }),
    { numRuns: 100 },
  );
});

test('a reader of every frame gets one stream without a gap, however often the memory goes round', () => {
  const { window } = windowOf(1 << 20);
  const cursor = window.cursor();
  const sizes = [80, 43_763, 500, 43_763, 43_763, 120];
  for (let seq = 1; seq <= 600; seq++) {
    append(window, sizes[seq % sizes.length] as number);
    if (seq % 7 === 0) {
      for (let view = cursor.take(200_000); view !== undefined; view = cursor.take(200_000)) {
        const from = Number.parseInt(view.bytes.toString('latin1', 0, 8), 10);
        let at = 0;
        for (let each = from; each <= view.lastSeq; each++) {
          const frame = frameBytes(each, sizes[each % sizes.length] as number);
          expect(view.bytes.subarray(at, at + frame.length).equals(frame)).toBe(true);
          at += frame.length;
        }
        view.release();
      }
      expect(cursor.next).toBe(seq + 1);
    }
  }
});
