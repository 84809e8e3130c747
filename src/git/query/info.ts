/** What `git.info` tells of a repository (spec git.md §3). */
import { namingFileCalls } from '../run/failures.ts';
import type { GitProgram } from '../run/git-program.ts';
import { withRepositoryIfAny } from '../run/open-repository.ts';
import { shortRef } from '../run/output-text.ts';
import type { Repository } from '../run/repository.ts';
import { githubSlug } from './github-slug.ts';
import { answerOf, askWorkTree, isRepository } from './repository-folders.ts';
import { readHead, readSharedRef } from './symbolic-refs.ts';

export interface RepositoryInfo {
  /** Name of the folder at the top of the work tree. */
  readonly name: string | undefined;
  /** `detached:<commit>` when `HEAD` names no branch. */
  readonly branch: string | undefined;
  /** The top of the work tree. */
  readonly root: string | undefined;
  /** `<owner>/<repository>`; `''` when origin is no repository on GitHub. */
  readonly slug: string;
  /** `''` when it is not known. */
  readonly defaultBranch: string;
}

/**
 * @param path after tilde; `''`: the daemon's own working directory
 * @returns `undefined` when there is no repository with a work tree
 * @throws GitFailure `notRun`
 */
export function repositoryInfo(program: GitProgram, path: string): Promise<RepositoryInfo | undefined> {
  return namingFileCalls(program.services, () => withRepositoryIfAny(program, path, collectInfo));
}

async function collectInfo(repository: Repository): Promise<RepositoryInfo | undefined> {
  const { found } = repository;
  const rows = repository.program.services.profile.git.info;
  const isDiscovered = rows.root === 'discovery';
  // The discovery found a bare repository, or the directory is missing.
  if (isDiscovered && found?.workTree === undefined) {
    return undefined;
  }
  // No question needs the answer of another one, so all are asked at the same time, whether there is a repository too.
  const [workTree, branch, slug, defaultBranch] = await Promise.all([
    isDiscovered
      ? isRepository(repository).then((isOne) => (isOne ? { top: found?.workTree } : undefined))
      : askWorkTree(repository),
    rows.branch === 'showCurrent' ? shownBranch(repository) : symbolicBranch(repository),
    repoSlug(repository, isDiscovered ? ['remote', 'get-url', 'origin'] : ['config', '--get', 'remote.origin.url']),
    defaultBranchOf(repository, rows.verifyDefault),
  ]);
  if (workTree === undefined) {
    return undefined;
  }
  return { name: nameOf(workTree.top, isDiscovered), branch, root: workTree.top, slug, defaultBranch };
}

/** @param dropsOptionLike whether a name that looks like an option of a program is left out */
function nameOf(root: string | undefined, dropsOptionLike: boolean): string | undefined {
  if (root === undefined) {
    return undefined;
  }
  const name = lastComponent(root);
  return dropsOptionLike && /^[-+]/.test(name) ? undefined : name;
}

/** The part of git's path, which has slashes on Windows too, after the last slash. */
function lastComponent(path: string): string {
  const parts = path.replace(/[/\\]+$/, '').split('/');
  return parts.at(-1) || path;
}

async function symbolicBranch(repository: Repository): Promise<string | undefined> {
  const head = await readHead(repository);
  if (head !== 'unclear') {
    return head === 'none' ? detached(repository) : shortRef(head.ref);
  }
  // Not `--short`, which prints `heads/main` where a tag `main` exists.
  const ref = answerOf(await repository.run(['symbolic-ref', 'HEAD']));
  return ref === undefined ? detached(repository) : shortRef(ref);
}

async function shownBranch(repository: Repository): Promise<string | undefined> {
  const head = await readHead(repository);
  if (head === 'none') {
    return detached(repository);
  }
  if (head !== 'unclear' && head.ref.startsWith('refs/heads/')) {
    return shortRef(head.ref);
  }
  const name = answerOf(await repository.run(['branch', '--show-current']));
  return name === '' ? detached(repository) : name;
}

async function detached(repository: Repository): Promise<string | undefined> {
  const commit = answerOf(await repository.run(['rev-parse', '--short', 'HEAD']));
  return commit === undefined ? undefined : `detached:${commit}`;
}

async function repoSlug(repository: Repository, question: readonly string[]): Promise<string> {
  const address = answerOf(await repository.run(question));
  return address === undefined ? '' : githubSlug(address);
}

/** @param verifies whether a branch counts only when origin really has it */
async function defaultBranchOf(repository: Repository, verifies: boolean): Promise<string> {
  const head = await headOfOrigin(repository);
  if (head === undefined) {
    return '';
  }
  const name = shortRef(head).replace(/^origin\//, '');
  if (!verifies) {
    return name;
  }
  if (name.startsWith('-')) {
    return '';
  }
  const commit = `refs/remotes/origin/${name}^{commit}`;
  return (await repository.test(['rev-parse', '--verify', '--quiet', commit])) ? name : '';
}

/** The full name; `undefined` when it is not known. */
async function headOfOrigin(repository: Repository): Promise<string | undefined> {
  const name = 'refs/remotes/origin/HEAD';
  const read = await readSharedRef(repository, name);
  if (read === 'unclear') {
    return answerOf(await repository.run(['symbolic-ref', name]));
  }
  return read === 'none' ? undefined : read.ref;
}
