/**
 * Which settings the calls of one request pin (spec git.md §2.2). Where the profile requires it, the configuration is listed
 * before each call, because the pins have to name each hook that it configures.
 */
import type { CommandResult } from '../../base/run-command.ts';
import type { Setting } from './configuration-file.ts';
import { type ConfigEntry, parseConfigList } from './configuration-list.ts';
import { CannotPin, type ConfigPin, hookNamePins } from './configuration-pins.ts';
import { GitFailure, noRepository } from './failures.ts';
import type { GitProgram } from './git-program.ts';
import { notPinned } from './inherited-configuration.ts';
import { ruledText } from './output-text.ts';
import type { CallOptions } from './repository.ts';

/** Where a call works, as far as it decides which configuration is in force. */
type CallPlace = Pick<CallOptions, 'directory' | 'gitDirectory'>;

/** Makes a call that pins nothing. */
type ListingCall = (args: readonly string[], options: CallOptions) => Promise<CommandResult>;

type Listing = { readonly entries: readonly ConfigEntry[] } | { readonly failed: CommandResult };

export class CallPins {
  readonly #call: ListingCall;
  /** Hooks in the repository's own configuration, which git does not read. They count where names are counted. */
  readonly #unread: readonly ConfigEntry[];
  readonly #isRequired: boolean;
  /** The result of the hooks check, until a call has used it. */
  #hooksCheck: readonly ConfigPin[] | undefined;
  readonly #underWay = new Map<string, Promise<readonly ConfigPin[]>>();

  constructor(program: GitProgram, settings: readonly Setting[], call: ListingCall) {
    this.#call = call;
    this.#isRequired = program.services.profile.git.listing === 'required';
    this.#unread = settings
      .filter(({ key }) => key.startsWith('hook.'))
      .map(({ key, value }) => ({ key: Buffer.from(key, 'latin1'), value: Buffer.from(value ?? 'true', 'latin1') }));
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
    const listing = await this.#list({});
    if ('entries' in listing) {
      this.#hooksCheck = this.#pinsOf(listing.entries);
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
    const version = await this.#call(['version'], {});
    if (version.failure !== undefined) {
      throw new GitFailure(
        'notRun',
        `git cannot run on this host; git not run: ${version.failure}: ${ruledText({ ...version, failure: '' })}`,
      );
    }
    throw notPinned(`listing the configuration in force: ${failed.failure}: ${ruledText({ ...failed, failure: '' })}`);
  }

  /**
   * The pins of one call.
   * @throws GitFailure `notRun`
   */
  of(place: CallPlace): Promise<readonly ConfigPin[]> | readonly ConfigPin[] {
    return this.#isRequired ? this.#listNow(place) : [];
  }

  /** Lists right before the call, so that settings made meanwhile count. Calls that start together share one listing. */
  #listNow(place: CallPlace): Promise<readonly ConfigPin[]> {
    const where = [place.directory, place.gitDirectory].join('\0');
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
    if (checked === undefined || place.gitDirectory !== undefined || place.directory !== undefined) {
      return undefined;
    }
    this.#hooksCheck = undefined;
    return Promise.resolve(checked);
  }

  async #listRequired(place: CallPlace): Promise<readonly ConfigPin[]> {
    const listing = await this.#list(place);
    if ('entries' in listing) {
      return this.#pinsOf(listing.entries);
    }
    throw notPinned(`listing the configuration in force: ${listing.failed.failure}`);
  }

  async #list({ directory, gitDirectory }: CallPlace): Promise<Listing> {
    const listed = await this.#call(['config', '-z', '--list'], {
      ...(directory === undefined ? {} : { directory }),
      ...(gitDirectory === undefined ? {} : { gitDirectory }),
      untranslated: true,
    });
    return listed.failure === undefined ? { entries: parseConfigList(listed.stdout) } : { failed: listed };
  }

  /** @throws GitFailure `notRun` */
  #pinsOf(entries: readonly ConfigEntry[]): ConfigPin[] {
    try {
      return hookNamePins([...entries, ...this.#unread]);
    } catch (error) {
      throw error instanceof CannotPin ? notPinned(error.message, { cause: error }) : error;
    }
  }
}
