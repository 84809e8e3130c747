/** How work with git fails (spec git.md §9, last table). Each method of a door tells its client in a form of its own. */
import { SystemCallError } from '../../../platform/errors.ts';
import type { GitServices } from './services.ts';

export type GitFailureKind =
  /** The path belongs to no repository, or this host has no git to ask. */
  | 'noRepository'
  /** git was not run: the repository, its configuration or our environment is not one git may be run with. */
  | 'notRun'
  /** A call of git failed on which the whole answer depends. */
  | 'callFailed';

/** `message` is wire text, except for `noRepository`, which every method answers with its own empty result. */
export class GitFailure extends Error {
  override readonly name = 'GitFailure';
  readonly kind: GitFailureKind;

  constructor(kind: GitFailureKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

/**
 * Something in the repository is more than is looked at, so git was not run. Whoever serves the request logs and counts it.
 * `message` names the limit and what to do.
 */
export class LimitReached extends GitFailure {
  constructor(message: string) {
    super('notRun', message);
  }
}

/** The limit that a failure comes from; `undefined` for any other failure. */
function limitBehind(error: unknown): LimitReached | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (at instanceof LimitReached) {
      return at;
    }
  }
  return undefined;
}

export function noRepository(): GitFailure {
  return new GitFailure('noRepository', 'not a git repository');
}

export function isNoRepository(error: unknown): boolean {
  return error instanceof GitFailure && error.kind === 'noRepository';
}

/**
 * Does the work of one request. A file call of Node that fails on the way, for example because the temporary directory is
 * full, is reported in the contract's form `<operation> <path>: <reason>`.
 * A limit of ours that was reached on the way is logged and counted.
 * @throws SystemCallError instead of Node's error; whatever else `work` throws
 */
export async function namingFileCalls<T>(
  { platform, log, counters }: Pick<GitServices, 'platform' | 'log' | 'counters'>,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const limit = limitBehind(error);
    if (limit !== undefined) {
      counters.gitLimitsReached++;
      log.warn('ServerHandler', limit.message);
    }
    const { syscall, path = '', code = '' } = error as NodeJS.ErrnoException;
    if (syscall === undefined) {
      throw error;
    }
    throw new SystemCallError(`${syscall} ${path}: ${platform.paths.reason(error)}`, code, { cause: error });
  }
}
