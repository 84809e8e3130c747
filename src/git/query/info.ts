/** `git.info` (spec git.md §3). */
import type { ResultObject } from '../../wire/json.ts';
import { NoRepository } from '../run/failures.ts';
import type { GitProgram } from '../run/git-program.ts';
import { openRepository, type Trusted } from '../run/open-repository.ts';
import { lastComponent, lineOf } from '../run/output-text.ts';
import { type Repository, saysTrue } from '../run/repository.ts';
import { githubSlug } from './github-slug.ts';

const noRepository: ResultObject = { isRepo: false, repoSlug: '', defaultBranch: '' };

/**
 * @param path after tilde; `''`: the daemon's own working directory
 * @throws GitRefusal
 */
export async function info(program: GitProgram, path: string): Promise<ResultObject> {
  let trusted: Trusted;
  try {
    trusted = await openRepository(program, path);
  } catch (error) {
    if (error instanceof NoRepository) {
      return noRepository;
    }
    throw error;
  }
  const { repository, discovery } = trusted;
  const rows = program.services.profile.git.info;
  const walks = rows.root === 'discovery';
  // A bare repository has no work tree to be found.
  if (walks && discovery?.workTree === undefined) {
    return noRepository;
  }
  // None of these needs another's answer, the test for a repository included.
  const [isRepository, root, branch, slug, defaultBranch] = await Promise.all([
    walks ? repository.test(['rev-parse', '--git-dir']) : isInWorkTree(repository),
    walks ? discovery?.workTree : topLevel(repository),
    rows.branch === 'showCurrent' ? shownBranch(repository) : symbolicBranch(repository),
    repoSlug(repository, walks ? ['remote', 'get-url', 'origin'] : ['config', '--get', 'remote.origin.url']),
    defaultBranchOf(repository, rows.verifyDefault),
  ]);
  if (!isRepository) {
    return noRepository;
  }
  return { isRepo: true, repo: repoName(root, walks), branch, root, repoSlug: slug, defaultBranch };
}

async function isInWorkTree(repository: Repository): Promise<boolean> {
  return saysTrue(await repository.run(['rev-parse', '--is-inside-work-tree']));
}

async function topLevel(repository: Repository): Promise<string | undefined> {
  const result = await repository.run(['rev-parse', '--show-toplevel']);
  return result.failure === undefined ? lineOf(result) : undefined;
}

function repoName(root: string | undefined, dropsOptionLike: boolean): string | undefined {
  if (root === undefined) {
    return undefined;
  }
  const name = lastComponent(root);
  return dropsOptionLike && /^[-+]/.test(name) ? undefined : name;
}

async function symbolicBranch(repository: Repository): Promise<string | undefined> {
  const name = await repository.run(['symbolic-ref', '--short', 'HEAD']);
  return name.failure === undefined ? lineOf(name) : detached(repository);
}

async function shownBranch(repository: Repository): Promise<string | undefined> {
  const name = await repository.run(['branch', '--show-current']);
  if (name.failure !== undefined) {
    return undefined;
  }
  return lineOf(name) === '' ? detached(repository) : lineOf(name);
}

async function detached(repository: Repository): Promise<string | undefined> {
  const commit = await repository.run(['rev-parse', '--short', 'HEAD']);
  return commit.failure === undefined ? `detached:${lineOf(commit)}` : undefined;
}

async function repoSlug(repository: Repository, question: readonly string[]): Promise<string> {
  const address = await repository.run(question);
  return address.failure === undefined ? githubSlug(lineOf(address)) : '';
}

async function defaultBranchOf(repository: Repository, verifies: boolean): Promise<string> {
  const head = await repository.run(['symbolic-ref', '--short', 'refs/remotes/origin/HEAD']);
  if (head.failure !== undefined) {
    return '';
  }
  const name = lineOf(head).replace(/^origin\//, '');
  if (!verifies) {
    return name;
  }
  if (name.startsWith('-')) {
    return '';
  }
  const commit = `refs/remotes/origin/${name}^{commit}`;
  return (await repository.test(['rev-parse', '--verify', '--quiet', commit])) ? name : '';
}
