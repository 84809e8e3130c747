/**
 * Chaos: sessions with random output and input, and every few seconds something happens to a client, a bridge, the daemon, its
 * release, or the channel to the keeper (faults 2, 3, 5, 6). The judge knows only what clients sent and saw and what the
 * children wrote down. `HOLDFAST_CHAOS_SEED` repeats a run, `HOLDFAST_FULL_FAULTS=1` makes it an hour with
 * 50 sessions, `HOLDFAST_CHAOS_SECONDS` any other length.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { byLength } from '../faults/support/length.ts';
import { WatchedRun } from '../faults/support/watched-run.ts';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { fixture } from '../support/fixtures.ts';
import { openDescriptors, processFacts, untilEnded } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';
import { Noise } from '../tools/noise.ts';
import { connectRaw, type RawConnection } from '../tools/raw-connection.ts';
import { keeperOf } from './support/keeper.ts';
import { makeRelease } from './support/release.ts';

const seconds = Number(process.env.HOLDFAST_CHAOS_SECONDS ?? byLength(120, 3600));
const sessions = byLength(20, 50);
const seed = Number(process.env.HOLDFAST_CHAOS_SEED ?? 20261128);

/** Mulberry32: the same numbers for the same seed. */
function randomFrom(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A socket behind which every connection goes through a `-bridge` of its own. */
class Bridges implements AsyncDisposable {
  readonly address: string;
  readonly #running = new Set<ChildProcess>();
  readonly #server;

  constructor(daemon: TestDaemon) {
    this.address = join(daemon.dir, 'bridges');
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      const bridge = spawn(daemon.program, ['-bridge', '-socket', daemon.socket], {
        env: daemon.env,
        stdio: ['pipe', 'pipe', 'ignore'],
      });
      this.#running.add(bridge);
      socket.pipe(bridge.stdin);
      bridge.stdout.pipe(socket);
      socket.on('error', () => {}).on('close', () => bridge.kill('SIGKILL'));
      bridge.stdin.on('error', () => {});
      bridge.on('exit', () => {
        this.#running.delete(bridge);
        socket.destroy();
      });
    }).listen(this.address);
  }

  killOne(): void {
    const [bridge] = this.#running;
    bridge?.kill('SIGKILL');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const bridge of this.#running) {
      bridge.kill('SIGKILL');
    }
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** Starts a daemon as a user does: `-serve` again where a busy machine let the launcher's patience end before the daemon accepted. */
async function start(daemon: TestDaemon): Promise<void> {
  for (let tries = 1; ; tries++) {
    const { code, stderr } = await daemon.launch();
    if (code === 0) {
      return;
    }
    if (tries === 5 || !stderr.includes('timeout waiting for daemon to accept')) {
      throw new Error(`the launcher ended with ${code}\n${stderr}\n${daemon.log()}`);
    }
  }
}

/** A client that holds one session, whatever becomes of its connection, and feeds it. */
class Holder {
  readonly id: string;
  readonly #daemon: TestDaemon;
  /** A history for each session: those of an hour with all of them are more than can be judged at once. */
  readonly run: WatchedRun;
  readonly #bridges: Bridges | undefined;
  readonly #noise: Noise;
  readonly #random: () => number;
  client: RawConnection | undefined;
  pid = 0;
  applied = 0;
  isOver = false;
  #connections = 0;

  constructor(id: string, daemon: TestDaemon, bridges: Bridges | undefined, random: () => number) {
    this.id = id;
    this.#daemon = daemon;
    const folder = join(daemon.dir, id);
    mkdirSync(folder);
    this.run = new WatchedRun(folder);
    this.#bridges = bridges;
    this.#noise = new Noise(id);
    this.#random = random;
  }

  async begin(command: string, args: readonly string[]): Promise<void> {
    const client = await this.#connect();
    const { pid } = await client.spawn(this.id, command, args, { wantPid: true });
    this.pid = pid;
  }

  /** Holds on until the process has shown its exit. @param feeds whether it is given input, as long as that is so */
  async hold(feeds: () => boolean): Promise<void> {
    for (;;) {
      try {
        const client = this.client?.ended === false ? this.client : await this.#connect();
        if (client.stream(this.id).exit !== undefined) {
          return;
        }
        if (feeds()) {
          const bytes = this.#noise.bytes(this.applied, 1 + Math.floor(this.#random() ** 4 * 8_000));
          const { result } = await client.stdin(this.id, bytes, this.applied);
          this.applied = Math.max(this.applied, result?.applied ?? 0);
        }
      } catch {
        // The connection has broken, or nobody serves at this moment.
      }
      await sleep(10 + this.#random() * 200);
    }
  }

  async #connect(): Promise<RawConnection> {
    this.#connections++;
    const before = this.client;
    const target = { socket: this.#bridges?.address ?? this.#daemon.socket, token: this.#daemon.token };
    const client = await connectRaw(target, {
      name: `${this.id}-${this.#connections}`,
      observer: this.run.observer,
      keep: 'figures',
      ...(before === undefined ? {} : { continues: before }),
    });
    this.client = client;
    if (before !== undefined) {
      const place = { id: this.id, fromSeq: client.stream(this.id).lastSeq, wantPid: true };
      const found = await client.call('process.reattach', place).catch((error: unknown) => {
        // Refused while the keeper does not answer its daemon: this connection would never be told anything of the session.
        client.destroy();
        throw error;
      });
      if (found.found !== true || found.pid !== this.pid) {
        throw new Error(`session ${this.id} of pid ${this.pid}: ${JSON.stringify(found)}`);
      }
      this.applied = Math.max(this.applied, found.stdinApplied);
    }
    return client;
  }
}

test(`chaos of the faults 1, 3, 5 and 6, seed ${seed}: every byte once, exit codes right, the same pids, nothing left`, {
  timeout: (seconds + byLength(280, 1800)) * 1000,
}, async () => {
  const random = randomFrom(seed);
  // In an hour on a busy machine a client behind a bridge falls behind by more than the window, and what it missed would be gone
  // by contract: a run of 16 minutes was judged so.
  const spool = seconds > 300 ? ['-spool-bytes', String(2 ** 30)] : [];
  await using daemon = await startDaemon({ flags: ['-durable', ...spool], failpoints: '' });
  const own = daemon.program;
  const other = makeRelease(join(daemon.dir, 'other'), { version: '0.0.9', channel: [1, 1], forTests: true });
  await using bridges = new Bridges(daemon);
  const keeper = await keeperOf(daemon);
  // What the first session makes a keeper open for good, the folder of records and the memory for much output among it, is
  // there before we count.
  await using before = await connectRaw(daemon);
  await before.spawn('before', 'sh', ['-c', 'head -c 2000000 /dev/zero; sleep 0.3']);
  await before.exitOf('before');
  await before.call('holdfast.release', { all: true });
  await before.close();
  const descriptors = openDescriptors(keeper.pid).size;

  const holders = Array.from({ length: sessions }, (_, index) => {
    const id = `${index % 2 === 0 ? 'echo' : 'chat'}-${index}`;
    return new Holder(id, daemon, index % 4 < 2 ? undefined : bridges, randomFrom(seed + index));
  });
  const codes = new Map<string, number>();
  for (const [index, holder] of holders.entries()) {
    if (index % 2 === 0) {
      await holder.begin(...fixture('echo-lines.ts', ...holder.run.child(holder.id)));
    } else {
      const code = Math.floor(random() * 200);
      codes.set(holder.id, code);
      const args = ['--ms', String(seconds * 1000), '--code', String(code), '--seed', holder.id];
      await holder.begin(...fixture('chatter.ts', ...args, ...holder.run.child(holder.id)));
    }
  }
  let feeding = true;
  const held = Promise.all(holders.map((holder) => holder.hold(() => feeding && holder.id.startsWith('echo'))));

  const happenings: Record<string, () => Promise<void> | void> = {
    'a client is killed': () => holders[Math.floor(random() * holders.length)]?.client?.destroy(),
    'a bridge is killed': () => bridges.killOne(),
    'the daemon is killed': async () => {
      await daemon.kill();
      await start(daemon);
    },
    'the daemon stands still': async () => {
      daemon.signal('SIGSTOP');
      await sleep(3_000);
      daemon.signal('SIGCONT');
    },
    'another release takes over': async () => {
      daemon.program = daemon.program === own ? other : own;
      await start(daemon);
    },
    'the daemon is stopped and started': async () => {
      const target = daemon.process();
      await daemon.run(['-stop', '-socket', daemon.socket]);
      await untilEnded(target, `the daemon ${target.pid} to end after -stop`);
      await start(daemon);
    },
    'the channel is cut': async () => {
      daemon.program = own;
      daemon.env.HOLDFAST_FAILPOINTS = `channel.data.before=${20 + Math.floor(random() * 200)}*off->1*error(EIO)`;
      await start(daemon);
      delete daemon.env.HOLDFAST_FAILPOINTS;
    },
  };
  const names = Object.keys(happenings);
  const happened: string[] = [];
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    await sleep(500 + random() * 3_000);
    const name = names[Math.floor(random() * names.length)] as string;
    happened.push(name);
    await happenings[name]?.();
  }
  console.log(
    `seed ${seed}: ${names.map((name) => `${name}: ${happened.filter((each) => each === name).length}`).join(', ')}`,
  );

  feeding = false;
  for (const { id, run } of holders.filter((holder) => holder.id.startsWith('echo'))) {
    await using closer = await connectRaw(daemon, { name: `closer-${id}`, observer: run.observer });
    await waitUntil(async () => {
      // A reply may have been lost: how far the input has come is asked with nothing to add to it.
      const { result } = await closer.stdin(id, '');
      const closed = await closer.request('holdfast.closeStdin', { id, offset: result?.applied ?? 0 });
      return closed.result !== undefined;
    }, `the end of the input of ${id}`);
  }
  await held;
  for (const holder of holders) {
    const exit = holder.client?.stream(holder.id).exit;
    expect.soft(exit?.exitCode, holder.id).toBe(codes.get(holder.id) ?? 0);
    expect.soft(processFacts(holder.pid), `${holder.id} to be collected`).toBeUndefined();
    await holder.client?.close();
  }
  for (const { id, run } of holders) {
    if (codes.has(id)) {
      run.complete(id);
    } else {
      run.completeWithInput(id);
    }
    run.verify();
    run[Symbol.dispose]();
  }

  // Nothing is left: no process, no descriptor, and at the end no keeper and no file of it.
  expect((await keeperOf(daemon)).pid).toBe(keeper.pid);
  await using last = await connectRaw(daemon);
  expect(await last.call('holdfast.release', { all: true })).toEqual({ released: sessions });
  await waitUntil(
    () => openDescriptors(keeper.pid).size <= descriptors,
    'the descriptors of the sessions to be closed',
  );
  await daemon.stop();
  await untilEnded(keeper);
  await waitUntil(() => daemon.processes().length === 0, 'everything to have ended');
});
