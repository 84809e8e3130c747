/** `git.worktree_create` (spec git.md §6). */
import { join, resolve } from 'node:path';
import type { CommandResult } from '../../base/run-command.ts';
import { RpcError } from '../../doors/rpc/errors.ts';
import type { ResultObject } from '../../wire/json.ts';
import { nestedText, placeOf } from '../query/managed-place.ts';
import { entriesNaming } from '../query/worktree-entries.ts';
import { GitRefusal, NoRepository } from '../run/failures.ts';
import type { GitProgram } from '../run/git-program.ts';
import { trust } from '../run/open-repository.ts';
import { lineOf } from '../run/output-text.ts';
import { type Repository, saysTrue } from '../run/repository.ts';
import { addFailed, addWithoutFiles, shownText } from './add-without-files.ts';
import { checkOut } from './checkout.ts';
import { checkContained, createContained, refuseExisting } from './containment.ts';
import { Deadline } from './create-deadline.ts';
import {
  checkExternalSpelling,
  checkLeadsOutside,
  checkOutsideCheckouts,
  checkOutsideRepository,
  checkRootItself,
  checkWayToRoot,
  createExternal,
} from './external-root.ts';
import { noParent, WorktreeFailure } from './failures.ts';
import { populate } from './populate.ts';
import { realWay } from './real-path.ts';
import { checkRegistration, commonDirectoryOf, registrationOf, removeStaleRegistration } from './registration.ts';
import { rollBack } from './rollback.ts';
import { findStart } from './start-commit.ts';

export interface CreateParams {
  /** Paths after tilde; `''` where nothing was sent. */
  readonly baseRepo: string;
  readonly worktreePath: string;
  readonly worktreeRoot: string;
  readonly branchName: string;
  readonly sourceBranch: string;
  readonly existingBranch: string;
  /** 0 or less: none. */
  readonly timeoutMs: bigint;
}

/** @throws RpcError for a missing branch name; every other failure is in the result */
export async function createWorktree(program: GitProgram, params: CreateParams): Promise<ResultObject> {
  if (params.branchName === '') {
    throw new RpcError('invalidParams', 'branchName is required');
  }
  try {
    const { sourceBranch, branch } = await new Creation(program, params).run();
    return {
      success: true,
      path: params.worktreePath,
      sourceBranch,
      branch: program.services.profile.git.create.existingBranch ? branch : undefined,
    };
  } catch (error) {
    const failure = asFailure(error);
    return {
      success: false,
      error: failure.message,
      errorCode: failure.code,
      branchKept: failure.branchKept ? true : undefined,
    };
  }
}

function asFailure(error: unknown): WorktreeFailure {
  if (error instanceof WorktreeFailure) {
    return error;
  }
  if (error instanceof NoRepository) {
    return notARepository();
  }
  if (error instanceof GitRefusal) {
    return new WorktreeFailure(error.message, 'worktree_add_failed', { cause: error });
  }
  throw error;
}

function notARepository(): WorktreeFailure {
  return new WorktreeFailure('not a git repository', 'not_a_repo');
}

interface Created {
  readonly sourceBranch: string | undefined;
  /** The branch that is checked out. */
  readonly branch: string;
}

class Creation {
  readonly #program: GitProgram;
  readonly #params: CreateParams;

  constructor(program: GitProgram, params: CreateParams) {
    this.#program = program;
    this.#params = params;
  }

  get #rows() {
    return this.#program.services.profile.git.create;
  }

  /** @throws WorktreeFailure, NoRepository, GitRefusal */
  async run(): Promise<Created> {
    const { baseRepo, worktreeRoot } = this.#params;
    const { services } = this.#program;
    if (this.#rows.containment) {
      const place = await placeOf(baseRepo, services.platform.git);
      if (place.state === 'managed' || place.state === 'unresolved') {
        throw new WorktreeFailure(nestedText, 'nested_base_repo');
      }
    }
    const { repository } = await trust(this.#program, baseRepo);
    if (worktreeRoot !== '' && !services.platform.git.externalRoots) {
      checkExternalSpelling('create', this.#external, services);
    }
    await repository.checkHooks();
    if (!saysTrue(await repository.run(['rev-parse', '--is-inside-work-tree']))) {
      throw notARepository();
    }
    repository.prepareForPrograms();
    return this.#rows.checkout === 'byAdd' ? this.#addWhole(repository) : this.#addInSteps(repository);
  }

  /** git hands the name to `git branch` in a place where a leading dash makes it an option, `-D` for one. */
  async #refuseOptionAsName(repository: Repository): Promise<void> {
    const { branchName } = this.#params;
    if (!branchName.startsWith('-')) {
      return;
    }
    const checked = await repository.run(['check-ref-format', '--branch', branchName]);
    throw addFailed(
      checked.failure === undefined ? `'${branchName}' is not a valid branch name` : shownText(repository, checked),
    );
  }

  get #external() {
    const { worktreeRoot, worktreePath, baseRepo } = this.#params;
    return { root: worktreeRoot, path: worktreePath, baseRepo };
  }

  // ---- one add that checks out

  async #addWhole(repository: Repository): Promise<Created> {
    const { branchName, sourceBranch, worktreePath, baseRepo } = this.#params;
    await this.#refuseOptionAsName(repository);
    const start = await findStart(repository, sourceBranch);
    const added = await repository.run(
      ['worktree', 'add', '-b', branchName, '--', worktreePath, ...(start.branch === undefined ? [] : [start.branch])],
      { mayRunPrograms: true },
    );
    if (added.failure !== undefined) {
      throw addFailed(shownText(repository, added));
    }
    await this.#populate(repository, resolve(baseRepo, worktreePath));
    return { sourceBranch: start.shown, branch: branchName };
  }

  // ---- checks, add, checkout, each on its own

  async #addInSteps(repository: Repository): Promise<Created> {
    const { services } = this.#program;
    const { paths } = services.platform;
    const worktree = paths.clean(this.#params.worktreePath);
    await this.#checkPath(repository);
    await this.#refuseOptionAsName(repository);
    const where = await repository.run(['rev-parse', '--absolute-git-dir'], { set: 'heavy' });
    if (where.failure !== undefined) {
      throw addFailed(shownText(repository, where));
    }
    const gitDirectory = lineOf(where);
    const commonDirectory = await commonDirectoryOf(gitDirectory, paths);
    const start = await findStart(repository, this.#params.sourceBranch);

    await this.#createFolders();
    // Only now, with a folder that is new, is a registration of the place known to be stale.
    if (this.#rows.registrationTests) {
      await removeStaleRegistration(worktree, commonDirectory, services);
    }
    const deadline = new Deadline(this.#rows.timeoutMs ? this.#params.timeoutMs : 0n);
    const existed =
      this.#rows.timeoutEndsAdd && deadline.isSet
        ? await repository.test(['show-ref', '--verify', '--quiet', `refs/heads/${this.#params.branchName}`])
        : false;
    deadline.start();
    const added = await addWithoutFiles(repository, { ...this.#params, worktree, start, deadline });

    const undo = async (failure: WorktreeFailure) => {
      const entries = await entriesNaming(commonDirectory, [join(await realWay(worktree), '.git')], paths);
      const entry = entries.length === 1 ? entries[0] : undefined;
      const createdBranch = added.attached || existed ? undefined : added.branch;
      const rollback = { shownPath: this.#params.worktreePath, worktree, entry, commonDirectory, createdBranch };
      return rollBack(repository, rollback, failure);
    };
    if (added.timedOut) {
      throw await undo(deadline.failure('before the checkout started'));
    }
    const entry = await this.#entryOf(worktree, commonDirectory);
    if (deadline.hasPassed) {
      throw await undo(deadline.failure('before the checkout started'));
    }
    const revision = !added.attached && start.commit !== undefined ? start.commit : `refs/heads/${added.branch}`;
    const failed = await this.#checkOut(repository, { worktree, gitDirectory, entry, revision, deadline });
    if (failed !== undefined) {
      throw await undo(failed);
    }
    if (deadline.hasPassed) {
      throw await undo(deadline.failure('after the checkout finished'));
    }
    await this.#populate(repository, worktree);
    if (deadline.hasPassed) {
      throw await undo(deadline.failure('after the checkout finished'));
    }
    return { sourceBranch: start.shown, branch: added.branch };
  }

  async #checkPath(repository: Repository): Promise<void> {
    const { services } = this.#program;
    const { worktreePath, worktreeRoot, baseRepo } = this.#params;
    if (worktreeRoot === '') {
      if (worktreePath === '') {
        throw noParent('"" does not name a directory');
      }
      await checkContained('create', worktreePath, baseRepo, services);
      await refuseExisting(worktreePath, services);
      return;
    }
    checkExternalSpelling('create', this.#external, services);
    checkOutsideRepository('create', this.#external, services);
    await checkWayToRoot(this.#external, services);
    await checkLeadsOutside('create', this.#external, repository);
    await checkOutsideCheckouts(this.#external, services);
    await checkRootItself(this.#external, services);
  }

  async #createFolders(): Promise<void> {
    const { worktreePath, worktreeRoot, baseRepo } = this.#params;
    if (worktreeRoot === '') {
      await createContained(worktreePath, baseRepo, this.#program.services);
    } else {
      await createExternal(this.#external, this.#program.services);
    }
  }

  async #entryOf(worktree: string, commonDirectory: string): Promise<string> {
    const { platform } = this.#program.services;
    if (this.#rows.registrationTests && platform.git.registrationTests) {
      return (await checkRegistration(worktree, commonDirectory, platform.paths)).entry;
    }
    const registration = await registrationOf(worktree, commonDirectory, platform.paths);
    if (registration.state === 'doubtful') {
      throw new WorktreeFailure(
        `git worktree add failed (checkout): ${worktree} ${registration.reason}`,
        'worktree_add_failed',
      );
    }
    return registration.entry;
  }

  async #checkOut(
    repository: Repository,
    request: {
      readonly worktree: string;
      readonly gitDirectory: string;
      readonly entry: string;
      readonly revision: string;
      readonly deadline: Deadline;
    },
  ): Promise<WorktreeFailure | undefined> {
    const { deadline } = request;
    let failed: CommandResult | undefined;
    try {
      failed = await checkOut(repository, { ...request, timeoutMs: deadline.leftMs });
    } catch (error) {
      const reason = this.#program.services.platform.paths.reason(error);
      return new WorktreeFailure(`git worktree add failed (checkout): ${reason}`, 'worktree_add_failed');
    }
    if (failed === undefined) {
      return undefined;
    }
    const text = shownText(repository, failed);
    return failed.timedOut && deadline.hasPassed
      ? deadline.failure('during the checkout', text === '' ? failed.failure : text)
      : new WorktreeFailure(`git worktree add failed (checkout): ${text}`, 'worktree_add_failed');
  }

  async #populate(repository: Repository, worktree: string): Promise<void> {
    const top = await repository.run(['rev-parse', '--show-toplevel']);
    if (top.failure === undefined) {
      await populate(repository, { source: lineOf(top), worktree });
    }
  }
}
