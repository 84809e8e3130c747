/**
 * Which settings the calls of one request pin (spec git.md §2.2). The configuration is listed first, because the pins have to
 * name each hook and each program that it configures.
 */
import type { CommandResult } from '../../base/run-command.ts';
import { type ConfigEntry, parseConfigList } from './configuration-list.ts';
import { CannotPin, type ConfigPin, hookNamePins, repositoryProgramPins } from './configuration-pins.ts';
import { GitFailure, noRepository } from './failures.ts';
import type { GitCall, GitProgram } from './git-program.ts';
import type { HardeningSet } from './hardening.ts';
import { notPinned } from './inherited-configuration.ts';
import { ruledText } from './output-text.ts';

/** Where a call works, as far as it decides which configuration is in force. */
export interface CallPlace extends Pick<GitCall, 'directory' | 'commonDirectory'> {
  readonly set?: HardeningSet;
  /** Of `--git-dir`; `undefined`: the one git finds. */
  readonly gitDirectory?: string | undefined;
}

type Listing = { readonly entries: readonly ConfigEntry[] } | { readonly failed: CommandResult };

export class CallPins {
  readonly #program: GitProgram;
  /** Where the request's repository is. */
  readonly #place: CallPlace;
  readonly #isRequired: boolean;
  /** In the profiles that require no listing: one for the whole request. */
  #oncePerRequest: Promise<readonly ConfigPin[]> | undefined;
  /** The result of the hooks check, until a call has used it. */
  #hooksCheck: readonly ConfigPin[] | undefined;
  readonly #underWay = new Map<string, Promise<readonly ConfigPin[]>>();
  #more: Promise<readonly ConfigPin[]> | undefined;

  constructor(program: GitProgram, place: CallPlace) {
    this.#program = program;
    this.#place = place;
    this.#isRequired = program.services.profile.git.listing === 'required';
  }

  /**
   * The hooks check: lists the configuration once before anything else is run. Does nothing in the profiles that do not
   * require it.
   * @throws GitFailure `noRepository`, `notRun`
   */
  async checkHooks(): Promise<void> {
    if (!this.#isRequired) {
      return;
    }
    const listing = await this.#list(this.#place);
    if ('entries' in listing) {
      this.#hooksCheck = requiredPins(listing.entries);
      return;
    }
    const { failed } = listing;
    // Without git, or without the directory, there can be no repository.
    if (failed.startFailure === 'ENOENT' || failed.failure?.startsWith('chdir ')) {
      throw noRepository();
    }
    if (failed.exit?.code === 128 && /^\s*fatal: not a git repository/i.test(failed.stderr.toString('latin1'))) {
      throw noRepository();
    }
    const version = await this.#program.version(this.#place.directory);
    if (version.failure !== undefined) {
      throw new GitFailure(
        'notRun',
        `git cannot run on this host; git not run: ${version.failure}: ${ruledText({ ...version, failure: '' })}`,
      );
    }
    throw notPinned(`listing the configuration in force: ${failed.failure}: ${ruledText({ ...failed, failure: '' })}`);
  }

  /** Starts to find out which programs the repository configures, so that a later call need not wait for it. */
  prepareForPrograms(): void {
    if (!this.#isRequired) {
      this.#listOnce();
    }
  }

  /** More pins for the calls that may run programs, e.g. those of submodules. */
  pinAlso(pins: Promise<readonly ConfigPin[]>): void {
    this.#more = pins;
    // A call awaits them later; a rejection before that must not count as unhandled.
    pins.catch(() => {});
  }

  /**
   * The pins of one call.
   * @throws CannotPin, GitFailure `notRun`
   */
  async of(place: CallPlace, mayRunPrograms: boolean): Promise<readonly ConfigPin[]> {
    const more = mayRunPrograms ? ((await this.#more) ?? []) : [];
    if (!this.#isRequired) {
      return mayRunPrograms ? [...(await this.#listOnce()), ...more] : [];
    }
    return [...(await this.#listNow(place)), ...more];
  }

  /**
   * Pins of the programs that the repository in `directory` configures.
   * @throws CannotPin
   */
  async ofProgramsIn(directory: string): Promise<readonly ConfigPin[]> {
    const listing = await this.#list({ directory });
    return 'entries' in listing ? repositoryProgramPins(listing.entries) : nothingToPin(listing.failed);
  }

  /** Lists right before the call, so that settings made meanwhile count. Calls that start together share one listing. */
  #listNow(place: CallPlace): Promise<readonly ConfigPin[]> {
    const where = [place.directory, place.commonDirectory, place.gitDirectory].join('\0');
    const underWay = this.#underWay.get(where);
    if (underWay !== undefined) {
      return underWay;
    }
    const pins = this.#takeHooksCheck(place) ?? this.#listRequired(place);
    this.#underWay.set(where, pins);
    return pins.finally(() => this.#underWay.delete(where));
  }

  /** The hooks check has just listed the configuration; its result serves the calls that follow directly. */
  #takeHooksCheck(place: CallPlace): Promise<readonly ConfigPin[]> | undefined {
    const checked = this.#hooksCheck;
    if (checked === undefined || place.gitDirectory !== undefined || place.directory !== this.#place.directory) {
      return undefined;
    }
    this.#hooksCheck = undefined;
    return Promise.resolve(checked);
  }

  async #listRequired(place: CallPlace): Promise<readonly ConfigPin[]> {
    const listing = await this.#list(place);
    if ('entries' in listing) {
      return requiredPins(listing.entries);
    }
    throw notPinned(`listing the configuration in force: ${listing.failed.failure}`);
  }

  #listOnce(): Promise<readonly ConfigPin[]> {
    this.#oncePerRequest ??= (async () => {
      const listing = await this.#list({ directory: this.#place.directory });
      return 'entries' in listing ? pinsOf(listing.entries) : nothingToPin(listing.failed);
    })();
    this.#oncePerRequest.catch(() => {});
    return this.#oncePerRequest;
  }

  async #list({ directory, commonDirectory, gitDirectory, set }: CallPlace): Promise<Listing> {
    const call = (scopes: readonly string[]) =>
      this.#program.run({
        args: ['config', '-z', '--list', ...scopes],
        directory,
        commonDirectory,
        ...(set === undefined ? {} : { set }),
        options: gitDirectory === undefined ? [] : [`--git-dir=${gitDirectory}`],
        pins: undefined,
        untranslated: true,
      });
    const withScopes = await call(['--show-scope']);
    if (withScopes.failure === undefined) {
      return { entries: parseConfigList(withScopes.stdout, true) };
    }
    // Before 2.26 git knows no scopes and answers with its usage.
    if (withScopes.exit?.code !== 129) {
      return { failed: withScopes };
    }
    const plain = await call([]);
    return plain.failure === undefined ? { entries: parseConfigList(plain.stdout, false) } : { failed: plain };
  }
}

/** @throws GitFailure `notRun` */
function requiredPins(entries: readonly ConfigEntry[]): ConfigPin[] {
  try {
    return pinsOf(entries);
  } catch (error) {
    throw error instanceof CannotPin ? notPinned(error.message, { cause: error }) : error;
  }
}

/** @throws CannotPin */
function pinsOf(entries: readonly ConfigEntry[]): ConfigPin[] {
  return [...hookNamePins(entries), ...repositoryProgramPins(entries)];
}

/**
 * Where git cannot list the configuration it cannot work with it either, and the call itself will report the cause. A
 * listing that we ended says nothing about the configuration.
 * @throws CannotPin
 */
function nothingToPin(failed: CommandResult): ConfigPin[] {
  if (failed.timedOut || failed.overflowed) {
    throw new CannotPin(`the configuration could not be listed: ${failed.failure}`);
  }
  return [];
}
