/**
 * The keeper: the engine of a run directory and the one daemon in front of it (spec durable.md §1). It reads no client's
 * input, opens no network, and no timer of its own ends a session.
 */

import type { SessionPlatform } from '../../../platform/platform.ts';
import type { ProcessIdentity } from '../../../platform/processes.ts';
import { type Counters, createCounters } from '../../base/counters.ts';
import { failpoint } from '../../base/failpoints.ts';
import { type Component, createLog, type Level, type Log } from '../../base/log.ts';
import { defaultMemoryBudget, MemoryBudget } from '../../base/memory-budget.ts';
import type { Timings } from '../../base/timings.ts';
import { ChildEnvironments } from '../../engine/local/environment.ts';
import { FairShare } from '../../engine/local/fair-share.ts';
import { LocalEngine, type LocalEngineOptions } from '../../engine/local/local-engine.ts';
import { spoolPlace } from '../../engine/local/spool-place.ts';
import type { SessionEngine } from '../../engine/session-engine.ts';
import { defaultProfile, profileNamed } from '../../wire/profiles.ts';
import type { Channel } from '../channel/channel.ts';
import {
  engineCounters,
  type FrontSettings,
  type KeeperState,
  type SentLogLine,
  type SentMemory,
} from '../channel/values.ts';
import { Front, type FrontOwner } from './front.ts';
import { Debtors } from './lent-frames.ts';
import { SharedBlocks } from './shared-blocks.ts';

export interface KeeperOptions {
  readonly platform: SessionPlatform;
  readonly timings: Timings;
  /** Of the daemon: spools lie in its folder. */
  readonly socketPath: string;
  readonly records?: LocalEngineOptions['records'];
  /** There is no session, and nobody who could start one. */
  onUnused(): void;
}

/** Log lines kept for the next daemon; the oldest go first. */
const maxKeptLines = 2_000;

export class Keeper implements FrontOwner {
  readonly engine: SessionEngine;
  readonly log: Log;
  readonly startedAt = Date.now();
  readonly #options: KeeperOptions;
  readonly #counters: Counters = createCounters();
  readonly #budget: MemoryBudget;
  readonly #blocks: SharedBlocks;
  readonly #debtors: Debtors;
  #front: Front | undefined;
  #settings: FrontSettings | undefined;
  #environments: ChildEnvironments | undefined;
  #retiring = false;
  #lookComes = false;

  #shellPath = Promise.withResolvers<void>();
  #shellPathIsKnown = false;
  #shellPathValue: string | undefined;
  /** Questions for the SSH agent that the daemon has not answered. */
  readonly #agentQuestions = new Map<number, (socket: string | undefined) => void>();
  #lastQuestion = 0;

  #keptLines: { readonly at: number; readonly line: SentLogLine }[] = [];
  #droppedLines = 0;

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.log = this.#createLog();
    this.#budget = new MemoryBudget({
      limitBytes: defaultMemoryBudget(options.platform.host.memoryLimit()),
      ...{ log: this.log, counters: this.#counters },
    });
    this.#blocks = new SharedBlocks({
      memory: options.platform.sharedMemory,
      log: this.log,
      onMade: () => this.#front?.tellMemory(),
    });
    this.#debtors = new Debtors(options.platform.processes);
    this.engine = this.#createEngine();
    this.engine.watch((event) => {
      this.#front?.channel.send('event', 0, event);
      this.#lookForUse();
    });
  }

  /** The newest daemon's rows and settings hold, also for sessions that were started under another one. */
  #createEngine(): SessionEngine {
    const keeper = this;
    const { platform, timings, socketPath, records } = this.#options;
    const initial = (profileNamed('S') ?? defaultProfile) as typeof defaultProfile;
    return new LocalEngine({
      platform,
      timings,
      records,
      log: this.log,
      counters: this.#counters,
      share: new FairShare(),
      budget: this.#budget,
      blocks: this.#blocks,
      keepChildren: false,
      get profile() {
        return keeper.#settings ?? initial;
      },
      get slowReader() {
        return keeper.#settings?.slowReader ?? 'pace';
      },
      get markedFor() {
        return keeper.#settings?.markedFor;
      },
      get sessionMarks() {
        return keeper.#settings?.sessionMarks;
      },
      get reapTree() {
        return keeper.#settings?.reapTree;
      },
      get maxSessions() {
        return keeper.#settings?.maxSessions;
      },
      get spool() {
        return spoolPlace(platform, socketPath, keeper.#settings?.spoolBytes ?? 0);
      },
      get unseenRetentionMs() {
        return keeper.#settings?.unseenRetentionMs;
      },
      environments: () => keeper.#ownEnvironments(),
      shellPath: {
        get known() {
          return keeper.#shellPathIsKnown;
        },
        get value() {
          return keeper.#shellPathValue;
        },
        wait: () => keeper.#shellPath.promise,
      },
      get shellAgent() {
        return keeper.#settings?.platform.sshAgentHandOff === true ? keeper.#shellAgent : undefined;
      },
    });
  }

  #ownEnvironments(): ChildEnvironments {
    const { environment = [], process: rules = defaultProfile.process } = this.#settings ?? {};
    this.#environments ??= new ChildEnvironments(environment, rules, this.#options.platform.host);
    return this.#environments;
  }

  // ---- the daemon in front

  /** A daemon that has proved who it is. The one before it is dropped: the newest that holds the run directory wins. */
  serve(channel: Channel, speak: number): void {
    const old = this.#front;
    this.#front = undefined;
    old?.channel.close('another daemon has taken its place');
    failpoint('keeper.serve.before');
    this.#retiring = false;
    // What the login shell says is asked again by each daemon.
    this.#shellPathIsKnown = false;
    this.#shellPath = Promise.withResolvers<void>();
    const front = new Front(channel, speak, this.#daemonBehind(channel), this);
    this.#front = front;
    front.begin();
  }

  #daemonBehind(channel: Channel): ProcessIdentity | undefined {
    const { transport, processes } = this.#options.platform;
    const pid = transport.peerOf(channel.socket)?.pid;
    return pid === undefined ? undefined : processes.identify(pid);
  }

  get memory(): SentMemory | undefined {
    return this.#blocks.told;
  }

  settled({ daemon }: Front): void {
    if (daemon !== undefined) {
      this.#debtors.settled(daemon);
    }
  }

  settings(settings: FrontSettings): void {
    this.#settings = settings;
    this.#environments = undefined;
    this.#budget.limit(settings.memoryBudget);
    this.#takeOver(settings);
    const state: KeeperState = {
      sessions: this.engine.sessions() as KeeperState['sessions'],
      startedAt: this.startedAt,
    };
    this.#front?.channel.send('state', 0, state);
    this.#front?.tellMemory();
    this.#handLinesOver();
  }

  /** What is looked up in our own environment and folder is to be found where the daemon would find it. */
  #takeOver({ environment, workingDirectory }: FrontSettings): void {
    const names = new Set(environment.map(([name]) => name));
    for (const name of Object.keys(process.env)) {
      if (!names.has(name)) {
        delete process.env[name];
      }
    }
    for (const [name, value] of environment) {
      if (name !== '' && name.isWellFormed() && value.isWellFormed()) {
        process.env[name] = value;
      }
    }
    try {
      process.chdir(workingDirectory ?? '.');
    } catch {
      // It has been deleted; the daemon's children would start in a folder without a name, ours in the one before.
    }
  }

  shellPathKnown(path: string | undefined): void {
    this.#shellPathValue = path;
    this.#shellPathIsKnown = true;
    this.#shellPath.resolve();
  }

  readonly #shellAgent = {
    socket: (): Promise<string | undefined> =>
      new Promise((resolve) => {
        if (this.#front === undefined) {
          resolve(undefined);
          return;
        }
        this.#lastQuestion++;
        this.#agentQuestions.set(this.#lastQuestion, resolve);
        this.#front.channel.send('askAgent', this.#lastQuestion);
      }),
  };

  agentKnown(question: number, socket: string | undefined): void {
    this.#agentQuestions.get(question)?.(socket);
    this.#agentQuestions.delete(question);
  }

  counters(): object {
    return Object.fromEntries(engineCounters.map((name) => [name, this.#counters[name]]));
  }

  idle(): void {
    this.#lookForUse();
  }

  /** Nothing that is asked from now on takes effect. */
  farewell(): void {
    const front = this.#front;
    this.#front = undefined;
    front?.farewell();
  }

  retire(): void {
    this.#retiring = true;
    this.#lookForUse();
  }

  ended(front: Front, reason: string): void {
    if (front.channel.isBroken) {
      this.log.warn('keeper', `the channel of the daemon is dropped: ${reason}`);
    }
    if (front.daemon !== undefined) {
      this.#debtors.add(front.daemon, front.lentFrames);
    }
    if (this.#front !== front) {
      return;
    }
    this.#front = undefined;
    // A spawn that waits for the daemon's word goes on with what was known last.
    this.#shellPathIsKnown = true;
    this.#shellPath.resolve();
    for (const answer of this.#agentQuestions.values()) {
      answer(undefined);
    }
    this.#agentQuestions.clear();
    this.#lookForUse();
  }

  /** Whether there is no session and nobody who could start one here. */
  get isUnused(): boolean {
    const isWanted = this.#front !== undefined && (!this.#retiring || this.#front.isBusy);
    return !isWanted && (this.engine.sessions() as readonly unknown[]).length === 0;
  }

  /** Looks after whatever has just happened is over. */
  #lookForUse(): void {
    if (this.#lookComes || (this.#front !== undefined && !this.#retiring)) {
      return;
    }
    this.#lookComes = true;
    setImmediate(() => {
      this.#lookComes = false;
      if (this.isUnused) {
        this.#options.onUnused();
      }
    });
  }

  // ---- log: the daemon writes it; without one the lines wait

  #createLog(): Log {
    const at =
      (level: Level) =>
      (component: Component, text: string): void =>
        this.#logLine({ level, component, text });
    return {
      ...createLog({ level: 'error' }),
      debug: at('debug'),
      info: at('info'),
      warn: at('warn'),
      error: at('error'),
    };
  }

  #logLine(line: SentLogLine): void {
    if (this.#front !== undefined && this.#settings !== undefined) {
      this.#front.channel.send('log', 0, line);
      return;
    }
    this.#keptLines.push({ at: Date.now(), line });
    if (this.#keptLines.length > maxKeptLines) {
      this.#keptLines.shift();
      this.#droppedLines++;
    }
  }

  #handLinesOver(): void {
    const lines = this.#keptLines;
    this.#keptLines = [];
    if (this.#droppedLines > 0) {
      const text = `${this.#droppedLines} log lines of the keeper were lost: no daemon was there to write them, and ${maxKeptLines} are kept`;
      this.#logLine({ level: 'warn', component: 'keeper', text });
      this.#droppedLines = 0;
    }
    for (const { at, line } of lines) {
      this.#logLine({ ...line, text: `${line.text} (at ${new Date(at).toISOString()}, without a daemon)` });
    }
  }
}
