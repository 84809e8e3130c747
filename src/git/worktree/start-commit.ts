/** Where a new branch starts (spec git.md §6.1 step 3, §6.4.2). Never fetches. */

import { answerOf } from '../query/repository-folders.ts';
import { shortRef } from '../run/output-text.ts';
import type { Repository } from '../run/repository.ts';

export interface StartPoint {
  /** The full name of a branch, for an add that checks out itself. */
  readonly ref: string | undefined;
  /** Its commit; `undefined`: the add takes `HEAD`. */
  readonly commit: string | undefined;
  /** What the reply names as `sourceBranch`. */
  readonly shown: string | undefined;
}

/** @param wanted `sourceBranch` as sent; `''`: none */
export async function findStart(repository: Repository, wanted: string): Promise<StartPoint> {
  return repository.program.services.profile.git.create.origin === 'local'
    ? localStart(repository, wanted)
    : localOrOriginStart(repository, wanted);
}

/** A local branch, else the current one. */
async function localStart(repository: Repository, wanted: string): Promise<StartPoint> {
  // `-` would mean the branch that was checked out before.
  const isBranch =
    wanted !== '' &&
    !wanted.startsWith('-') &&
    (await repository.test(['show-ref', '--verify', '--quiet', `refs/heads/${wanted}`]));
  const ref = isBranch ? `refs/heads/${wanted}` : await currentBranch(repository);
  if (ref === undefined) {
    return { ref, commit: undefined, shown: undefined };
  }
  return { ...(await spelledClearly(repository, ref)), shown: shortRef(ref) };
}

/**
 * The ref and its commit. Where another ref makes the full name ambiguous, such as a branch `refs/heads/main` beside `main`,
 * `git branch` refuses it, and a shorter name or the commit itself has to do.
 */
async function spelledClearly(
  repository: Repository,
  ref: string,
): Promise<{ readonly ref: string; readonly commit: string | undefined }> {
  const asked = await repository.run(['rev-parse', '--verify', `${ref}^{commit}`], { untranslated: true });
  const commit = answerOf(asked);
  if (commit === undefined || !/^warning: refname .* is ambiguous/m.test(asked.stderr.toString('latin1'))) {
    return { ref, commit };
  }
  for (const shorter of [shortRef(ref), ref.replace(/^refs\//, '')]) {
    if (answerOf(await repository.run(['rev-parse', '--symbolic-full-name', shorter])) === ref) {
      return { ref: shorter, commit };
    }
  }
  return { ref: commit, commit };
}

/** The local branch or the branch of that name at origin, whichever contains the other; without either the add decides. */
async function localOrOriginStart(repository: Repository, wanted: string): Promise<StartPoint> {
  const commit = wanted === '' ? undefined : await localOrOriginCommit(repository, wanted);
  if (commit !== undefined) {
    return { ref: undefined, commit, shown: wanted };
  }
  const current = await currentBranch(repository);
  return { ref: undefined, commit, shown: current === undefined ? undefined : shortRef(current) };
}

async function localOrOriginCommit(repository: Repository, wanted: string): Promise<string | undefined> {
  const [local, remote] = await Promise.all([
    commitOf(repository, `refs/heads/${wanted}`),
    commitOf(repository, `refs/remotes/origin/${wanted}`),
  ]);
  if (local === undefined || remote === undefined) {
    return local ?? remote;
  }
  if (await repository.test(['merge-base', '--is-ancestor', local, remote])) {
    return remote;
  }
  const base = answerOf(await repository.run(['merge-base', remote, local]));
  if (base === undefined) {
    return remote;
  }
  // Each has commits that the other one has not. Sessions do not start from a local branch that has changed the settings of
  // the agent meanwhile.
  const same = await repository.test([
    'diff',
    '--quiet',
    '--no-ext-diff',
    '--no-textconv',
    '--submodule=short',
    base,
    local,
    '--',
    ':(top,icase).claude',
    ':(top,icase).mcp.json',
  ]);
  return same ? local : remote;
}

async function commitOf(repository: Repository, ref: string): Promise<string | undefined> {
  return answerOf(await repository.run(['rev-parse', '--verify', '--quiet', `${ref}^{commit}`]));
}

/** The full name; `undefined` for a detached or unborn `HEAD`. */
async function currentBranch(repository: Repository): Promise<string | undefined> {
  const name = answerOf(await repository.run(['rev-parse', '--symbolic-full-name', 'HEAD']));
  return name === 'HEAD' || name === '' ? undefined : name;
}
