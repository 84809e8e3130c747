/** Random lives of processes against the model, over the real daemon (spec process.md §2–§8). */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { connectRaw } from '../tools/raw-connection.ts';
import { type Generation, Model, type Outcome, Reader, Record, type Who } from './model.ts';

interface Params {
  readonly id: string;
  readonly [name: string]: unknown;
}

/** The daemon's side of a run: two clients and what they saw. */
class World {
  readonly #daemon: TestDaemon;
  readonly #prefix: string;
  readonly records = new Map<string, Record>();
  readers: [Reader, Reader];

  static async open(daemon: TestDaemon, run: number): Promise<World> {
    const readers: [Reader, Reader] = [new Reader(await connectRaw(daemon)), new Reader(await connectRaw(daemon))];
    return new World(daemon, `run${run}-`, readers);
  }

  private constructor(daemon: TestDaemon, prefix: string, readers: [Reader, Reader]) {
    this.#daemon = daemon;
    this.#prefix = prefix;
    this.readers = readers;
  }

  /** Ids of a run are its own, so that one daemon serves all runs. */
  name(id: string): string {
    return this.#prefix + id;
  }

  post(who: Who, method: string, params: Params): number {
    return this.readers[who].client.post(method, { ...params, id: this.name(params.id) });
  }

  async request(who: Who, method: string, params: Params): Promise<Outcome> {
    const { result, error } = await this.readers[who].client.request(method, { ...params, id: this.name(params.id) });
    return error === undefined ? { result } : { error: error.message };
  }

  async reconnect(who: Who): Promise<void> {
    this.readers[who].readAll();
    await this.readers[who].client.close();
    this.readers[who] = new Reader(await connectRaw(this.#daemon));
  }

  /** Nobody was sent anything they should not have been. */
  readAll(): void {
    for (const reader of this.readers) {
      reader.readAll();
    }
  }

  async close(): Promise<void> {
    for (const { client } of this.readers) {
      await client.close();
    }
  }
}

type Command = fc.AsyncCommand<Model, World>;

const ids = ['a', 'b', 'c'];
const who = fc.constantFrom<Who>(0, 1);
const id = fc.constantFrom(...ids);

function command(
  text: string,
  run: (model: Model, world: World) => Promise<void>,
  check = (_: Model) => true,
): Command {
  return {
    check,
    toString: () => text,
    run: async (model, world) => {
      await run(model, world);
      world.readAll();
    },
  };
}

const spawn = fc.record({ who, id }).map(({ who, id }) =>
  command(
    `client ${who} spawns ${id}`,
    async (model, world) => {
      const expected = model.spawn(id, who);
      const record = new Record();
      world.records.set(id, record);
      const request = world.post(who, 'process.spawn', { id, command: 'cat' });
      await world.readers[who].spawned(world.name(id), record, request);
      expect(world.readers[who].client.replies.at(-1)).toMatchObject(expected);
      // Who had the replaced process gets no further frame of it.
      const other = world.readers[who === 0 ? 1 : 0];
      await other.client.call('server.ping');
      other.readAll();
      other.subscriptions.delete(world.name(id));
    },
    // There the replaced process streams on, which a client can tell only by its own bookkeeping.
    (model) => model.generation !== 'next' || model.processes.get(id)?.running !== true,
  ),
);

const spawnBadly = fc.record({ who, id }).map(({ who, id }) =>
  command(`client ${who} spawns ${id}, which cannot start`, async (_, world) => {
    const outcome = await world.request(who, 'process.spawn', { id, command: '/nonexistent' });
    expect(outcome).toEqual({ error: 'fork/exec /nonexistent: no such file or directory' });
  }),
);

const offset = fc.oneof(
  fc.constant('none' as const),
  fc.record({ at: fc.constantFrom('end' as const, 'start' as const), plus: fc.integer({ min: -6, max: 6 }) }),
);
const stdin = fc.record({ who, id, data: fc.uint8Array({ maxLength: 12 }), offset }).map(({ who, id, data, offset }) =>
  command(
    `client ${who} writes ${data.length} bytes to ${id} at ${offset === 'none' ? 'no offset' : `${offset.at}${offset.plus}`}`,
    async (model, world) => {
      const applied = model.processes.get(id)?.input.length ?? 0;
      const number = offset === 'none' ? undefined : Math.max(0, (offset.at === 'end' ? applied : 0) + offset.plus);
      const bytes = Buffer.from(data);
      const expected = model.stdin(id, bytes, number);
      const params = { id, data: bytes.toString('base64'), ...(number === undefined ? {} : { offset: number }) };
      expect(await world.request(who, 'process.stdin', params)).toEqual(expected);
    },
  ),
);

const kill = fc
  .record({ who, id, signal: fc.constantFrom('TERM', 'SIGKILL', 'INT', 'HUP', 'nonsense', undefined) })
  .map(({ who, id, signal }) =>
    command(`client ${who} kills ${id} with ${signal}`, async (model, world) => {
      const expected = model.killAndWait(id);
      expect(
        await world.request(who, 'process.killAndWait', { id, ...(signal === undefined ? {} : { signal }) }),
      ).toEqual(expected);
      expect(await world.request(who, 'process.kill', { id })).toEqual({ result: { success: true } });
    }),
  );

const detach = who.map((who) =>
  command(`client ${who} drops its connection and comes back`, async (model, world) => {
    model.leave(who);
    await world.reconnect(who);
  }),
);

const reattach = fc.record({ who, id, back: fc.nat(8), all: fc.boolean() }).map(({ who, id, back, all }) =>
  command(`client ${who} reattaches ${id} from ${all ? 'the start' : `${back} frames ago`}`, async (model, world) => {
    const { closes, ...expected } = model.reattach(id, who);
    const record = world.records.get(id) ?? new Record();
    const fromSeq = all ? 0 : Math.max(0, record.last.seq + 2 - back);
    const request = world.post(who, 'process.reattach', { id, fromSeq });
    const reader = world.readers[who];
    if (!expected.found) {
      const reply = await reader.client.waitFor(
        () => reader.client.replies.find(({ id }) => id === request),
        'the reply',
      );
      expect(reply.result).toEqual({ ...expected, firstSeq: 0, lastSeq: 0 });
      return;
    }
    const { lastSeq } = await reader.reattached(world.name(id), record, fromSeq, request);
    expect(reader.client.replies.find(({ id }) => id === request)?.result).toMatchObject(expected);
    const other = world.readers[who === 0 ? 1 : 0].subscriptions.get(world.name(id));
    if (other?.record === record) {
      other.last = lastSeq;
    }
    if (closes !== undefined) {
      await world.readers[closes].client.untilClosed();
      await world.reconnect(closes);
    }
  }),
);

/** Brings every process to its end and looks at its whole life at once. */
async function finish(model: Model, world: World): Promise<void> {
  for (const [id, process] of model.processes) {
    const record = world.records.get(id) as Record;
    const wasRunning = process.running;
    const look = async (): Promise<void> => {
      const { closes } = model.reattach(id, 0);
      const request = world.post(0, 'process.reattach', { id, fromSeq: 0 });
      const { lastSeq } = await world.readers[0].reattached(world.name(id), record, 0, request);
      const other = world.readers[1].subscriptions.get(world.name(id));
      if (other?.record === record) {
        other.last = lastSeq;
      }
      if (closes !== undefined) {
        await world.reconnect(closes);
      }
    };
    await look();
    const { client } = world.readers[0];
    if (wasRunning) {
      await client.waitFor(() => {
        world.readers[0].readAll();
        return record.output.length === process.input.length;
      }, `everything written to ${id} to come back`);
      expect(record.output).toEqual(process.input);
    }
    await world.request(0, 'process.killAndWait', { id });
    model.killAndWait(id);
    await look();
    // A child that was killed early has echoed a part of it.
    expect(process.input.subarray(0, record.output.length)).toEqual(record.output);
    expect(JSON.parse(record.last.raw)).toMatchObject({ stream: 'exit', exitCode: -1 });
  }
  world.readAll();
}

describe.each<Generation>(['S', 'current', 'next'])('profile %s', (generation) => {
  let daemon: TestDaemon;
  let runs = 0;
  beforeAll(async () => {
    daemon = await startDaemon({ profile: generation });
  });
  afterAll(() => daemon?.[Symbol.asyncDispose]());

  test('whatever two clients do, each answer, each replay and each frame is the one the requests allow', async () => {
    const steps = fc.commands([spawn, stdin, stdin, reattach, reattach, kill, detach, spawnBadly], {
      maxCommands: 40,
      size: 'max',
    });
    await fc.assert(
      fc.asyncProperty(steps, async (commands) => {
        const world = await World.open(daemon, ++runs);
        const model = new Model(generation);
        try {
          await fc.asyncModelRun(() => ({ model, real: world }), commands);
          await finish(model, world);
        } finally {
          await world.close();
        }
      }),
      // A run that hangs takes its patience; shrinking it would take that many times over.
      { numRuns: 100, endOnFailure: true },
    );
  }, 60_000);
});
