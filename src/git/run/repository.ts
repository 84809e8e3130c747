/** A repository as one request sees it: where git works, what it reads as the repository's configuration, what its calls pin. */

import type { CommandResult } from '../../base/run-command.ts';
import { allowedSettings } from './allowed-settings.ts';
import { CallPins } from './call-pins.ts';
import { type Setting, writeConfiguration } from './configuration-file.ts';
import { GitFailure } from './failures.ts';
import type { FoundGitDirectory } from './find-git-directory.ts';
import { type GitCall, type GitProgram, notRun } from './git-program.ts';
import type { Lent } from './kept-directories.ts';
import { makeCommonDirectory, type PrivateDirectories, withRealPlace } from './private-common-directory.ts';
import { registrationsIn } from './registrations.ts';
import type { RepositorySettings } from './repository-settings.ts';

export interface CallOptions extends Omit<GitCall, 'args' | 'directory' | 'pins' | 'commonDirectory'> {
  /** Elsewhere than in the repository's directory. */
  readonly directory?: string;
  /** Works on this git directory (`--git-dir`) instead of the one git finds. */
  readonly gitDirectory?: string;
  /** For a call about worktrees, and for one that makes or deletes worktrees or branches: the git directory is ours too. */
  readonly changes?: boolean;
}

type Use = 'asking' | 'fetching' | 'changing';

function useOf({ changes = false, mayFetch = false }: CallOptions): Use {
  if (changes) {
    return 'changing';
  }
  return mayFetch ? 'fetching' : 'asking';
}

export interface RepositoryPlace {
  /** As the client sent it, after tilde; `''`: the daemon's own working directory. */
  readonly directory: string;
  /** Where git is started to work in `directory`. */
  readonly startDirectory: string;
  /** `undefined`: there is no repository, and git will say so. */
  readonly found: FoundGitDirectory | undefined;
  readonly settings: Exclude<RepositorySettings, { refused: string }>;
}

export class Repository {
  readonly program: GitProgram;
  /** As the client sent it, after tilde; `''`: the daemon's own working directory. */
  readonly directory: string;
  /** The git directory we found before git was asked. */
  readonly found: FoundGitDirectory | undefined;
  /** All that the repository's configuration says, also what git does not get to read. */
  readonly settings: readonly Setting[];
  readonly pins: CallPins;
  readonly #place: RepositoryPlace;
  /** Folders of ours that stand for the repository, made when the first such call is made. */
  readonly #made = new Map<Use, Promise<Lent>>();

  private constructor(program: GitProgram, place: RepositoryPlace) {
    this.program = program;
    this.directory = place.directory;
    this.found = place.found;
    this.#place = place;
    this.settings = 'settings' in place.settings ? place.settings.settings : [];
    this.pins = new CallPins(program, this.settings, (args, options) => this.#call(args, options, undefined));
  }

  /** For the time of the work. */
  static async with<T>(
    program: GitProgram,
    place: RepositoryPlace,
    work: (repository: Repository) => Promise<T>,
  ): Promise<T> {
    const repository = new Repository(program, place);
    try {
      return await work(repository);
    } finally {
      await repository.#end();
    }
  }

  /**
   * Runs git here. When git cannot be run, the result's `failure` says why.
   * @throws Node's error when no folder can be made for the call; LimitReached
   */
  async run(args: readonly string[], options: CallOptions = {}): Promise<CommandResult> {
    let pins: GitCall['pins'];
    try {
      pins = await this.pins.of(options);
    } catch (error) {
      if (error instanceof GitFailure) {
        return notRun(error.message);
      }
      throw error;
    }
    return this.#call(args, options, pins);
  }

  /** Whether the call succeeds. */
  async test(args: readonly string[], options: CallOptions = {}): Promise<boolean> {
    return (await this.run(args, options)).failure === undefined;
  }

  async #call(args: readonly string[], options: CallOptions, pins: GitCall['pins']): Promise<CommandResult> {
    const { gitDirectory, changes: _changes, ...rest } = options;
    const { commonDirectory, gitDirectory: ours } = await this.privateDirectories(options);
    const workTree = ours === undefined ? undefined : this.found?.workTree;
    const place = [
      ...named('--git-dir', gitDirectory ?? ours),
      ...named('--work-tree', gitDirectory === undefined ? workTree : undefined),
    ];
    const result = await this.program.run({
      ...rest,
      args,
      pins,
      directory: options.directory ?? this.#place.startDirectory,
      commonDirectory,
      options: [...place, ...(options.options ?? [])],
    });
    return this.#asIfInRealPlace(result);
  }

  /** What stands for the repository in such calls. @throws LimitReached, Node's error */
  async privateDirectories(options: CallOptions): Promise<PrivateDirectories> {
    const use = useOf(options);
    let made = this.#made.get(use);
    if (made === undefined) {
      made = this.#make(use, options);
      this.#made.set(use, made);
    }
    return (await made).directories;
  }

  async #make(use: Use, { changes, mayFetch = false }: CallOptions): Promise<Lent> {
    const { settings, found } = this.#place;
    const { kept, temporaryFolders, services } = this.program;
    const configuration =
      'badLine' in settings
        ? // git is to find an error in the same line, and to report it in its own words.
          `${'\n'.repeat(settings.badLine - 1)}[\n`
        : writeConfiguration(allowedSettings(settings.settings, { mayFetch }));
    if (use === 'asking' && services.platform.git.linkedFilesFollow) {
      return kept.lend({ found, configuration });
    }
    const worktrees = changes && found !== undefined ? await registrationsIn(found.commonDirectory) : undefined;
    const folder = await temporaryFolders.make();
    const giveBack = () => temporaryFolders.remove(folder);
    try {
      const directories = await makeCommonDirectory(folder, { found, configuration, worktrees }, services.platform);
      return { directories, folder, giveBack };
    } catch (error) {
      await giveBack();
      throw error;
    }
  }

  /** No call is running any more. */
  async #end(): Promise<void> {
    const made = await Promise.allSettled(this.#made.values());
    await Promise.all(made.map((each) => (each.status === 'fulfilled' ? each.value.giveBack() : undefined)));
  }

  async #asIfInRealPlace(result: CommandResult): Promise<CommandResult> {
    const real = this.found?.commonDirectory;
    const settled = await Promise.allSettled(this.#made.values());
    const folders = settled
      .flatMap((each) => (each.status === 'fulfilled' ? [each.value.folder] : []))
      .filter((folder) => result.stdout.includes(folder) || result.stderr.includes(folder));
    if (folders.length === 0) {
      return result;
    }
    const translate = (output: Buffer) => folders.reduce((text, folder) => withRealPlace(text, folder, real), output);
    return {
      ...result,
      stdout: translate(result.stdout),
      stderr: translate(result.stderr),
      combined: translate(result.combined),
    };
  }
}

function named(option: string, value: string | undefined): string[] {
  return value === undefined ? [] : [`${option}=${value}`];
}
