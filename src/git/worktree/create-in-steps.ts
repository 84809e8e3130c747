/** A worktree made in steps of their own: checks, add, checkout, population; undone when a step fails (spec git.md §6.2 to §6.5). */
import type { CommandResult } from '../../base/run-command.ts';
import { answerOf, askGitDirectory } from '../query/repository-folders.ts';
import { commonDirectoryOf } from '../run/find-git-directory.ts';
import { registrationsIn } from '../run/registrations.ts';
import type { Repository } from '../run/repository.ts';
import { type AddedWorktree, addWithoutFiles } from './add-without-files.ts';
import { refuseLinkTo, refuseOptionAsBranch } from './branch-name.ts';
import { type CheckoutRequest, checkOut } from './checkout.ts';
import { checkContained, createContained } from './containment.ts';
import { CreateDeadline } from './create-deadline.ts';
import type { CreatedWorktree, CreateParams } from './create-params.ts';
import {
  checkExternalSpelling,
  checkLeadsOutside,
  checkOutsideCheckouts,
  checkOutsideRepository,
  checkRootItself,
  checkWayToRoot,
  externalPathOf,
} from './external-root.ts';
import { createExternal } from './external-root-folders.ts';
import { addFailed, noParent, type WorktreeFailure } from './failures.ts';
import { refuseExisting } from './fresh-folder.ts';
import { populate } from './populate.ts';
import { quotedText } from './quoted-text.ts';
import { checkRegistration, entriesOfWorktree, registrationOf, removeStaleRegistration } from './registration.ts';
import { rollBack } from './rollback.ts';
import { findStart, type StartPoint } from './start-commit.ts';
import { TestedRegistration } from './tested-registration.ts';
import { NotInPlace, placeOfWorktree } from './true-place.ts';

/** @throws WorktreeFailure */
export async function createInSteps(repository: Repository, params: CreateParams): Promise<CreatedWorktree> {
  const { services } = repository.program;
  const { paths } = services.platform;
  const { create: rows } = services.profile.git;
  await checkPlace(repository, params);
  await refuseOptionAsBranch(repository, params.branchName);
  await refuseLinkTo(repository, params.branchName);
  const where = await askGitDirectory(repository);
  const gitDirectory = answerOf(where);
  if (gitDirectory === undefined) {
    throw addFailed(quotedText(repository, where));
  }
  const commonDirectory = await commonDirectoryOf(gitDirectory, paths);
  // What keeps the registrations from being looked at is told before anything is made.
  await registrationsIn(commonDirectory);
  const start = await findStart(repository, params.sourceBranch);

  const worktree = paths.clean(params.worktreePath);
  await createFolders(repository, params);
  const place = await placeOfWorktree(params, paths);
  // A registration of the place is known to be stale only now, when the folder is new.
  const left = rows.registrationTests ? await removeStaleRegistration(worktree, commonDirectory, services) : [];
  const stale = rows.staleEntryTest ? left : [];
  const deadline = new CreateDeadline(rows.timeoutMs ? params.timeoutMs : 0n);
  const branchExisted = rows.timeoutEndsAdd && deadline.isSet && (await mayExist(repository, params.branchName));
  deadline.start();
  const added = await addWithoutFiles(repository, { ...params, worktree, place, start, deadline });
  const registration = added.timedOut ? undefined : await registrationFor(repository, worktree, commonDirectory, stale);
  try {
    const failure =
      registration === undefined
        ? deadline.failure('before the checkout started')
        : await fill(repository, { worktree, place, gitDirectory, registration, start, added, deadline });
    if (failure !== undefined) {
      const entries = await entriesOfWorktree(worktree, commonDirectory, paths);
      throw await rollBack(
        repository,
        {
          shownPath: params.worktreePath,
          worktree,
          place,
          entry: entries.length === 1 ? entries[0] : undefined,
          tested: registration?.held,
          commonDirectory,
          createdBranch: added.attached || branchExisted ? undefined : added.branch,
        },
        failure,
      );
    }
    return { sourceBranch: start.shown, branch: added.branch };
  } finally {
    await registration?.held?.[Symbol.asyncDispose]();
  }
}

/** Only git's own no counts: a branch that may have been there is not deleted by an undo. */
async function mayExist(repository: Repository, branch: string): Promise<boolean> {
  const asked = await repository.run(['show-ref', '--verify', '--quiet', `refs/heads/${branch}`]);
  return asked.exit?.code !== 1;
}

/** Looks before anything is written. @throws WorktreeFailure */
async function checkPlace(repository: Repository, params: CreateParams): Promise<void> {
  const { services } = repository.program;
  const { worktreePath, worktreeRoot, baseRepo } = params;
  if (worktreeRoot === '') {
    if (worktreePath === '') {
      throw noParent('"" does not name a directory');
    }
    await checkContained('create', worktreePath, baseRepo, services);
    await refuseExisting(worktreePath, services);
    return;
  }
  const external = externalPathOf(params);
  checkExternalSpelling('create', external, services);
  checkOutsideRepository('create', external, services);
  await checkWayToRoot(external, services);
  await checkLeadsOutside('create', external, repository);
  await checkOutsideCheckouts(external, services);
  await checkRootItself(external, services);
}

/** @throws WorktreeFailure */
async function createFolders(repository: Repository, params: CreateParams): Promise<void> {
  const { services } = repository.program;
  if (params.worktreeRoot === '') {
    await createContained(params.worktreePath, params.baseRepo, services);
  } else {
    await createExternal(externalPathOf(params), services);
  }
}

interface EmptyWorktree {
  readonly worktree: string;
  readonly place: string | undefined;
  readonly gitDirectory: string;
  readonly registration: NewRegistration;
  readonly start: StartPoint;
  readonly added: AddedWorktree;
  readonly deadline: CreateDeadline;
}

/** Gives the added worktree its files. @returns why it has to be undone */
async function fill(repository: Repository, empty: EmptyWorktree): Promise<WorktreeFailure | undefined> {
  const { worktree, place, gitDirectory, registration, start, added, deadline } = empty;
  if (deadline.hasPassed) {
    return deadline.failure('before the checkout started');
  }
  const revision = !added.attached && start.commit !== undefined ? start.commit : `refs/heads/${added.branch}`;
  const checkout = { worktree, place, gitDirectory, ...registration, revision, timeoutMs: deadline.leftMs };
  const failure = await failureOfCheckout(repository, checkout, deadline);
  if (failure !== undefined) {
    return failure;
  }
  if (!deadline.hasPassed) {
    await populate(repository, worktree, place);
  }
  return deadline.hasPassed ? deadline.failure('after the checkout finished') : undefined;
}

interface NewRegistration {
  readonly entry: string;
  /** `undefined` where registrations are not tested. */
  readonly held: TestedRegistration | undefined;
}

/** The registration that git has just made. @throws WorktreeFailure for a worktree that may not be ours, which therefore stays */
async function registrationFor(
  repository: Repository,
  worktree: string,
  commonDirectory: string,
  stale: readonly string[],
): Promise<NewRegistration> {
  const { platform, profile } = repository.program.services;
  if (profile.git.create.registrationTests && platform.git.registrationTests) {
    const { entry } = await checkRegistration(worktree, commonDirectory, stale, platform.paths);
    return { entry, held: await TestedRegistration.hold(entry) };
  }
  const registration = await registrationOf(worktree, commonDirectory, platform.paths);
  if (registration.state === 'doubtful') {
    throw addFailed(`${worktree} ${registration.reason}`, ' (checkout)');
  }
  return { entry: registration.entry, held: undefined };
}

async function failureOfCheckout(
  repository: Repository,
  request: CheckoutRequest,
  deadline: CreateDeadline,
): Promise<WorktreeFailure | undefined> {
  const { services } = repository.program;
  let failed: CommandResult | undefined;
  try {
    failed = await checkOut(repository, request);
  } catch (error) {
    const reason = error instanceof NotInPlace ? error.message : services.platform.paths.reason(error);
    return addFailed(reason, ' (checkout)');
  }
  if (failed === undefined) {
    return undefined;
  }
  const text = quotedText(repository, failed);
  return failed.timedOut && deadline.hasPassed
    ? deadline.failure('during the checkout', text === '' ? failed.failure : text)
    : addFailed(text, ' (checkout)');
}
