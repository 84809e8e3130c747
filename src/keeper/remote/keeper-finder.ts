/**
 * Finding the keeper of a run directory: adopting the one that is there, starting one where there is none, and coming back to it
 * when the channel has broken (spec durable.md §3 to §5).
 */
import type { Detached } from '../../../platform/detach.ts';
import type { Platform } from '../../../platform/platform.ts';
import type { RunDirectory } from '../../../platform/run-directories.ts';
import type { Counters } from '../../base/counters.ts';
import { messageOf } from '../../base/error-texts.ts';
import { failpointAsync } from '../../base/failpoints.ts';
import type { Log } from '../../base/log.ts';
import type { MarkedChild } from '../../base/session-mark.ts';
import type { Timings } from '../../base/timings.ts';
import { version } from '../../base/version.ts';
import type { KeeperFacts } from '../../engine/session-engine.ts';
import { type Adoption, adopt } from '../adopt.ts';
import { type Agreed, ownRelease } from '../channel/handshake.ts';
import type { KeeperState } from '../channel/values.ts';
import { removeLeftovers } from '../leftovers.ts';
import type { KeeperRecord } from '../record.ts';
import { startKeeper } from '../start.ts';
import { unreachable } from './calls.ts';
import type { RemoteEngine } from './remote-engine.ts';

export interface KeeperFinderOptions {
  readonly platform: Platform;
  readonly directory: RunDirectory;
  readonly socketPath: string;
  readonly log: Log;
  readonly counters: Counters;
  readonly timings: Timings;
  /** Whether the run directory is ours: two daemons never speak to one keeper. */
  readonly ownsDirectory: boolean;
  /**
   * Ends what a dead keeper has left running.
   * @param unrecorded its children, of which there may be no records
   * @returns how many groups were ended
   */
  readonly endLeftChildren: (unrecorded?: readonly MarkedChild[]) => Promise<number>;
}

/** After two losses of the channel within this time the next attempt waits. */
const lossesWithinMs = 10_000;

export interface FoundKeeper {
  readonly record: KeeperRecord;
  readonly agreed: Agreed;
}

export class KeeperFinder {
  readonly #options: KeeperFinderOptions;
  readonly #remote: RemoteEngine;
  #found: FoundKeeper | undefined;
  /** A keeper that we have started and must collect. */
  #started: Detached | undefined;
  #connecting: Promise<void> | undefined;
  /** What has become of the last keeper is being found out; nobody looks for another one before that. */
  #seeingOut: Promise<void> | undefined;
  #lastLossAt = Number.NEGATIVE_INFINITY;
  #retry: NodeJS.Timeout | undefined;
  /** Why calls are refused at once; `undefined`: they are made, or wait. */
  #refusal: string | undefined;
  #toldRefusal = '';
  #retiring = false;
  #closing = false;
  readonly #looked = Promise.withResolvers<void>();

  constructor(options: KeeperFinderOptions, remote: RemoteEngine) {
    this.#options = options;
    this.#remote = remote;
  }

  /** Resolves when a keeper that is there was adopted; a new one may still be starting. Never fails. */
  async open(): Promise<void> {
    if (!this.#options.ownsDirectory) {
      this.#refuse('another process holds the run directory');
      return;
    }
    this.#begin(() => this.#connect(true));
    await Promise.race([this.#connecting, this.#looked.promise]);
  }

  /** `undefined`: there is none at this moment. */
  get facts(): KeeperFacts | undefined {
    if (this.#found === undefined || !this.#remote.isConnected) {
      return undefined;
    }
    const { record, agreed } = this.#found;
    return {
      pid: record.pid,
      startTime: this.#options.platform.processes.startSeconds(record.pid),
      version: agreed.peer.version,
      channel: agreed.channel,
      startedAt: record.startedAt,
    };
  }

  /** A call needs a channel and there is none. */
  wantsChannel(): void {
    if (this.#refusal !== undefined) {
      this.#remote.failed(unreachable(this.#refusal));
      return;
    }
    this.#connectNow();
  }

  #connectNow(): void {
    this.#begin(async () => {
      await this.#seeingOut;
      await this.#connect(false);
    });
  }

  #begin(connect: () => Promise<void>): void {
    this.#connecting ??= connect().finally(() => {
      this.#connecting = undefined;
    });
  }

  /** @param isStart the verdict is told */
  async #connect(isStart: boolean): Promise<void> {
    try {
      let adoption = await this.#look();
      if (adoption.verdict === 'none' || adoption.verdict === 'dead') {
        const ended = adoption.verdict === 'dead' ? await this.#options.endLeftChildren() : 0;
        this.#tellVerdict(adoption, isStart, ended);
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
      this.#tellVerdict(adoption, isStart, 0);
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
    await failpointAsync('durable.adopt.after');
    this.#found = { record, agreed };
    this.#refusal = undefined;
    this.#toldRefusal = '';
    clearTimeout(this.#retry);
    this.#tellVerdict(adoption, isStart, 0, state);
    this.#retiring = false;
    this.retireIfOld();
  }

  /** One line at each start, and one for each news later. */
  #tellVerdict(adoption: Adoption, isStart: boolean, ended: number, state?: KeeperState): void {
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
  retireIfOld(): void {
    const isOld = this.#found !== undefined && this.#found.agreed.peer.version !== version;
    if (isOld && !this.#retiring) {
      this.#retiring = true;
      this.#remote.retireKeeper();
    }
  }

  /**
   * The channel has ended.
   * @param seeOut finds out whether the keeper has died with it, and if so tells all its sessions. @returns whether it has
   */
  channelEnded(
    reason: string,
    seeOut: (record: KeeperRecord, exitText: (() => string | undefined) | undefined) => Promise<boolean>,
  ): void {
    const found = this.#found;
    this.#found = undefined;
    if (this.#closing || found === undefined) {
      return;
    }
    const { record } = found;
    const { log, counters } = this.#options;
    this.#seeingOut = (async () => {
      const started = this.#started?.pid === record.pid ? this.#started : undefined;
      if (await seeOut(record, started && (() => started.exitText()))) {
        // While this daemon ends it gives up the run directory, which may belong to the next one by now.
        if (!this.#closing) {
          await failpointAsync('durable.leftovers.before');
          removeLeftovers(this.#options.directory, this.#options.socketPath, record);
        }
        return;
      }
      counters.keeperChannelLosses++;
      log.warn('keeper', `the channel to pid ${record.pid} is lost: ${reason}`);
      for (const stream of this.#remote.streams.takeAll()) {
        stream.lost();
      }
      this.#comeBack(reason);
    })();
  }

  #comeBack(reason: string): void {
    const now = performance.now();
    const isSecond = now - this.#lastLossAt < lossesWithinMs;
    this.#lastLossAt = now;
    if (isSecond) {
      this.#refuse(`the channel was lost twice: ${reason}`);
    } else {
      this.#connectNow();
    }
  }

  /** No keeper is looked for any more. @returns pid of the one that is there */
  close(): number | undefined {
    this.#closing = true;
    clearTimeout(this.#retry);
    return this.#found?.record.pid;
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
