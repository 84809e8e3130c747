/** The git of this host: how one hardened call is made (spec git.md §2). One per daemon. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { dirname } from 'node:path';
import type { Variable } from '../../../platform/started-with.ts';
import { KeyedQueue } from '../../base/keyed-queue.ts';
import { ownVariables } from '../../base/own-process.ts';
import { type CommandResult, runCommand } from '../../base/run-command.ts';
import type { ConfigPin } from './configuration-pins.ts';
import { hardenedEnvironment, hardenedOptions } from './hardening.ts';
import { inheritedConfigPairs } from './inherited-configuration.ts';
import { KeptDirectories } from './kept-directories.ts';
import type { GitServices } from './services.ts';
import { TemporaryFolders } from './temporary-folders.ts';
import { Turns } from './turns.ts';

export interface GitCall {
  /** Subcommand and its arguments. Names a client chose stand behind `--`. */
  readonly args: readonly string[];
  /** Where git works; `''`: the daemon's own working directory. */
  readonly directory: string;
  /** Where git is started, when it is not to go by the path of the directory: a folder that is held open. */
  readonly workingDirectory?: string | undefined;
  /** A private one (private-common-directory.ts). */
  readonly commonDirectory: string;
  /** Options of git itself, in front of the subcommand. */
  readonly options?: readonly string[];
  readonly statusLike?: boolean;
  /** Whether git may fetch objects that a partial clone lacks, over https or ssh. */
  readonly mayFetch?: boolean;
  readonly indexFile?: string;
  /** `undefined`: a listing of the configuration. */
  readonly pins: readonly ConfigPin[] | undefined;
  /** Further ones for its environment. */
  readonly variables?: readonly Variable[];
  /** Messages of git are to be recognised, so they must not be translated. */
  readonly untranslated?: boolean;
  readonly input?: Buffer;
  /** For each output; 64 MiB unless given. */
  readonly maxOutputBytes?: number;
  /** A limit of the caller's own; the shorter one counts. 0 or `undefined`: none. */
  readonly timeoutMs?: number | undefined;
  readonly terminateGraceMs?: number;
  readonly outputGraceMs?: number;
}

/** Far more than any reply may hold, and far less than would harm the daemon. */
const maxOutputBytes = 67_108_864;
/** So many gits of one daemon run at the same time. */
const mostAtOnce = 8;

export class GitProgram implements AsyncDisposable {
  readonly services: GitServices;
  readonly temporaryFolders: TemporaryFolders;
  readonly kept: KeptDirectories;
  /** Requests that change worktrees, by the path of the repository as it is spelled and as it really is. */
  readonly changesBySpelling = new KeyedQueue();
  readonly changesByRepository = new KeyedQueue();
  /** By the common directory of the repository. */
  readonly branchDeletions = new KeyedQueue();
  readonly #turns = new Turns(mostAtOnce);
  readonly #callers = new AsyncLocalStorage<unknown>();
  readonly #end = new AbortController();
  readonly #running = new Set<Promise<unknown>>();

  constructor(services: GitServices) {
    this.services = services;
    this.temporaryFolders = new TemporaryFolders(dirname(services.settings.socketPath), services.platform);
    this.kept = new KeptDirectories(this.temporaryFolders, services.platform);
  }

  /** Does the work of one request. Where gits must wait for each other, the callers take turns. */
  async serve<T>(caller: unknown, work: () => Promise<T>): Promise<T> {
    const request = this.#callers.run(caller, work);
    this.#running.add(request);
    try {
      return await request;
    } finally {
      this.#running.delete(request);
    }
  }

  /** Ends every git that runs, lets the requests fail, and takes their folders away. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    await Promise.allSettled([...this.#running]);
    await this.kept[Symbol.asyncDispose]();
    await this.temporaryFolders[Symbol.asyncDispose]();
  }

  /**
   * Rejects only because of inherited configuration; every other failure is in the result.
   * @throws GitFailure `notRun` in the profiles that take inherited configuration over, when that cannot be done
   */
  async run(call: GitCall): Promise<CommandResult> {
    const { platform, profile } = this.services;
    const { mayFetch = false } = call;
    const inherited = ownVariables(platform.startedWith);
    const env = hardenedEnvironment(
      inherited,
      {
        commonDirectory: call.commonDirectory,
        statusLike: call.statusLike ?? false,
        mayFetch,
        indexFile: call.indexFile,
        pins: call.pins,
        variables: call.variables ?? [],
        untranslated: call.untranslated ?? false,
        inheritedPairs: profile.git.listing === 'required' ? inheritedConfigPairs(inherited) : undefined,
      },
      platform.host,
      platform.git.nullDevice,
    );
    const { workingDirectory } = call;
    const byOption = profile.git.directoryBy === 'option' && workingDirectory === undefined;
    const command = {
      args: [
        ...hardenedOptions({ mayFetch }),
        ...(byOption && call.directory !== '' ? ['-C', call.directory] : []),
        ...(call.options ?? []),
        ...call.args,
      ],
      cwd: workingDirectory ?? (byOption || call.directory === '' ? undefined : call.directory),
      env,
    };
    if (this.#turns.areTaken) {
      this.services.counters.gitCallsQueued++;
    }
    return this.#turns.take(this.#callers.getStore(), () => this.#start(call, command));
  }

  async #start(
    call: GitCall,
    command: Pick<Parameters<typeof runCommand>[1], 'args' | 'cwd' | 'env'>,
  ): Promise<CommandResult> {
    const { platform, settings, log, counters } = this.services;
    if (this.#end.signal.aborted) {
      return notRun('the daemon is ending');
    }
    const most = call.maxOutputBytes ?? maxOutputBytes;
    const limits = [settings.gitTimeoutMs, call.timeoutMs ?? 0].filter((ms) => ms > 0);
    const result = await runCommand(platform.processes, {
      command: 'git',
      ...command,
      signal: this.#end.signal,
      timeoutMs: limits.length === 0 ? 0 : Math.min(...limits),
      maxOutputBytes: most,
      ...(call.input === undefined ? {} : { input: call.input }),
      ...(call.terminateGraceMs === undefined ? {} : { terminateGraceMs: call.terminateGraceMs }),
      ...(call.outputGraceMs === undefined ? {} : { outputGraceMs: call.outputGraceMs }),
    });
    if (result.overflowed) {
      counters.gitOutputsCapped++;
      const failure = `git ${call.args[0]} printed more than ${most} bytes, which is the limit; ignore what need not be listed (.gitignore)`;
      log.warn('ServerHandler', `${failure}: ${call.directory}`);
      return { ...result, failure };
    }
    if (result.startFailure !== undefined && result.failure?.startsWith('chdir ')) {
      return { ...result, failure: `chdir ${call.directory}: ${platform.paths.reasonForCode(result.startFailure)}` };
    }
    return result;
  }
}

/** The result of a call that was not made. */
export function notRun(failure: string): CommandResult {
  const nothing = Buffer.alloc(0);
  return {
    exit: undefined,
    failure,
    startFailure: undefined,
    stdout: nothing,
    stderr: nothing,
    combined: nothing,
    timedOut: false,
    overflowed: false,
  };
}
