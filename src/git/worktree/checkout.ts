/** The files of a worktree that was added without them (spec git.md §6.4.6). */
import { join } from 'node:path';
import type { CommandResult } from '../../base/run-command.ts';
import type { Repository } from '../run/repository.ts';
import { IndexNotPlaced, placeIndex } from './place-index.ts';
import type { TestedRegistration } from './tested-registration.ts';
import { inPlace } from './true-place.ts';

/** A program that git has started may keep git's output open for so long after git's own end. */
const outputGraceMs = 5_000;

export interface CheckoutRequest {
  /** Absolute. */
  readonly worktree: string;
  /** Where it must be, without links; `undefined`: wherever the path leads. */
  readonly place: string | undefined;
  /** The git directory of the repository. */
  readonly gitDirectory: string;
  /** The worktree's registration, into which the index is written. */
  readonly entry: string;
  /** The same held open; `undefined` where nobody could have put another one in its place. */
  readonly held: TestedRegistration | undefined;
  /** Commit id or full name of a branch. */
  readonly revision: string;
  /** Milliseconds left; `undefined`: no limit. */
  readonly timeoutMs: number | undefined;
}

/**
 * Checks out into the worktree with an index of our own, which then becomes the worktree's index. So git does not write to
 * any file that the worktree's `.git` leads to.
 * @returns the call that failed, also when its index could not be placed; `undefined` when the files are there
 * @throws Node's error when the index cannot be written, in profiles that do not name the call
 */
export function checkOut(repository: Repository, request: CheckoutRequest): Promise<CommandResult | undefined> {
  const { files } = repository.program.services.platform;
  return repository.program.temporaryFolders.with(async (folder) => {
    const indexFile = join(folder, 'index');
    // git works in the folder that is open, so a link that somebody puts on the way to it leads git nowhere else.
    const result = await inPlace(files, request.worktree, request.place, ({ asWorkingDirectory }) =>
      repository.run(['read-tree', '-u', '--reset', '--no-recurse-submodules', request.revision], {
        directory: request.worktree,
        workingDirectory: asWorkingDirectory,
        gitDirectory: request.gitDirectory,
        options: [
          ...['-c', 'core.splitIndex=false', '-c', 'core.commitGraph=false'],
          `--work-tree=${asWorkingDirectory === undefined ? request.worktree : '.'}`,
        ],
        indexFile,
        mayFetch: true,
        timeoutMs: request.timeoutMs,
        outputGraceMs,
      }),
    );
    if (result.failure !== undefined) {
      return result;
    }
    const failure = await failureOfPlacing(indexFile, request, repository);
    // The text follows what git has written itself, and is bounded with it.
    return failure === undefined
      ? undefined
      : { ...result, failure, stderr: Buffer.concat([result.stderr, Buffer.from(failure)]) };
  });
}

/** @returns wire text; `undefined` when the index is in its place */
async function failureOfPlacing(
  indexFile: string,
  { entry, held }: CheckoutRequest,
  repository: Repository,
): Promise<string | undefined> {
  const { platform, profile } = repository.program.services;
  const fault = await held?.fault();
  if (fault !== undefined) {
    return fault;
  }
  try {
    await placeIndex(indexFile, entry, platform);
    return undefined;
  } catch (error) {
    if (error instanceof IndexNotPlaced && profile.git.create.placeIndexTexts) {
      return error.message;
    }
    throw error instanceof IndexNotPlaced ? error.cause : error;
  }
}
