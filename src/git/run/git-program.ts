/** The git of this host: how one hardened call is made (spec git.md §2). One per daemon. */
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Variable } from '../../../platform/started-with.ts';
import { KeyedQueue } from '../../base/keyed-queue.ts';
import { ownVariables } from '../../base/own-process.ts';
import { type CommandResult, runCommand } from '../../base/run-command.ts';
import type { ConfigPin } from './configuration-pins.ts';
import { type HardeningSet, hardenedEnvironment, hardenedOptions, withoutRedirections } from './hardening.ts';
import { inheritedConfigPairs } from './inherited-configuration.ts';
import type { GitServices } from './services.ts';

export interface GitCall {
  /** Subcommand and its arguments. Names a client chose stand behind `--`. */
  readonly args: readonly string[];
  /** Where git works; `''`: the daemon's own working directory. */
  readonly directory: string;
  readonly set?: HardeningSet;
  /** Options of git itself, in front of the subcommand. */
  readonly options?: readonly string[];
  /** Options that must be the very first. */
  readonly leading?: readonly string[];
  readonly statusLike?: boolean;
  readonly commonDirectory?: string | undefined;
  readonly indexFile?: string;
  /** `undefined`: a listing of the configuration. */
  readonly pins: readonly ConfigPin[] | undefined;
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

/** Id of the tree without entries. git knows this tree even where no object of it exists. */
export const emptyTree = '4b825dc642cb6eb9a060e54bf8d69288fbee4904';

export class GitProgram {
  readonly services: GitServices;
  /** Requests that change worktrees, by the path of the repository as it is spelled and as it really is. */
  readonly changesBySpelling = new KeyedQueue();
  readonly changesByRepository = new KeyedQueue();
  /** By the common directory of the repository. */
  readonly branchDeletions = new KeyedQueue();
  #excludesFile: Promise<string | undefined> | undefined;
  #attributeSource: Promise<readonly string[]> | undefined;

  constructor(services: GitServices) {
    this.services = services;
  }

  /**
   * Rejects only because of inherited configuration; every other failure is in the result.
   * @throws GitFailure `notRun` in the profiles that take inherited configuration over, when that cannot be done
   */
  async run(call: GitCall): Promise<CommandResult> {
    const { platform, profile } = this.services;
    const set = call.set ?? 'light';
    const statusLike = call.statusLike ?? false;
    const inherited = ownVariables(platform.startedWith);
    const env = hardenedEnvironment(
      inherited,
      {
        set,
        statusLike,
        commonDirectory: call.commonDirectory,
        indexFile: call.indexFile,
        pins: call.pins,
        untranslated: call.untranslated ?? false,
        inheritedPairs: profile.git.listing === 'required' ? inheritedConfigPairs(inherited) : undefined,
      },
      platform.host,
      platform.git.nullDevice,
    );
    const excludesFile = await this.#userExcludes();
    const byOption = profile.git.directoryBy === 'option';
    return this.#start(call, {
      args: [
        ...(call.leading ?? []),
        ...hardenedOptions({ set, excludesFile, statusLike }, platform.git),
        ...(byOption && call.directory !== '' ? ['-C', call.directory] : []),
        ...(call.options ?? []),
        ...call.args,
      ],
      cwd: byOption || call.directory === '' ? undefined : call.directory,
      env,
    });
  }

  /** `git version`, which reads no repository. */
  version(directory: string): Promise<CommandResult> {
    return this.run({ args: ['version'], directory, pins: [] });
  }

  /** The option that makes git take attributes from an empty tree; none where this git has no such option. */
  attributeSource(): Promise<readonly string[]> {
    this.#attributeSource ??= (async () => {
      const option = [`--attr-source=${emptyTree}`];
      const probe = await this.run({ args: ['version'], leading: option, directory: '', pins: [] });
      return probe.failure === undefined ? option : [];
    })();
    return this.#attributeSource;
  }

  /** The user's own ignore file, which a repository must not replace by another. git is asked for it once. */
  #userExcludes(): Promise<string | undefined> {
    this.#excludesFile ??= this.#findUserExcludes();
    return this.#excludesFile;
  }

  async #findUserExcludes(): Promise<string | undefined> {
    const { platform } = this.services;
    const args = ['config', '--includes', '--path', 'core.excludesFile'];
    const result = await this.#start(
      { args, directory: '', pins: [] },
      {
        args,
        cwd: tmpdir(),
        env: [
          ...withoutRedirections(ownVariables(platform.startedWith), platform.host),
          ['GIT_DIR', platform.git.nullDevice],
        ],
      },
    );
    if (result.failure === undefined) {
      const path = result.stdout.toString().replace(/\n$/, '');
      return path === '' ? undefined : path;
    }
    const configured = process.env.XDG_CONFIG_HOME;
    const home = platform.host.home();
    const base = configured ? configured : home === undefined ? undefined : join(home, '.config');
    const usual = base === undefined ? undefined : join(base, 'git', 'ignore');
    return usual !== undefined && existsSync(usual) ? usual : undefined;
  }

  async #start(
    call: GitCall,
    command: { readonly args: readonly string[]; readonly cwd: string | undefined; readonly env: readonly Variable[] },
  ): Promise<CommandResult> {
    const { platform, settings, log, counters } = this.services;
    const most = call.maxOutputBytes ?? maxOutputBytes;
    const limits = [settings.gitTimeoutMs, call.timeoutMs ?? 0].filter((ms) => ms > 0);
    const result = await runCommand(platform.processes, {
      command: 'git',
      ...command,
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
      return { ...result, failure: `chdir ${command.cwd}: ${platform.paths.reasonForCode(result.startFailure)}` };
    }
    return result;
  }
}
