/**
 * Nothing that comes over the channel brings a keeper or a daemon down, makes it hang or fills its memory: damaged streams, and
 * whole messages that make no sense. `HOLDFAST_FUZZ_SEED` repeats a run, `HOLDFAST_FULL_FAULTS=1` makes it long.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { loadPlatform } from '../../platform/load.ts';
import { createCounters } from '../../src/base/counters.ts';
import { createLog } from '../../src/base/log.ts';
import { timings } from '../../src/base/timings.ts';
import type { SpawnRequest } from '../../src/engine/session-engine.ts';
import { Channel } from '../../src/keeper/channel/channel.ts';
import { ChannelError, headerBytes, MessageReader, usualLimits } from '../../src/keeper/channel/message-reader.ts';
import { channelVersions, messageTypes } from '../../src/keeper/channel/messages.ts';
import { Keeper } from '../../src/keeper/host/keeper.ts';
import { RemoteEngine } from '../../src/keeper/remote/remote-engine.ts';
import { defaultProfile } from '../../src/wire/profiles.ts';
import { TestReader } from '../engine/test-reader.ts';
import { byLength, limitMs } from '../faults/support/length.ts';
import { waitUntil } from '../support/wait.ts';

const seed = Number(process.env.HOLDFAST_FUZZ_SEED ?? 20261128);
const platform = await loadPlatform();

/** Mulberry32: the same numbers for the same seed. */
class Random {
  #state: number;

  constructor(start: number) {
    this.#state = start;
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  of<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T;
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.below(256)));
  }
}

const types = Object.values(messageTypes);

interface Sent {
  readonly type: number;
  readonly id: number;
  readonly text: string;
  readonly data: Buffer;
}

function encode({ type, id, text, data }: Sent): Buffer {
  const head = Buffer.alloc(headerBytes);
  head.writeUInt32LE(type, 0);
  head.writeUInt32LE(id, 4);
  head.writeUInt32LE(Buffer.byteLength(text), 8);
  head.writeUInt32LE(data.length, 12);
  return Buffer.concat([head, Buffer.from(text), data]);
}

const keys = [
  ...['method', 'reader', 'request', 'id', 'offset', 'how', 'role', 'fromSeq', 'sessions', 'place', 'mark', 'stream'],
  ...['process', 'level', 'component', 'text', 'event', 'exit', 'engine', 'system', 'code', 'address', 'segmentBytes'],
  ...['environment', 'platform', 'slowReader', 'pieceBytes', 'command', 'args', 'env', 'ifAbsent', '__proto__'],
];
const words = [
  ...['spawn', 'input', 'closeInput', 'end', 'attach', 'unobserve', 'sessions', 'signal', 'release', 'observer'],
  ...['receiver', 'warn', 'spawned', 'exited', 'forgotten', 'p', '', '-1', '18446744073709551616', '0', '7', '../../x'],
];

/** Mostly what a message might have, in the wrong places. No `close`: an engine that is closed starts nothing any more. */
function anyValue(random: Random, depth = 0): unknown {
  switch (random.below(depth > 3 ? 5 : 8)) {
    case 0:
      return random.of([null, true, false]);
    case 1:
      return random.of([0, 1, 2, 3, -1, 0.5, 2 ** 31, 2 ** 53, -(2 ** 60), 1e300]);
    case 2:
    case 3:
      return random.of(words);
    case 4:
      return '\u{1f600}'.repeat(random.below(50));
    case 5:
      return Array.from({ length: random.below(6) }, () => anyValue(random, depth + 1));
    default:
      return Object.fromEntries(
        Array.from({ length: random.below(7) }, () => [random.of(keys), anyValue(random, depth + 1)]),
      );
  }
}

function anyMessage(random: Random): Sent {
  const text = random.below(5) === 0 ? '' : JSON.stringify(anyValue(random));
  const data = random.bytes(random.of([0, 0, 1, 17, 300]));
  return { type: random.of(types), id: random.of([0, 1, 2, 3, 4, 2 ** 32 - 1]), text, data };
}

/** Everything a reader makes of a stream. @returns why it stopped, if it did */
function readAll(stream: Buffer, random: Random): { readonly got: Sent[]; readonly stopped: Error | undefined } {
  const reader = new MessageReader();
  const got: Sent[] = [];
  for (let at = 0; at < stream.length; ) {
    const piece = stream.subarray(at, at + 1 + random.below(random.of([3, 100, 70_000])));
    at += piece.length;
    reader.push(piece);
    try {
      for (let message = reader.next(); message !== undefined; message = reader.next()) {
        const { name, id, value, data } = message;
        const text = value === undefined ? '' : JSON.stringify(value);
        // It is valid until the next read only.
        got.push({ type: messageTypes[name], id, text, data: Buffer.from(data) });
      }
    } catch (error) {
      return { got, stopped: error as Error };
    }
  }
  return { got, stopped: undefined };
}

test('a length that cannot be is refused behind what came before it, however much follows, and costs no memory', () => {
  const ping: Sent = { type: messageTypes.retire, id: 7, text: '', data: Buffer.alloc(0) };
  const forged = Buffer.alloc(headerBytes);
  forged.writeUInt32LE(messageTypes.state, 0);
  forged.writeUInt32LE(usualLimits.text + 1, 8);
  const reader = new MessageReader();
  reader.push(encode(ping));
  reader.push(forged);
  // More than there is room for at the beginning.
  reader.push(Buffer.alloc(300_000));
  expect(reader.next()).toMatchObject({ name: 'retire', id: 7 });
  expect(() => reader.next()).toThrow(ChannelError);

  forged.writeUInt32LE(usualLimits.text, 8);
  const patient = new MessageReader();
  patient.push(forged);
  patient.push(Buffer.alloc(300_000));
  expect(patient.next()).toBeUndefined();
  expect(patient.room().length).toBeLessThan(4_000_000);
});

test(`seed ${seed}: a damaged stream is refused where it is damaged, and everything before that is read`, {
  timeout: limitMs(60),
}, () => {
  const random = new Random(seed);
  let refused = 0;
  for (let round = 0; round < byLength(600, 20_000); round++) {
    const messages = Array.from({ length: 1 + random.below(12) }, () => anyMessage(random));
    const encoded = messages.map(encode);
    const stream = Buffer.concat(encoded);
    const place = random.below(stream.length);
    let damaged = stream;
    switch (random.below(4)) {
      case 0:
        damaged = stream.subarray(0, place);
        break;
      case 1:
        damaged = Buffer.from(stream);
        damaged[place] = random.below(256);
        break;
      case 2:
        damaged = Buffer.concat([stream.subarray(0, place), random.bytes(random.below(200)), stream.subarray(place)]);
        break;
      default:
        // A length that is forged: of the head of one of the messages.
        damaged = Buffer.from(stream);
        damaged.writeUInt32LE(
          random.of([usualLimits.data, usualLimits.data + 1, usualLimits.text + 1, 2 ** 32 - 1, 0, 1]),
          encoded
            .slice(0, random.below(encoded.length))
            .reduce((sum, { length }) => sum + length, 8 + 4 * random.below(2)),
        );
    }
    const { got, stopped } = readAll(damaged, random);
    if (stopped !== undefined) {
      refused++;
      expect(stopped, `round ${round}`).toBeInstanceOf(ChannelError);
    }
    let same = 0;
    while (same < Math.min(stream.length, damaged.length) && stream[same] === damaged[same]) {
      same++;
    }
    let end = 0;
    const whole = messages.filter((_message, index) => {
      end += encoded[index]?.length ?? 0;
      return end <= same;
    });
    expect(
      got.slice(0, whole.length).map(({ type, id, data }) => [type, id, data]),
      `round ${round}`,
    ).toEqual(whole.map(({ type, id, data }) => [type, id, data]));
  }
  expect(refused).toBeGreaterThan(50);
});

interface Ends {
  readonly path: string;
  /** The keeper's end of the next connection. */
  readonly accepted: () => Promise<Socket>;
}

async function listen(): Promise<Ends> {
  const directory = mkdtempSync('/tmp/hf-');
  const path = join(directory, 's');
  const waiting: Socket[] = [];
  const server = createServer((socket) => waiting.push(socket.on('error', () => {})));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  onTestFinished(() => {
    server.close();
    rmSync(directory, { recursive: true });
  });
  return { path, accepted: () => waitUntil(() => waiting.shift(), 'a connection') };
}

function newKeeper(path: string): Keeper {
  return new Keeper({ platform, timings, socketPath: path, onUnused: () => {} });
}

function newEngine(): { readonly engine: RemoteEngine; readonly ends: string[] } {
  const ends: string[] = [];
  const engine = new RemoteEngine({
    settings: {
      ...{ process: defaultProfile.process, platform: defaultProfile.platform, slowReader: 'pace' },
      ...{ environment: platform.startedWith.environment(), workingDirectory: process.cwd(), pieceBytes: 256 * 1024 },
      ...{ markedFor: undefined, sessionMarks: undefined, unseenRetentionMs: undefined, memoryBudget: 0 },
    },
    log: createLog({ level: 'error' }),
    counters: createCounters(),
    shellPath: { value: undefined, wait: () => Promise.resolve() },
    shellAgent: undefined,
    sharedMemory: platform.sharedMemory,
    wantsChannel: () => {},
    channelEnded: (reason) => ends.push(reason),
  });
  return { engine, ends };
}

/** The channel works: a program is started over it, and what it prints comes back. */
async function works(engine: RemoteEngine, keeper: Keeper, { path, accepted }: Ends): Promise<void> {
  const channel = new Channel(connect(path), platform.transport.sendNow);
  keeper.serve(new Channel(await accepted(), platform.transport.sendNow), channelVersions[1]);
  await engine.connected(channel, process.pid);
  const reader = new TestReader();
  const id = `works-${Math.random()}`;
  const nothing = { cwd: undefined, env: undefined, ifAbsent: undefined, door: undefined, launcher: undefined };
  const request: SpawnRequest = { id, command: 'echo', args: ['here'], withoutShellAgent: false, ...nothing };
  await reader.ask('spawn', engine.spawn(request, reader));
  await reader.untilExit(id);
  expect(reader.output(id)).toBe('here\n');
  channel.close('that was all');
}

test(`seed ${seed}: a keeper outlives a daemon that talks nonsense, and serves the next one`, {
  timeout: limitMs(60),
}, async () => {
  const random = new Random(seed + 1);
  const ends = await listen();
  const keeper = newKeeper(ends.path);
  let dropped = 0;
  for (let round = 0; round < byLength(60, 1_500); round++) {
    const daemon = connect(ends.path).on('error', () => {});
    const socket = await ends.accepted();
    const channel = new Channel(socket, platform.transport.sendNow);
    keeper.serve(channel, random.of([1, 2]));
    daemon.resume();
    for (let count = random.below(40); count > 0; count--) {
      daemon.write(encode(anyMessage(random)));
    }
    daemon.write(random.bytes(random.below(3) * 40));
    daemon.end();
    await waitUntil(() => !channel.isOpen, `round ${round}: the keeper to let go of the daemon`);
    dropped += channel.isBroken ? 1 : 0;
    daemon.destroy();
  }
  expect(dropped).toBeGreaterThan(20);
  await works(newEngine().engine, keeper, ends);
});

test(`seed ${seed}: a daemon outlives a keeper that talks nonsense, and finds the next one`, {
  timeout: limitMs(60),
}, async () => {
  const random = new Random(seed + 2);
  const ends = await listen();
  const { engine, ends: told } = newEngine();
  for (let round = 0; round < byLength(60, 1_500); round++) {
    const channel = new Channel(connect(ends.path), platform.transport.sendNow);
    const keeper = await ends.accepted();
    keeper.resume();
    const began = engine.connected(channel, process.pid).catch(() => undefined);
    if (random.below(2) === 0) {
      keeper.write(
        encode({ type: messageTypes.state, id: 0, text: '{"sessions":[],"startedAt":0}', data: Buffer.alloc(0) }),
      );
    }
    const reader = new TestReader();
    // A call that has no answer, or a foolish one.
    const asked = Promise.resolve(engine.attach('p', 0n, reader, 'receiver')).catch(() => undefined);
    for (let count = random.below(40); count > 0; count--) {
      keeper.write(encode(anyMessage(random)));
    }
    keeper.end();
    await waitUntil(() => told.length === round + 1, `round ${round}: the end to be told`);
    engine.failed(new Error('the round is over'));
    for (const stream of engine.streams.takeAll()) {
      stream.lost();
    }
    await Promise.all([began, asked]);
    keeper.destroy();
  }
  await works(engine, newKeeper(ends.path), ends);
});
