/**
 * The engine of a daemon with `durable`: its sessions live in a keeper, which it finds, adopts or starts, and whose death it
 * makes visible (spec durable.md §2 to §5).
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Detached } from '../../../platform/detach.ts';
import type { Platform } from '../../../platform/platform.ts';
import type { RunDirectory } from '../../../platform/run-directories.ts';
import type { Counters } from '../../base/counters.ts';
import { messageOf } from '../../base/error-texts.ts';
import { failpointAsync } from '../../base/failpoints.ts';
import type { Log } from '../../base/log.ts';
import type { Timings } from '../../base/timings.ts';
import { version } from '../../base/version.ts';
import type {
  ClosedEngine,
  EndRequest,
  EndResult,
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
import { type Adoption, adopt } from '../adopt.ts';
import { type Agreed, ownRelease } from '../channel/handshake.ts';
import type { FrontSettings, KeeperState } from '../channel/values.ts';
import { identityOf, type KeeperRecord } from '../record.ts';
import { startKeeper } from '../start.ts';
import { LostSessions } from './lost-sessions.ts';
import { RemoteEngine, unreachable } from './remote-engine.ts';

export interface DurableEngineOptions {
  readonly platform: Platform;
  readonly directory: RunDirectory;
  readonly socketPath: string;
  readonly settings: FrontSettings;
  readonly log: Log;
  readonly counters: Counters;
  readonly timings: Timings;
  readonly shellPath: { wait(): Promise<void>; readonly value: string | undefined };
  readonly shellAgent: { socket(): Promise<string | undefined> } | undefined;
  /** Whether the run directory is ours: two daemons never speak to one keeper. */
  readonly ownsDirectory: boolean;
  /** Ends what a dead keeper has left running. @returns how many groups were ended */
  endLeftChildren(): Promise<number>;
  /** An exit frame that the keeper cannot show any more is kept for so long. */
  readonly lostRetentionMs: number;
}

/** After two losses of the channel within this time the next attempt waits. */
const lossesWithinMs = 10_000;
const gonePollMs = 10;

export class DurableEngine implements SessionEngine {
  readonly #options: DurableEngineOptions;
  readonly #remote: RemoteEngine;
  readonly #lost = new LostSessions();
  #record: KeeperRecord | undefined;
  #agreed: Agreed | undefined;
  /** A keeper that we have started and must collect. */
  #started: Detached | undefined;
  #connecting: Promise<void> | undefined;
  #lastLossAt = Number.NEGATIVE_INFINITY;
  #retry: NodeJS.Timeout | undefined;
  /** Why calls are refused at once; `undefined`: they are made, or wait. */
  #refusal: string | undefined;
  #toldRefusal = '';
  #retiring = false;
  #closing = false;

  private constructor(options: DurableEngineOptions) {
    this.#options = options;
    const { settings, log, counters, shellPath, shellAgent } = options;
    this.#remote = new RemoteEngine({
      ...{ settings, log, counters, shellPath, shellAgent },
      sharedMemory: options.platform.sharedMemory,
      wantsChannel: () => this.#wantsChannel(),
      channelEnded: (reason) => void this.#channelEnded(reason),
    });
    this.#remote.watch(({ event }) => {
      if (event === 'forgotten' || event === 'released') {
        this.#retireOldKeeper();
      }
    });
  }

  /** Looks for the keeper of the run directory, and adopts it or has one started. Never fails. */
  static async open(options: DurableEngineOptions): Promise<DurableEngine> {
    const engine = new DurableEngine(options);
    if (options.ownsDirectory) {
      engine.#connecting = engine.#connect(true).finally(() => {
        engine.#connecting = undefined;
      });
      // A keeper that is there is adopted before we serve; a new one may still be starting.
      await Promise.race([engine.#connecting, engine.#looked.promise]);
    } else {
      engine.#refuse('another process holds the run directory');
    }
    return engine;
  }

  readonly #looked = Promise.withResolvers<void>();

  /** `undefined`: there is none at this moment. */
  get keeper(): KeeperFacts | undefined {
    const record = this.#record;
    if (record === undefined || this.#agreed === undefined || !this.#remote.isConnected) {
      return undefined;
    }
    return {
      pid: record.pid,
      startTime: this.#options.platform.processes.startSeconds(record.pid),
      version: this.#agreed.peer.version,
      channel: this.#agreed.channel,
      startedAt: record.startedAt,
    };
  }

  // ---- to a keeper

  #wantsChannel(): void {
    if (this.#refusal !== undefined) {
      this.#remote.failed(unreachable(this.#refusal));
      return;
    }
    this.#connectNow();
  }

  #connectNow(): void {
    this.#connecting ??= this.#connect(false).finally(() => {
      this.#connecting = undefined;
    });
  }

  /** @param isStart the verdict is told */
  async #connect(isStart: boolean): Promise<void> {
    try {
      let adoption = await this.#look();
      if (adoption.verdict === 'none' || adoption.verdict === 'dead') {
        const ended = adoption.verdict === 'dead' ? await this.#options.endLeftChildren() : 0;
        this.#tellVerdict(adoption, isStart, 0, ended);
        this.#looked.resolve();
        if (this.#closing) {
          return;
        }
        await failpointAsync('durable.start.before');
        this.#started = await startKeeper(
          this.#options.platform,
          this.#options.socketPath,
          this.#options.timings.keeperStartMs,
          this.#options.log,
        );
        this.#options.counters.keeperStarts++;
        await failpointAsync('durable.start.after');
        adoption = await this.#look();
        await this.#take(adoption, false);
      } else {
        await this.#take(adoption, isStart);
      }
    } catch (error) {
      this.#options.log.error('keeper', messageOf(error));
      this.#refuse(messageOf(error));
    }
  }

  #look(): Promise<Adoption> {
    const { platform, directory, timings } = this.#options;
    return adopt({ platform, directory, own: ownRelease(version), answerMs: timings.keeperAnswerMs });
  }

  async #take(adoption: Adoption, isStart: boolean): Promise<void> {
    if (adoption.verdict !== 'adopted') {
      this.#tellVerdict(adoption, isStart, 0, 0);
      this.#refuse(refusalText(adoption));
      return;
    }
    const { channel, record, agreed } = adoption;
    if (this.#closing) {
      channel.close('the daemon ends');
      return;
    }
    await failpointAsync('durable.adopt.before');
    const state = await this.#remote.connected(channel, record.pid);
    this.#record = record;
    this.#agreed = agreed;
    this.#refusal = undefined;
    this.#toldRefusal = '';
    clearTimeout(this.#retry);
    this.#tellVerdict(adoption, isStart, state.sessions.length, 0, state);
    this.#retiring = false;
    this.#retireOldKeeper();
  }

  /** One line at each start, and one for each news later. */
  #tellVerdict(adoption: Adoption, isStart: boolean, _known: number, ended: number, state?: KeeperState): void {
    const { log, counters } = this.#options;
    switch (adoption.verdict) {
      case 'none':
        if (isStart) {
          log.info('keeper', 'none');
        }
        return;
      case 'dead':
        counters.keepersFoundDead++;
        log.warn('keeper', `dead: ${adoption.because}; ${ended} children ended`);
        return;
      case 'adopted': {
        const { record, agreed } = adoption;
        if (isStart) {
          counters.keeperAdoptions++;
        }
        const running = state?.sessions.filter((session) => session.state !== 'exited').length ?? 0;
        const over = (state?.sessions.length ?? 0) - running;
        log.info(
          'keeper',
          `${isStart ? 'adopted' : 'connected to'} pid ${record.pid} (version ${agreed.peer.version}, channel ${agreed.channel}): ${running} running, ${over} ended sessions`,
        );
        return;
      }
      default: {
        const text = refusalText(adoption);
        if (text !== this.#toldRefusal) {
          this.#toldRefusal = text;
          counters.keeperRefusals++;
          log.warn('keeper', text);
        }
      }
    }
  }

  /** Calls are refused from now on, and another attempt is made soon. */
  #refuse(reason: string): void {
    this.#looked.resolve();
    this.#refusal = reason;
    this.#remote.failed(unreachable(reason));
    if (!this.#closing && this.#options.ownsDirectory) {
      clearTimeout(this.#retry);
      this.#retry = setTimeout(() => this.#connectNow(), this.#options.timings.keeperRetryMs).unref();
    }
  }

  /** A keeper of another release ends with its last session, so that the next spawn gets one of this release. */
  #retireOldKeeper(): void {
    const isOld = this.#agreed !== undefined && this.#agreed.peer.version !== version;
    if (isOld && !this.#retiring) {
      this.#retiring = true;
      this.#remote.retireKeeper();
    }
  }

  // ---- without a keeper

  async #channelEnded(reason: string): Promise<void> {
    const record = this.#record;
    this.#record = undefined;
    this.#agreed = undefined;
    if (this.#closing || record === undefined) {
      return;
    }
    const { log, counters } = this.#options;
    const gone = await this.#isGone(record);
    // Collects it, where it was our child.
    const exit = this.#started?.exitText();
    if (gone) {
      await this.#keeperDied(record, exit);
      return;
    }
    counters.keeperChannelLosses++;
    log.warn('keeper', `the channel to pid ${record.pid} is lost: ${reason}`);
    for (const stream of this.#remote.takeStreams()) {
      stream.lost();
    }
    const now = performance.now();
    const isSecond = now - this.#lastLossAt < lossesWithinMs;
    this.#lastLossAt = now;
    if (isSecond) {
      this.#refuse(`the channel was lost twice: ${reason}`);
    } else {
      this.#connectNow();
    }
  }

  /** A process that was killed closes its end of the channel a moment before it is gone. */
  async #isGone(record: KeeperRecord): Promise<boolean> {
    const { platform, timings } = this.#options;
    const wanted = identityOf(record);
    const deadline = performance.now() + timings.keeperGoneMs;
    for (;;) {
      if (platform.processes.identify(record.pid)?.start !== wanted.start) {
        return true;
      }
      // One that still accepts has only dropped the channel.
      if (performance.now() >= deadline || (await this.#accepts(record))) {
        return platform.processes.identify(record.pid)?.start !== wanted.start;
      }
      await delay(gonePollMs);
    }
  }

  async #accepts(record: KeeperRecord): Promise<boolean> {
    try {
      const socket = await this.#options.platform.transport.dial(record.socket, { timeoutMs: gonePollMs * 10 });
      socket.destroy();
      return true;
    } catch {
      return false;
    }
  }

  /** Every session ends visibly, and whatever has survived is ended. */
  async #keeperDied(record: KeeperRecord, exit: string | undefined): Promise<void> {
    const { log, counters, settings } = this.#options;
    const streams = this.#remote.takeStreams();
    for (const { processId, lastSeq } of streams) {
      this.#remote.book.reached(processId, lastSeq);
    }
    const known = this.#remote.book.takeAll();
    const how = exit === undefined ? '' : ` (${exit})`;
    if (known.length === 0 && streams.length === 0) {
      log.info('keeper', `pid ${record.pid} has ended${how}; it had no session`);
      return;
    }
    counters.keeperDeaths++;
    log.warn(
      'keeper',
      `pid ${record.pid} has died${how}: its ${known.length} session(s) end, with exit code -1 where they ran`,
    );
    const left = new Set(streams);
    for (const session of known) {
      const lost = this.#lost.add(session, settings.process);
      for (const stream of streams.filter(({ processId }) => processId === session.id)) {
        stream.finishWith(lost.exitFrame, lost.exitSeq);
        left.delete(stream);
      }
      if (session.exit === undefined) {
        const common = { id: lost.id, pid: lost.pid, at: lost.exit.at, replaced: false };
        this.#remote.tell({ ...common, event: 'ended' });
        this.#remote.tell({ ...common, event: 'exited', exit: lost.exit });
      }
    }
    for (const stream of left) {
      // Of a process that has been forgotten: its client cannot be told more than that there is no more.
      stream.lost();
    }
    setTimeout(() => this.#forgetLost(), this.#options.lostRetentionMs).unref();
    const ended = await this.#options.endLeftChildren();
    log.info('keeper', `${ended} children of pid ${record.pid} that had survived it were ended`);
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
    this.#closing = true;
    clearTimeout(this.#retry);
    const { log } = this.#options;
    const record = this.#record;
    if (record !== undefined) {
      log.info('keeper', `detached: ${this.runningCount} running session(s) stay with pid ${record.pid}`);
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
    place?: 'exact',
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

function refusalText(adoption: Adoption): string {
  if (adoption.verdict === 'tooNew') {
    const { record, peer } = adoption;
    const [own, theirs] = [ownRelease(version).channel, peer.channel].map((range) => range.join('..'));
    return `too new: version ${peer.version} speaks channel ${theirs}, this daemon ${own}; sessions stay with it; run holdfast ${peer.version} or holdfast release --keeper (pid ${record.pid})`;
  }
  if (adoption.verdict === 'refused') {
    return `refused: pid ${adoption.pid ?? 'unknown'}: ${adoption.because}`;
  }
  return adoption.verdict === 'dead' ? `dead: ${adoption.because}` : adoption.verdict;
}
