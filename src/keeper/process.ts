/** The process of a keeper, from its start to its end (spec durable.md §1, §6). Everything it needs is loaded with this file. */
import { setTimeout as delay } from 'node:timers/promises';
import type { SessionPlatform } from '../../platform/platform.ts';
import type { ProcessIdentity } from '../../platform/processes.ts';
import { keeperLogName, keeperRecordName } from '../../platform/published-names.ts';
import type { OwnedFile, RunDirectory } from '../../platform/run-directories.ts';
import type { Listener } from '../../platform/transport.ts';
import { messageOf } from '../base/error-texts.ts';
import { failpoint } from '../base/failpoints.ts';
import type { Log } from '../base/log.ts';
import { surviveFailures } from '../base/process-set-up.ts';
import { runDirectoryMark, sessionMark } from '../base/session-mark.ts';
import { readyReport, takeKeeperMarkers } from '../base/start-markers.ts';
import { timings } from '../base/timings.ts';
import { version } from '../base/version.ts';
import type { RecordsOfChildren } from '../engine/local/session.ts';
import { outputEncoder } from '../wire/frames.ts';
import { Channel } from './channel/channel.ts';
import { cookieBytes, greetDaemon, HandshakeError, ownRelease } from './channel/handshake.ts';
import { Keeper } from './host/keeper.ts';
import { encodeRecord, keeperSocketPath, nodeParts } from './record.ts';

export interface KeeperProcessOptions {
  readonly platform: SessionPlatform;
  readonly environment: NodeJS.ProcessEnv;
  /** Of the daemon. */
  readonly socketPath: string;
  /** Files by which a later daemon finds the children if this process dies; `undefined` where children end with it. */
  readonly records: ((log: Log) => RecordsBySession) | undefined;
}

/** Of each child by the mark of its session. */
export interface RecordsBySession extends Pick<RecordsOfChildren, 'remove'> {
  add(child: Omit<Parameters<RecordsOfChildren['add']>[0], 'id'> & { readonly session: string }): void;
}

/** Serves until there is no session and no daemon. @returns the exit code */
export async function runKeeper(options: KeeperProcessOptions): Promise<number> {
  const { platform, environment } = options;
  const { status, cookie: cookieDescriptor, starter } = takeKeeperMarkers(environment);
  const report = (text: string): void => {
    if (status !== undefined) {
      platform.host.reportStatus(status, text);
    }
  };
  const process = new KeeperProcess(options);
  try {
    const text = platform.host.readDescriptor(cookieDescriptor ?? '', 2 * cookieBytes).toString('latin1');
    await process.begin(Buffer.from(text, 'hex'));
  } catch (error) {
    report(messageOf(error));
    return 1;
  }
  failpoint('keeper.ready.before');
  report(readyReport);
  void process.awaitFirstDaemon(starter);
  await process.whenUnused();
  return 0;
}

class KeeperProcess {
  readonly #options: KeeperProcessOptions;
  /** First half of what the children carry. */
  readonly #mark: string;
  readonly #unused = Promise.withResolvers<void>();
  readonly #keeper: Keeper;
  /** Daemons that are proving who they are. */
  #greeting = 0;
  #isFirstAwaited = true;
  #directory: RunDirectory | undefined;
  #listener: Listener | undefined;
  #recordFile: OwnedFile | undefined;

  constructor(options: KeeperProcessOptions) {
    this.#options = options;
    this.#mark = runDirectoryMark(options.platform.paths.directoryOf(options.socketPath));
    this.#keeper = new Keeper({
      platform: options.platform,
      timings,
      socketPath: options.socketPath,
      records: this.#records(),
      onUnused: () => this.#endIfUnused(),
    });
  }

  #records(): RecordsOfChildren | undefined {
    const { records: open } = this.#options;
    if (open === undefined) {
      return undefined;
    }
    let opened: RecordsBySession | undefined;
    // What cannot be recorded is told in the log of the daemon, like all that a keeper has to say.
    const records = (): RecordsBySession => {
      opened ??= open(this.#keeper.log);
      return opened;
    };
    return {
      add: ({ id, ...child }) => records().add({ ...child, session: sessionMark(this.#mark, id) }),
      remove: (pid) => opened?.remove(pid),
    };
  }

  async begin(cookie: Buffer): Promise<void> {
    const { platform, socketPath } = this.#options;
    const { log } = this.#keeper;
    // What ends a daemon by mistake, a service manager's TERM or the hang-up of a terminal, must not reach sessions.
    platform.host.onEndRequest((reason) =>
      log.info('keeper', `received ${reason}; sessions go on (holdfast release --keeper ends the keeper)`),
    );
    surviveFailures(log);
    platform.host.limitOpenFiles();
    const path = platform.paths.directoryOf(socketPath);
    const directory = platform.runDirectories.open(path);
    this.#directory = directory;
    const socket = keeperSocketPath(path, socketPath);
    this.#listener = await platform.transport.listen(socket, {
      onConnection: (connection) => void this.#greet(new Channel(connection, platform.transport.sendNow), cookie),
      onRefused: (reason) => log.warn('keeper', `connection refused: ${reason}`),
      onError: (error) => log.error('keeper', `accept: ${error.message}`),
    });
    failpoint('keeper.record.before');
    const { pid, start, node } = platform.processes.self();
    const record = encodeRecord({
      pid,
      startTime: start,
      ...nodeParts(node),
      version,
      channel: ownRelease(version).channel,
      socket,
      cookie: cookie.toString('hex'),
      startedAt: this.#keeper.startedAt,
    });
    this.#recordFile = directory.publish(keeperRecordName, Buffer.from(record));
    // Made now, so that the first session does not wait for it.
    outputEncoder();
  }

  /** The daemon that has started us connects at once. When it has ended before that, nobody else need ever come. */
  async awaitFirstDaemon(starter: Pick<ProcessIdentity, 'pid' | 'start'>): Promise<void> {
    const { processes } = this.#options.platform;
    const limit = performance.now() + timings.keeperFirstDaemonMs;
    do {
      await delay(timings.keeperLookMs, undefined, { ref: false });
    } while (
      this.#isFirstAwaited &&
      performance.now() < limit &&
      processes.identify(starter.pid)?.start === starter.start
    );
    this.#isFirstAwaited = false;
    this.#endIfUnused();
  }

  async #greet(channel: Channel, cookie: Buffer): Promise<void> {
    const { log } = this.#keeper;
    this.#greeting++;
    try {
      const { channel: speak } = await greetDaemon(channel, cookie, ownRelease(version), timings.keeperAnswerMs);
      this.#isFirstAwaited = false;
      this.#keeper.serve(channel, speak);
    } catch (error) {
      if (!(error instanceof HandshakeError)) {
        throw error;
      }
      // Whoever leaves without a word has only looked whether somebody listens.
      if (error.kind !== 'left') {
        log.warn('keeper', `a daemon was refused: ${error.message}`);
      }
      channel.finish(error.message);
    } finally {
      this.#greeting--;
      this.#endIfUnused();
    }
  }

  #endIfUnused(): void {
    if (!this.#isFirstAwaited && this.#greeting === 0 && this.#keeper.isUnused) {
      failpoint('keeper.end.before');
      this.#removeFiles();
      failpoint('keeper.farewell.before');
      this.#keeper.farewell();
      failpoint('keeper.farewell.after');
      this.#unused.resolve();
    }
  }

  #removeFiles(): void {
    try {
      this.#listener?.close();
      this.#recordFile?.remove();
      failpoint('keeper.end.between');
      this.#listener?.unpublish();
      this.#directory?.removeLeftover(keeperLogName);
      this.#directory?.close();
    } catch {
      // The next keeper replaces what is left.
    }
  }

  whenUnused(): Promise<void> {
    return this.#unused.promise;
  }
}
