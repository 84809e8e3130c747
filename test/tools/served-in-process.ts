/**
 * The way of a request as the daemon builds it, in the process of the test, so that the processor time of each turn of the
 * event loop can be measured: that is what others wait for, and it is the same on a busy machine. The client is another thread.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { loadPlatform } from '../../platform/load.ts';
import { createCounters } from '../../src/base/counters.ts';
import { createLog } from '../../src/base/log.ts';
import { timings } from '../../src/base/timings.ts';
import { mergeSettings } from '../../src/config/settings.ts';
import { openLocalSessions } from '../../src/daemon/local-sessions.ts';
import { buildRequestPath } from '../../src/daemon/request-path.ts';
import type { WireLog } from '../../src/doors/rpc/wire-log/wire-log.ts';
import type { WireTap } from '../../src/doors/rpc/wire-tap.ts';
import type { Profile } from '../../src/wire/profile.ts';
import { profileNamed } from '../../src/wire/profiles.ts';
import { threadMs } from './thread-clock.ts';

/** A turn with nothing in it: waiting is not work. */
const emptyTurnMs = 0.05;

export interface Cost {
  /** Processor time of this thread from the request to its answer, in milliseconds. */
  readonly totalMs: number;
  /** Of the longest turn of the event loop. */
  readonly longestMs: number;
  /** The beginning of the answer. */
  readonly answer: string;
}

/** Sends one line at a time and waits for the answer. */
const clientCode = `
const { connect } = require('node:net');
const { parentPort, workerData } = require('node:worker_threads');
const socket = connect(workerData);
let begun = '';
let answered = false;
socket.on('data', (chunk) => {
  // A reply may be long: only the beginning of each line is looked at.
  for (let at = 0; at < chunk.length; ) {
    const end = chunk.indexOf(10, at);
    if (begun.length < 200) {
      begun += chunk.toString('latin1', at, Math.min(at + 200, end < 0 ? chunk.length : end));
    }
    if (end < 0) {
      break;
    }
    if (begun.startsWith('{"jsonrpc"') || begun.startsWith('{"id"')) {
      parentPort.postMessage(begun);
    }
    begun = '';
    at = end + 1;
  }
});
socket.on('close', () => parentPort.postMessage('closed'));
socket.on('error', () => {});
parentPort.on('message', (line) => socket.write(Buffer.from(line)));
`;

export class ServedInProcess implements AsyncDisposable {
  readonly token = randomBytes(16).toString('hex');
  readonly dir = mkdtempSync('/tmp/hf-');
  #worker: Worker | undefined;
  #end: () => Promise<void> = async () => {};

  /** @param tap looks on at the connection, in the way of each request */
  static async start(profileName: string, tap?: WireTap): Promise<ServedInProcess> {
    const served = new ServedInProcess();
    await served.#start(profileNamed(profileName) as Profile, tap);
    return served;
  }

  async #start(profile: Profile, tap: WireTap | undefined): Promise<void> {
    const platform = await loadPlatform();
    // Lines are made as in a daemon, and go nowhere.
    const log = createLog({ level: 'info', write: (bytes) => bytes.length });
    const lifetime = new AbortController();
    const common = {
      ...{ platform, log, counters: createCounters(), timings, lifetime: lifetime.signal },
      settings: mergeSettings({ 'wire-profile': profile }, []),
    };
    const { engine, clients, endPrograms } = buildRequestPath({
      openEngine: (shared) =>
        openLocalSessions(
          {
            ...common,
            keepChildren: false,
            markedFor: profile.platform.childMarkers ? this.dir : undefined,
            shellPath: { known: true, value: undefined, wait: () => Promise.resolve() },
          },
          shared,
        ),
      keeper: () => undefined,
      ...common,
      token: Buffer.from(this.token),
      identity: { version: '0', instanceId: '0'.repeat(32), startedAt: 0, peerCheck: 'off' },
      ...{ latency: undefined },
      wireLog: tap && ({ tap: () => tap } as unknown as WireLog),
      requestShutdown: () => {},
      onLessToDo: () => {},
    });
    const path = join(this.dir, 's');
    const server = createServer((socket) => clients.accept(socket));
    await new Promise<void>((resolve) => server.listen(path, resolve));
    this.#worker = new Worker(clientCode, { eval: true, workerData: path });
    this.#end = async () => {
      clients.closeAll();
      await engine.close('end');
      await endPrograms();
      lifetime.abort();
      await this.#worker?.terminate();
      await new Promise((resolve) => server.close(resolve));
      rmSync(this.dir, { recursive: true, force: true });
    };
  }

  /** Sends one line and measures until its answer has come. */
  async cost(line: string): Promise<Cost> {
    const worker = this.#worker as Worker;
    const bytes = Buffer.from(`${line}\n`);
    let answer: string | undefined;
    worker.once('message', (text: string) => {
      answer = text;
    });
    worker.postMessage(bytes);
    let longest = 0;
    let total = 0;
    let before = threadMs();
    const look = (): number => {
      const now = threadMs();
      const spent = now - before;
      before = now;
      if (spent > emptyTurnMs) {
        longest = Math.max(longest, spent);
        total += spent;
      }
      return spent;
    };
    while (answer === undefined) {
      await nextTurn();
      if (look() <= emptyTurnMs) {
        await sleep(0);
        // What came meanwhile was a turn of its own; what it has left for later is the next one.
        look();
      }
    }
    if (answer === 'closed') {
      throw new Error(`the connection was closed by a line of ${bytes.length} bytes: ${line.slice(0, 100)}`);
    }
    return { totalMs: total, longestMs: longest, answer };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
  }
}
