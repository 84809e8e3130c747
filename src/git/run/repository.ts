/** A repository as one request sees it: where git works, what is pinned, what was found out about it already. */
import type { CommandResult } from '../../base/run-command.ts';
import {
  CannotPin,
  type ConfigEntry,
  hookNamePins,
  parseConfigList,
  repositoryProgramPins,
} from './configuration-pins.ts';
import { GitRefusal, NoRepository } from './failures.ts';
import type { GitCall, GitProgram } from './git-program.ts';
import type { ConfigPin, HardeningSet } from './hardening.ts';
import { notPinned } from './inherited-configuration.ts';
import { ruledText, trimSpace } from './output-text.ts';

export interface CallOptions extends Omit<GitCall, 'args' | 'directory' | 'pins' | 'commonDirectory'> {
  /** Elsewhere than in the repository's directory. */
  readonly directory?: string;
  /** Works on this git directory (`--git-dir`) instead of the one git finds. */
  readonly gitDirectory?: string;
  readonly commonDirectory?: string;
  /** Whether the call may start hooks, filters or other programs that a configuration names. */
  readonly mayRunPrograms?: boolean;
}

type Listing = { readonly entries: readonly ConfigEntry[] } | { readonly failed: CommandResult };

export class Repository {
  readonly program: GitProgram;
  /** As the client sent it, after tilde; `''`: the daemon's own working directory. */
  readonly directory: string;
  /** Where refs and configuration are, once the trust check has found it (spec git.md §9). */
  readonly pinnedCommonDirectory: string | undefined;
  #programPins: Promise<readonly ConfigPin[]> | undefined;
  /** Of the hooks check, until a call has used it. */
  #hooksCheck: readonly ConfigPin[] | undefined;
  readonly #underWay = new Map<string, Promise<readonly ConfigPin[]>>();
  #mayHaveMorePrograms: Promise<readonly ConfigPin[]> | undefined;

  constructor(program: GitProgram, directory: string, pinnedCommonDirectory?: string) {
    this.program = program;
    this.directory = directory;
    this.pinnedCommonDirectory = pinnedCommonDirectory;
  }

  /** Runs git here. Never rejects: what keeps git from running is the result's `failure`. */
  async run(args: readonly string[], options: CallOptions = {}): Promise<CommandResult> {
    const { gitDirectory, mayRunPrograms = false, ...rest } = options;
    const place = {
      ...rest,
      directory: options.directory ?? this.directory,
      commonDirectory: options.commonDirectory ?? this.pinnedCommonDirectory,
      options: [...(gitDirectory === undefined ? [] : [`--git-dir=${gitDirectory}`]), ...(options.options ?? [])],
    };
    try {
      const pins = await this.#pins(place, gitDirectory, mayRunPrograms);
      return await this.program.run({ ...place, args, pins });
    } catch (error) {
      if (error instanceof CannotPin || error instanceof GitRefusal) {
        return notRun(error.message);
      }
      throw error;
    }
  }

  /** Whether the call succeeds. */
  async test(args: readonly string[], options: CallOptions = {}): Promise<boolean> {
    return (await this.run(args, options)).failure === undefined;
  }

  /**
   * The hooks check: lists the configuration once before anything else is run (spec git.md §2.2). Does nothing in the
   * profiles that do not require it.
   * @throws NoRepository, GitRefusal
   */
  async checkHooks(): Promise<void> {
    if (this.program.services.profile.git.listing !== 'required') {
      return;
    }
    const listing = await this.#list({ directory: this.directory, commonDirectory: this.pinnedCommonDirectory });
    if ('entries' in listing) {
      this.#hooksCheck = requiredPins(listing.entries);
      return;
    }
    const { failed } = listing;
    // No git, or no such directory: nothing there could be a repository.
    if (failed.startFailure === 'ENOENT' || failed.failure?.startsWith('chdir ')) {
      throw new NoRepository();
    }
    if (failed.exit?.code === 128 && /^\s*fatal: not a git repository/i.test(failed.stderr.toString('latin1'))) {
      throw new NoRepository();
    }
    const version = await this.program.version(this.directory);
    if (version.failure !== undefined) {
      throw new GitRefusal(
        `git cannot run on this host; git not run: ${version.failure}: ${ruledText({ ...version, failure: '' })}`,
      );
    }
    throw new GitRefusal(
      notPinned(`listing the configuration in force: ${failed.failure}: ${ruledText({ ...failed, failure: '' })}`),
    );
  }

  /** Starts to find out which programs the repository configures, so that a later call need not wait for it. */
  prepareForPrograms(): void {
    if (this.program.services.profile.git.listing !== 'required') {
      this.#oncePerRequest();
    }
  }

  /** More pins for the calls that may run programs, e.g. those of submodules. */
  pinAlso(pins: Promise<readonly ConfigPin[]>): void {
    this.#mayHaveMorePrograms = pins;
    // Awaited where it is used; until then a failure is not unhandled.
    pins.catch(() => {});
  }

  /**
   * What the repository in `directory` configures to be run.
   * @throws CannotPin
   */
  async programPinsOf(directory: string): Promise<readonly ConfigPin[]> {
    const listing = await this.#list({ directory });
    return 'entries' in listing ? repositoryProgramPins(listing.entries) : nothingToPin(listing.failed);
  }

  async #pins(
    place: Pick<GitCall, 'directory' | 'commonDirectory' | 'options'> & { readonly set?: HardeningSet },
    gitDirectory: string | undefined,
    mayRunPrograms: boolean,
  ): Promise<readonly ConfigPin[]> {
    const more = mayRunPrograms ? ((await this.#mayHaveMorePrograms) ?? []) : [];
    const { listing: policy } = this.program.services.profile.git;
    if (policy !== 'required') {
      return mayRunPrograms ? [...(await this.#oncePerRequest()), ...more] : [];
    }
    return [...(await this.#pinsRightNow(place, gitDirectory)), ...more];
  }

  /** Lists right before the call, so that what was configured meanwhile counts. Calls that start together share one. */
  #pinsRightNow(
    place: Pick<GitCall, 'directory' | 'commonDirectory'> & { readonly set?: HardeningSet },
    gitDirectory: string | undefined,
  ): Promise<readonly ConfigPin[]> {
    const where = [place.directory, place.commonDirectory, gitDirectory].join('\0');
    const underWay = this.#underWay.get(where);
    if (underWay !== undefined) {
      return underWay;
    }
    const pins = (async () => {
      const isFirst = gitDirectory === undefined && place.directory === this.directory;
      const checked = isFirst ? this.#hooksCheck : undefined;
      if (checked !== undefined) {
        // The hooks check was just now; it serves the calls that follow it directly.
        this.#hooksCheck = undefined;
        return checked;
      }
      const listing = await this.#list(place, gitDirectory);
      if ('entries' in listing) {
        return requiredPins(listing.entries);
      }
      throw new GitRefusal(notPinned(`listing the configuration in force: ${listing.failed.failure}`));
    })();
    this.#underWay.set(where, pins);
    return pins.finally(() => this.#underWay.delete(where));
  }

  #oncePerRequest(): Promise<readonly ConfigPin[]> {
    this.#programPins ??= (async () => {
      const listing = await this.#list({ directory: this.directory });
      return 'entries' in listing ? pinsOf(listing.entries) : nothingToPin(listing.failed);
    })();
    this.#programPins.catch(() => {});
    return this.#programPins;
  }

  async #list(
    place: Pick<GitCall, 'directory' | 'commonDirectory'> & { readonly set?: HardeningSet },
    gitDirectory?: string,
  ): Promise<Listing> {
    const call = (scopes: readonly string[]) =>
      this.program.run({
        args: ['config', '-z', '--list', ...scopes],
        directory: place.directory,
        commonDirectory: place.commonDirectory,
        ...(place.set === undefined ? {} : { set: place.set }),
        options: gitDirectory === undefined ? [] : [`--git-dir=${gitDirectory}`],
        pins: undefined,
        untranslated: true,
      });
    const withScopes = await call(['--show-scope']);
    if (withScopes.failure === undefined) {
      return { entries: parseConfigList(withScopes.stdout, true) };
    }
    // Before 2.26 git knows no scopes and says so with its usage.
    if (withScopes.exit?.code !== 129) {
      return { failed: withScopes };
    }
    const plain = await call([]);
    return plain.failure === undefined ? { entries: parseConfigList(plain.stdout, false) } : { failed: plain };
  }
}

/** @throws GitRefusal */
function requiredPins(entries: readonly ConfigEntry[]): ConfigPin[] {
  try {
    return pinsOf(entries);
  } catch (error) {
    throw error instanceof CannotPin ? new GitRefusal(notPinned(error.message), { cause: error }) : error;
  }
}

function pinsOf(entries: readonly ConfigEntry[]): ConfigPin[] {
  return [...hookNamePins(entries), ...repositoryProgramPins(entries)];
}

/**
 * Where git cannot list the configuration it cannot work with it either, and the call itself will say what is wrong. A
 * listing that we ended tells nothing of the kind.
 * @throws CannotPin
 */
function nothingToPin(failed: CommandResult): ConfigPin[] {
  if (failed.timedOut || failed.overflowed) {
    throw new CannotPin(`the configuration could not be listed: ${failed.failure}`);
  }
  return [];
}

function notRun(failure: string): CommandResult {
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

/** Whether a yes-or-no question of `git rev-parse` was answered with yes. */
export function saysTrue(result: CommandResult): boolean {
  return result.failure === undefined && trimSpace(result.stdout.toString('latin1')) === 'true';
}
