/** The count of accepted stdin bytes (spec process.md §5), for each generation. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EngineFailure, type EngineFailureKind } from '../../src/engine/failures.ts';
import { StdinLedger } from '../../src/engine/local/stdin-ledger.ts';
import type { InputResult } from '../../src/engine/session-engine.ts';
import type { Profile, ProfileName } from '../../src/wire/profile.ts';
import { profileNamed } from '../../src/wire/profiles.ts';

const gap = { refused: 'stdinGap' } as const;
const notRunning = { refused: 'processNotRunning' } as const;
const queueFull = { refused: 'stdinQueueFull' } as const;
const queueMax = 16_777_216;
const uint64Max = 18_446_744_073_709_551_615n;

type Answer = { readonly applied: number; readonly duplicate?: true } | { readonly refused: EngineFailureKind };

/** A process as its stdin sees it: what was written, and what of it the child has read. */
class Scene {
  running = true;
  readonly written: Buffer[] = [];
  readonly #unread: (() => void)[] = [];
  timesFull = 0;
  timesEnded = 0;
  readonly ledger: StdinLedger;

  constructor(profile: ProfileName) {
    this.ledger = new StdinLedger((profileNamed(profile) as Profile).process, {
      isRunning: () => this.running,
      write: (bytes, done) => {
        this.written.push(Buffer.from(bytes));
        this.#unread.push(done);
      },
      end: () => {
        this.timesEnded++;
      },
      onQueueFull: () => {
        this.timesFull++;
      },
    });
  }

  /** The answer, or `undefined` while it is held back. */
  offer(data: string | Buffer, offset?: bigint): { answer?: Answer } {
    return this.hold(() => this.ledger.offer(Buffer.from(data), offset));
  }

  close(offset: bigint): Answer | undefined {
    return this.hold(() => this.ledger.close(offset)).answer;
  }

  hold(ask: () => InputResult | Promise<InputResult>): { answer?: Answer } {
    const held: { answer?: Answer } = {};
    try {
      const reply = ask();
      if (reply instanceof Promise) {
        reply.then(
          (late) => {
            held.answer = shown(late);
          },
          (error) => {
            held.answer = refusal(error);
          },
        );
      } else {
        held.answer = shown(reply);
      }
    } catch (error) {
      held.answer = refusal(error);
    }
    return held;
  }

  answer(data: string | Buffer, offset?: bigint): Answer | undefined {
    return this.offer(data, offset).answer;
  }

  /** The child reads the oldest write that it has not read. */
  async childReads(): Promise<void> {
    this.#unread.shift()?.();
    await settled();
  }

  async ends(): Promise<void> {
    this.running = false;
    this.ledger.processEnded();
    await settled();
  }

  get text(): string {
    return Buffer.concat(this.written).toString();
  }
}

function shown({ applied, duplicate }: InputResult): Answer {
  return duplicate ? { applied, duplicate } : { applied };
}

function refusal(error: unknown): Answer {
  if (!(error instanceof EngineFailure)) {
    throw error;
  }
  return { refused: error.kind };
}

/** Promise callbacks have run. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) {
    await Promise.resolve();
  }
}

const megabyte = Buffer.alloc(1 << 20, 'x');
/** Fills the queue up to `left` bytes. */
function fill(scene: Scene, left = 0): void {
  for (let count = 0; count < 15; count++) {
    scene.offer(megabyte);
  }
  scene.offer(megabyte.subarray(left));
  expect(scene.ledger.applied).toBe(queueMax - left);
}

describe.each<ProfileName>(['S', 'current', 'next'])('profile %s:', (profile) => {
  test('without offset every byte is appended and counted', () => {
    const scene = new Scene(profile);
    expect([scene.answer('AAA\n'), scene.answer('BB')]).toEqual([{ applied: 4 }, { applied: 6 }]);
    expect(scene.text).toBe('AAA\nBB');
  });

  test('the run of the contract writes every byte once', () => {
    const scene = new Scene(profile);
    expect([
      scene.answer('AAA\n'),
      scene.answer('BBB\n', 4n),
      scene.answer('DUP\n', 4n),
      scene.answer('PART\n', 6n),
      scene.answer('GAP\n', 99n),
    ]).toEqual([{ applied: 4 }, { applied: 8 }, { applied: 8, duplicate: true }, { applied: 11 }, gap]);
    expect(scene.text).toBe('AAA\nBBB\nRT\n');
  });

  test.each<[string, string, bigint | undefined, Answer, string]>([
    ['data at the count is appended', 'abc', 6n, { applied: 9 }, 'abc'],
    ['data one past the count is a gap', 'abc', 7n, gap, ''],
    ['the largest number there is is a gap', 'abc', uint64Max, gap, ''],
    ['a number whose end would pass 2^64 is a gap', 'abcdef', uint64Max - 2n, gap, ''],
    ['data that ends at the count is a duplicate', 'abc', 3n, { applied: 6, duplicate: true }, ''],
    ['data from the start that is all known is a duplicate', 'abcdef', 0n, { applied: 6, duplicate: true }, ''],
    ['data that reaches one byte past the count brings that byte', 'abcdX', 2n, { applied: 7 }, 'X'],
    ['data that covers all and more brings the rest', 'abcdefGH', 0n, { applied: 8 }, 'GH'],
    ['no data at the count is no duplicate', '', 6n, { applied: 6 }, ''],
    ['no data without offset is no duplicate', '', undefined, { applied: 6 }, ''],
    ['no data before the count is a duplicate', '', 5n, { applied: 6, duplicate: true }, ''],
    ['no data past the count is a gap', '', 7n, gap, ''],
  ])('%s', (_, data, offset, expected, appended) => {
    const scene = new Scene(profile);
    scene.offer('123456');
    expect(scene.answer(data, offset)).toEqual(expected);
    expect(scene.text).toBe(`123456${appended}`);
    expect(scene.ledger.applied).toBe(6 + appended.length);
  });

  test('a queue of exactly the limit is accepted', () => {
    const scene = new Scene(profile);
    fill(scene);
    expect(scene.timesFull).toBe(0);
  });

  test('an empty queue takes any message, also one above the limit', () => {
    const scene = new Scene(profile);
    expect(scene.answer(Buffer.alloc(queueMax + 1))).toEqual({ applied: queueMax + 1 });
    expect(scene.timesFull).toBe(0);
  });

  test('no data and known data are answered while the queue is full', () => {
    const scene = new Scene(profile);
    fill(scene);
    expect(scene.answer('')).toEqual({ applied: queueMax });
    expect(scene.answer('x', 3n)).toEqual({ applied: queueMax, duplicate: true });
    expect(scene.answer('x', BigInt(queueMax) + 1n)).toEqual(gap);
  });

  test('a full queue is told once, however often it is met', async () => {
    const scene = new Scene(profile);
    fill(scene);
    scene.offer('a');
    scene.offer('b');
    await scene.childReads();
    for (let count = 0; count < 3; count++) {
      scene.offer(megabyte);
    }
    expect(scene.timesFull).toBe(1);
  });

  test('however a client repeats itself, the child reads every byte of the message once and in order', () => {
    const message = Buffer.from(Array.from({ length: 200 }, (_, index) => index));
    const piece = fc.record({ offset: fc.nat(199), length: fc.nat(60) });
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        const scene = new Scene(profile);
        for (const { offset, length } of pieces) {
          const before = scene.ledger.applied;
          const data = message.subarray(offset, offset + length);
          const answer = scene.answer(data, BigInt(offset));
          if (offset > before) {
            expect(answer).toEqual(gap);
          } else if (offset < before && offset + data.length <= before) {
            expect(answer).toEqual({ applied: before, duplicate: true });
          } else {
            expect(answer).toEqual({ applied: Math.max(before, offset + data.length) });
          }
        }
        expect(Buffer.concat(scene.written)).toEqual(message.subarray(0, scene.ledger.applied));
      }),
    );
  });
});

describe('a full queue in profile S', () => {
  test('holds the reply back until there is room, and the data with it', async () => {
    const scene = new Scene('S');
    fill(scene);
    const held = scene.offer('late', BigInt(queueMax));
    await settled();
    expect([held.answer, scene.ledger.applied]).toEqual([undefined, queueMax]);
    await scene.childReads();
    expect(held.answer).toEqual({ applied: queueMax + 4 });
    expect(scene.written.at(-1)).toEqual(Buffer.from('late'));
  });

  test('makes later requests wait their turn, also those that would fit or fail', async () => {
    const scene = new Scene('S');
    fill(scene, 10);
    const large = scene.offer(megabyte);
    const small = scene.offer('x');
    const early = scene.offer('y', 0n);
    const far = scene.offer('z', uint64Max);
    await settled();
    expect([large, small, early, far]).toEqual([{}, {}, {}, {}]);
    await scene.childReads();
    const applied = queueMax - 10 + megabyte.length;
    expect([large, small, early, far].map(({ answer }) => answer)).toEqual([
      { applied },
      { applied: applied + 1 },
      { applied: applied + 1, duplicate: true },
      gap,
    ]);
  });

  test('lets in what fits and goes on holding the rest', async () => {
    const scene = new Scene('S');
    fill(scene);
    const held = [scene.offer(megabyte), scene.offer(megabyte), scene.offer(megabyte)];
    await scene.childReads();
    expect(held.map(({ answer }) => answer !== undefined)).toEqual([true, false, false]);
    await scene.childReads();
    expect(held.map(({ answer }) => answer !== undefined)).toEqual([true, true, false]);
  });

  test('answers those who wait when the process ends first', async () => {
    const scene = new Scene('S');
    fill(scene);
    const held = [scene.offer('a'), scene.offer('b')];
    await scene.ends();
    expect(held.map(({ answer }) => answer)).toEqual([notRunning, notRunning]);
    expect(scene.ledger.applied).toBe(queueMax);
    await scene.childReads();
    expect(scene.ledger.applied).toBe(queueMax);
  });
});

describe.each<ProfileName>(['current', 'next'])('a full queue in profile %s', (profile) => {
  test('is refused at once with nothing counted, and the same bytes are accepted later', async () => {
    const scene = new Scene(profile);
    fill(scene);
    expect(scene.answer('late', BigInt(queueMax))).toEqual(queueFull);
    expect(scene.ledger.applied).toBe(queueMax);
    await scene.childReads();
    expect(scene.answer('late', BigInt(queueMax))).toEqual({ applied: queueMax + 4 });
  });

  test('refuses by what is new: bytes that are known already take no room', () => {
    const scene = new Scene(profile);
    fill(scene, 3);
    const repeated = Buffer.concat([Buffer.alloc(10, 'x'), Buffer.from('new')]);
    expect(scene.answer(repeated, BigInt(queueMax - 13))).toEqual({ applied: queueMax });
    expect(scene.answer(repeated, BigInt(queueMax - 10))).toEqual(queueFull);
  });

  test('accepts a smaller request after it refused a larger one', () => {
    const scene = new Scene(profile);
    fill(scene, 3);
    expect([scene.answer('four'), scene.answer('one')]).toEqual([queueFull, { applied: queueMax }]);
  });
});

describe('a process that has ended', () => {
  test.each<[string, bigint | undefined]>([
    ['fresh', undefined],
    ['fresh', 6n],
    ['known', 0n],
    ['far', 99n],
    ['', 6n],
    ['', 0n],
  ])('in profile S refuses %j at offset %s, whatever the number says', async (data, offset) => {
    const scene = new Scene('S');
    scene.offer('123456');
    await scene.ends();
    expect(scene.answer(data, offset)).toEqual(notRunning);
  });

  test.each<[string, bigint | undefined, Answer]>([
    ['fresh', undefined, notRunning],
    ['fresh', 6n, notRunning],
    ['5678', 4n, notRunning],
    ['known', 0n, { applied: 6, duplicate: true }],
    ['far', 99n, gap],
    ['', undefined, notRunning],
    ['', 6n, notRunning],
    ['', 5n, { applied: 6, duplicate: true }],
  ])('in profile current answers %j at offset %s by its number first', async (data, offset, expected) => {
    const scene = new Scene('current');
    scene.offer('123456');
    await scene.ends();
    expect(scene.answer(data, offset)).toEqual(expected);
    expect(scene.text).toBe('123456');
  });
});

describe('the end of the input', () => {
  test('comes behind the last accepted byte, once all of them were taken', async () => {
    const scene = new Scene('S');
    scene.answer('abc');
    expect(scene.close(3n)).toEqual({ applied: 3 });
    expect(scene.timesEnded).toBe(0);
    await scene.childReads();
    expect(scene.timesEnded).toBe(1);
    expect(scene.close(3n)).toEqual({ applied: 3, duplicate: true });
    expect(scene.timesEnded).toBe(1);
  });

  test('waits for bytes that are still to come, and is not put before bytes that have come', () => {
    const scene = new Scene('current');
    scene.answer('abc');
    expect(scene.close(4n)).toEqual(gap);
    expect(scene.close(2n)).toEqual({ refused: 'stdinEndBehind' });
    expect(scene.close(uint64Max)).toEqual(gap);
    expect(scene.answer('d', 3n)).toEqual({ applied: 4 });
    expect(scene.close(4n)).toEqual({ applied: 4 });
  });

  test('leaves repeated requests duplicates and refuses fresh bytes', () => {
    const scene = new Scene('S');
    scene.answer('abc');
    scene.close(3n);
    expect(scene.answer('bc', 1n)).toEqual({ applied: 3, duplicate: true });
    expect(scene.answer('cd', 2n)).toEqual({ refused: 'stdinClosed' });
    expect(scene.answer('d')).toEqual({ refused: 'stdinClosed' });
  });

  test('asked for while requests wait for room takes its turn behind them', async () => {
    const scene = new Scene('S');
    fill(scene);
    const late = scene.offer('late');
    const end = scene.hold(() => scene.ledger.close(BigInt(queueMax + 4)));
    expect([late.answer, end.answer]).toEqual([undefined, undefined]);
    for (let count = 0; count < 17; count++) {
      await scene.childReads();
    }
    expect([late.answer, end.answer]).toEqual([{ applied: queueMax + 4 }, { applied: queueMax + 4 }]);
    expect(scene.timesEnded).toBe(1);
  });

  test('of an ended process is known when it was asked for, and refused when not', async () => {
    const asked = new Scene('current');
    asked.answer('abc');
    asked.close(3n);
    await asked.ends();
    expect(asked.close(3n)).toEqual({ applied: 3, duplicate: true });
    const never = new Scene('current');
    await never.ends();
    expect(never.close(0n)).toEqual(notRunning);
  });
});

test('bytes that are to go to one place exactly go there whole or not at all', () => {
  const scene = new Scene('S');
  const exact = (text: string, offset: bigint) =>
    scene.hold(() => scene.ledger.offer(Buffer.from(text), offset, undefined, 'exact'));
  expect(exact('one', 0n)).toEqual({ answer: { applied: 3 } });
  // Without `exact` the first would be a repetition and the second would be taken from its fourth byte on.
  expect(exact('one', 0n)).toEqual({ answer: { refused: 'stdinBehind' } });
  expect(exact('other', 0n)).toEqual({ answer: { refused: 'stdinBehind' } });
  expect(exact('two', 9n)).toEqual({ answer: gap });
  expect(exact('two', 3n)).toEqual({ answer: { applied: 6 } });
  expect(Buffer.concat(scene.written).toString()).toBe('onetwo');
});

test('bytes that go aside reach the child behind those that are counted, and the count is what it was', () => {
  const scene = new Scene('S');
  const aside = (data: string, offset: bigint, before: bigint) =>
    scene.hold(() => scene.ledger.offer(Buffer.from(data), offset, undefined, { aside: before })).answer;
  expect(scene.offer('mine\n', 0n).answer).toEqual({ applied: 5 });
  expect(aside('theirs\n', 5n, 0n)).toEqual({ applied: 5 });
  // All or nothing: somebody was quicker, on either side, or the place is not reached yet.
  expect(aside('late\n', 5n, 0n)).toEqual({ refused: 'stdinBehind' });
  expect(aside('late\n', 0n, 7n)).toEqual({ refused: 'stdinBehind' });
  expect(aside('early\n', 9n, 7n)).toEqual(gap);
  expect(aside('early\n', 5n, 8n)).toEqual(gap);
  // Whoever counts its own goes on where it was, and may repeat what it has sent.
  expect(scene.offer('mine\nagain\n', 0n).answer).toEqual({ applied: 11 });
  expect(aside('theirs too\n', 11n, 7n)).toEqual({ applied: 11 });
  expect(scene.close(11n)).toEqual({ applied: 11 });
  expect(aside('closed\n', 11n, 18n)).toEqual({ refused: 'stdinClosed' });
  expect(Buffer.concat(scene.written).toString()).toBe('mine\ntheirs\nagain\ntheirs too\n');
  expect([scene.ledger.applied, scene.ledger.aside]).toEqual([11, 18]);
});
