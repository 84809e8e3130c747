/**
 * The engine of a daemon with `durable`: its sessions live in a keeper. Finding one is keeper-finder.ts, its death is
 * keeper-death.ts; whose sessions it has lost is answered here, and everything else by the keeper.
 */
import type {
  ClosedEngine,
  EndRequest,
  EndResult,
  InputPlace,
  InputResult,
  KeeperFacts,
  MaybePromise,
  Opened,
  Reader,
  ReaderRole,
  SessionEngine,
  SessionInfo,
  SessionListener,
  SpawnRequest,
} from '../../engine/session-engine.ts';
import { KeeperDeath, type KeeperDeathOptions } from './keeper-death.ts';
import { KeeperFinder, type KeeperFinderOptions } from './keeper-finder.ts';
import { LostSessions } from './lost-sessions.ts';
import { RemoteEngine } from './remote-engine.ts';

export interface DurableEngineOptions extends KeeperFinderOptions, KeeperDeathOptions {
  readonly shellPath: { wait(): Promise<void>; readonly value: string | undefined };
  readonly shellAgent: { socket(): Promise<string | undefined> } | undefined;
  /** An exit frame that the keeper cannot show any more is kept for so long. */
  readonly lostRetentionMs: number;
}

export class DurableEngine implements SessionEngine {
  readonly #options: DurableEngineOptions;
  readonly #remote: RemoteEngine;
  readonly #finder: KeeperFinder;
  readonly #lost = new LostSessions();

  private constructor(options: DurableEngineOptions) {
    this.#options = options;
    const { settings, log, counters, shellPath, shellAgent } = options;
    this.#remote = new RemoteEngine({
      ...{ settings, log, counters, shellPath, shellAgent },
      sharedMemory: options.platform.sharedMemory,
      wantsChannel: () => this.#finder.wantsChannel(),
      channelEnded: (reason) => this.#channelEnded(reason),
    });
    this.#finder = new KeeperFinder(options, this.#remote);
    this.#remote.watch(({ event }) => {
      if (event === 'forgotten' || event === 'released') {
        this.#finder.retireIfOld();
      }
    });
  }

  /** Looks for the keeper of the run directory, and adopts it or has one started. Never fails. */
  static async open(options: DurableEngineOptions): Promise<DurableEngine> {
    const engine = new DurableEngine(options);
    await engine.#finder.open();
    return engine;
  }

  /** `undefined`: there is none at this moment. */
  get keeper(): KeeperFacts | undefined {
    return this.#finder.facts;
  }

  #channelEnded(reason: string): void {
    const death = new KeeperDeath(this.#options, this.#remote, this.#lost);
    this.#finder.channelEnded(reason, async (record, exitText) => {
      const hasDied = await death.seeOut(record, exitText);
      if (hasDied) {
        setTimeout(() => this.#forgetLost(), this.#options.lostRetentionMs).unref();
      }
      return hasDied;
    });
  }

  #forgetLost(): void {
    for (const id of this.#lost.ids) {
      this.#forget(id, 'forgotten');
    }
  }

  #forget(id: string, event: 'forgotten' | 'released'): void {
    const lost = this.#lost.get(id);
    if (lost !== undefined) {
      this.#lost.forget(id);
      this.#remote.tell({ id, pid: lost.pid, at: Date.now(), replaced: false, event });
    }
  }

  /** Lets go of the keeper: every session stays with it. */
  async detach(): Promise<void> {
    const pid = this.#finder.close();
    if (pid !== undefined) {
      this.#options.log.info('keeper', `detached: ${this.runningCount} running session(s) stay with pid ${pid}`);
    }
    await this.#remote.detach();
  }

  // ---- the engine's interface

  async spawn(request: SpawnRequest, reader: Reader): Promise<Opened> {
    const lost = this.#lost.get(request.id);
    if (lost !== undefined && request.ifAbsent !== undefined) {
      return lost.attach(request.ifAbsent.fromSeq, reader, 'receiver', true);
    }
    this.#forget(request.id, 'forgotten');
    return this.#remote.spawn(request, reader);
  }

  input(
    id: string,
    bytes: Buffer,
    offset: bigint | undefined,
    gone?: AbortSignal,
    place?: InputPlace,
  ): MaybePromise<InputResult> {
    return this.#lost.get(id)?.input(bytes.length, offset) ?? this.#remote.input(id, bytes, offset, gone, place);
  }

  closeInput(id: string, offset: bigint): MaybePromise<InputResult> {
    return this.#lost.get(id)?.input(1, undefined) ?? this.#remote.closeInput(id, offset);
  }

  end(id: string, how: EndRequest, reader?: Reader): MaybePromise<EndResult> {
    const lost = this.#lost.get(id);
    if (lost === undefined) {
      return this.#remote.end(id, how, reader);
    }
    const result = lost.end(how, reader);
    if (how.how === 'release') {
      this.#forget(id, 'released');
    }
    return result;
  }

  attach(
    id: string,
    fromSeq: bigint,
    reader: Reader,
    role: ReaderRole,
    more?: 'activity',
  ): MaybePromise<Opened | undefined> {
    const lost = this.#lost.get(id);
    return lost === undefined
      ? this.#remote.attach(id, fromSeq, reader, role, more)
      : lost.attach(fromSeq, reader, role, false);
  }

  unobserve(id: string, reader: Reader): MaybePromise<boolean> {
    return this.#lost.get(id)?.readers.unobserve(reader) ?? this.#remote.unobserve(id, reader);
  }

  async sessions(): Promise<readonly SessionInfo[]> {
    return [...this.#lost.list(), ...(await this.#remote.sessions())];
  }

  watch(listener: SessionListener): Disposable {
    return this.#remote.watch(listener);
  }

  get runningCount(): number {
    return this.#remote.runningCount;
  }

  /** Sessions do not end with their daemon. */
  async close(): Promise<ClosedEngine> {
    const kept = this.runningCount;
    await this.detach();
    return { killed: 0, kept };
  }
}
