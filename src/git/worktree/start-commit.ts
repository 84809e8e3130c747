/** Where a new branch starts (spec git.md §6.1 step 3, §6.4.2). Never fetches. */

import { lineOf } from '../run/output-text.ts';
import type { Repository } from '../run/repository.ts';

export interface Start {
  /** A branch, for an add that checks out itself. */
  readonly branch: string | undefined;
  /** Its commit; `undefined`: the add takes `HEAD`. */
  readonly commit: string | undefined;
  /** What the reply names as `sourceBranch`. */
  readonly shown: string | undefined;
}

/** @param wanted `sourceBranch` as sent; `''`: none */
export async function findStart(repository: Repository, wanted: string): Promise<Start> {
  return repository.program.services.profile.git.create.origin === 'local'
    ? localStart(repository, wanted)
    : localOrOriginStart(repository, wanted);
}

/** A local branch, else the current one. */
async function localStart(repository: Repository, wanted: string): Promise<Start> {
  // `-` would mean the branch before the current one.
  const isBranch =
    wanted !== '' &&
    !wanted.startsWith('-') &&
    (await repository.test(['show-ref', '--verify', '--quiet', `refs/heads/${wanted}`]));
  const branch = isBranch ? wanted : await currentBranch(repository);
  const commit = branch === undefined ? undefined : await commitOf(repository, `refs/heads/${branch}`);
  return { branch, commit, shown: branch };
}

/** A local branch or the one of that name at origin, whichever has the other's work; else no start point of our own. */
async function localOrOriginStart(repository: Repository, wanted: string): Promise<Start> {
  const commit = wanted === '' ? undefined : await localOrOriginCommit(repository, wanted);
  return { branch: undefined, commit, shown: commit === undefined ? await currentBranch(repository) : wanted };
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
  const base = await repository.run(['merge-base', remote, local]);
  if (base.failure !== undefined) {
    return remote;
  }
  // They have parted. A local branch that changed the agent's own settings on the way is not what sessions start from.
  const same = await repository.test([
    'diff',
    '--quiet',
    '--no-ext-diff',
    '--no-textconv',
    '--submodule=short',
    lineOf(base),
    local,
    '--',
    ':(top,icase).claude',
    ':(top,icase).mcp.json',
  ]);
  return same ? local : remote;
}

async function commitOf(repository: Repository, ref: string): Promise<string | undefined> {
  const commit = await repository.run(['rev-parse', '--verify', '--quiet', `${ref}^{commit}`]);
  return commit.failure === undefined ? lineOf(commit) : undefined;
}

/** `undefined` for a detached or unborn `HEAD`. */
async function currentBranch(repository: Repository): Promise<string | undefined> {
  const name = await repository.run(['rev-parse', '--abbrev-ref', 'HEAD']);
  return name.failure !== undefined || lineOf(name) === 'HEAD' || lineOf(name) === '' ? undefined : lineOf(name);
}
