/** The `git.*` methods: params in, replies out (spec git.md). The work is src/git. */
import { listBranches } from '../../../git/query/branches.ts';
import { repositoryInfo } from '../../../git/query/info.ts';
import { repositoryStatus } from '../../../git/query/repository-status.ts';
import { sessionStatus } from '../../../git/query/session-status.ts';
import { GitProgram } from '../../../git/run/git-program.ts';
import type { GitServices } from '../../../git/run/services.ts';
import { createWorktree } from '../../../git/worktree/create.ts';
import { WorktreeFailure } from '../../../git/worktree/failures.ts';
import { removeWorktree } from '../../../git/worktree/remove.ts';
import type { ResultObject } from '../../../wire/json.ts';
import type { ResultOf } from '../../../wire/method-types.ts';
import { RpcError } from '../errors.ts';
import { int64, object, type ReadingSchema, string } from '../params.ts';
import type { Method } from './method.ts';

/** One decoder serves the namespace; what a profile does not know it ignores, whatever its type (spec git.md §0). */
const common = {
  path: string(),
  baseRepo: string(),
  branchName: string(),
  worktreePath: string(),
  sourceBranch: string(),
};
const located = { ...common, worktreeRoot: string(), timeoutMs: int64() };
const plainParams = object(common);
const locatedParams = object(located);
const attachingParams = object({ ...located, existingBranch: string() });

/** Paths after tilde. `''` and 0 where nothing was sent. */
interface GitParams {
  readonly path: string;
  readonly baseRepo: string;
  readonly branchName: string;
  readonly worktreePath: string;
  readonly sourceBranch: string;
  readonly worktreeRoot: string;
  readonly existingBranch: string;
  readonly timeoutMs: bigint;
}

type Answer = (program: GitProgram, params: GitParams) => Promise<ResultObject>;

export const gitMethods: readonly Method<GitServices>[] = [
  method('git.info', answerInfo),
  method('git.status', answerStatus),
  method('git.list_branches', answerBranches),
  method('git.worktree_create', answerCreate),
  method('git.worktree_remove', answerRemove),
];

function method(name: string, answer: Answer): Method<GitServices> {
  return {
    name,
    *read(params, services) {
      const read = yield* paramsSchema(services).read(params);
      const expand = (path = '') => services.platform.paths.expandTilde(path);
      const program = programOf(services);
      const expanded: GitParams = {
        path: expand(read.path),
        baseRepo: expand(read.baseRepo),
        worktreePath: expand(read.worktreePath),
        worktreeRoot: expand(read.worktreeRoot),
        branchName: read.branchName ?? '',
        sourceBranch: read.sourceBranch ?? '',
        existingBranch: read.existingBranch ?? '',
        timeoutMs: read.timeoutMs ?? 0n,
      };
      return ({ client }) => program.serve(client, () => answer(program, expanded));
    },
  };
}

type ReadParams = typeof attachingParams extends ReadingSchema<infer T> ? T : never;

function paramsSchema(services: GitServices): ReadingSchema<Partial<ReadParams>> {
  const { worktreeRoot, create } = services.profile.git;
  if (create.existingBranch) {
    return attachingParams;
  }
  return worktreeRoot ? locatedParams : plainParams;
}

async function answerInfo(program: GitProgram, { path }: GitParams): Promise<ResultOf<'git.info'>> {
  const info = await repositoryInfo(program, path);
  if (info === undefined) {
    return { isRepo: false, repoSlug: '', defaultBranch: '' };
  }
  const { name, branch, root, slug, defaultBranch } = info;
  return { isRepo: true, repo: name, branch, root, repoSlug: slug, defaultBranch };
}

async function answerStatus(program: GitProgram, { path, baseRepo }: GitParams): Promise<ResultOf<'git.status'>> {
  const { scope } = program.services.profile.git.status;
  if (scope !== 'repository' && baseRepo === '') {
    throw new RpcError('invalidParams', 'baseRepo is required');
  }
  const changes = await (scope === 'repository'
    ? repositoryStatus(program, path)
    : sessionStatus(program, path, baseRepo));
  if (changes === undefined) {
    return { isRepo: false, clean: false };
  }
  return changes.length === 0 ? { isRepo: true, clean: true } : { isRepo: true, clean: false, changes };
}

async function answerBranches(program: GitProgram, { path }: GitParams): Promise<ResultOf<'git.list_branches'>> {
  const branches = await listBranches(program, path);
  return branches === undefined ? { isRepo: false, branches: [] } : { isRepo: true, branches };
}

async function answerCreate(program: GitProgram, params: GitParams): Promise<ResultOf<'git.worktree_create'>> {
  if (params.branchName === '') {
    throw new RpcError('invalidParams', 'branchName is required');
  }
  try {
    const { sourceBranch, branch } = await createWorktree(program, params);
    const tellsBranch = program.services.profile.git.create.existingBranch;
    return { success: true, path: params.worktreePath, sourceBranch, branch: tellsBranch ? branch : undefined };
  } catch (error) {
    if (error instanceof WorktreeFailure) {
      const { message, code, branchKept } = error;
      return { success: false, error: message, errorCode: code, branchKept: branchKept ? true : undefined };
    }
    throw error;
  }
}

async function answerRemove(program: GitProgram, params: GitParams): Promise<ResultOf<'git.worktree_remove'>> {
  try {
    const { branchKept } = await removeWorktree(program, params);
    return { success: true, branchKept: branchKept ? true : undefined };
  } catch (error) {
    if (error instanceof WorktreeFailure) {
      return { success: false, error: error.message };
    }
    throw error;
  }
}

const programs = new WeakMap<GitServices, GitProgram>();

/** What is found out about the host's git once holds for as long as the daemon runs. */
function programOf(services: GitServices): GitProgram {
  let program = programs.get(services);
  if (program === undefined) {
    program = new GitProgram(services);
    programs.set(services, program);
  }
  return program;
}

/** At the daemon's end: every git that still runs is ended, and nothing of ours is left in the temporary folder. */
export async function endGit(services: GitServices): Promise<void> {
  await programs.get(services)?.[Symbol.asyncDispose]();
}
