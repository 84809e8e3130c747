/** The `git.*` methods (spec git.md). The work is src/git. */
import { realpath } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Platform } from '../../../../platform/platform.ts';
import { listBranches } from '../../../git/query/branches.ts';
import { info } from '../../../git/query/info.ts';
import { repositoryStatus, sessionWorktreeStatus } from '../../../git/query/session-status.ts';
import { GitRefusal } from '../../../git/run/failures.ts';
import { GitProgram } from '../../../git/run/git-program.ts';
import type { GitServices } from '../../../git/run/services.ts';
import { createWorktree } from '../../../git/worktree/create.ts';
import { removeWorktree } from '../../../git/worktree/remove.ts';
import type { ResultObject } from '../../../wire/json.ts';
import { RpcError } from '../errors.ts';
import { int64, object, string } from '../params.ts';
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

type Work = (program: GitProgram, params: GitParams) => Promise<ResultObject>;

export const gitMethods: readonly Method<GitServices>[] = [
  method('git.info', (program, { path }) => info(program, path)),
  method('git.status', async (program, { path, baseRepo }) => {
    if (program.services.profile.git.status.scope === 'repository') {
      return repositoryStatus(program, path);
    }
    if (baseRepo === '') {
      throw new RpcError('invalidParams', 'baseRepo is required');
    }
    return sessionWorktreeStatus(program, path, baseRepo);
  }),
  method('git.list_branches', (program, { path }) => listBranches(program, path)),
  method('git.worktree_create', inTurn(createWorktree)),
  method('git.worktree_remove', inTurn(removeWorktree)),
];

function method(name: string, work: Work): Method<GitServices> {
  return {
    name,
    run(params, { services }) {
      const read = paramsSchema(services).read(params);
      const expand = (path = '') => services.platform.paths.expandTilde(path);
      return refusalsAsErrors(
        work(programOf(services), {
          path: expand(read.path),
          baseRepo: expand(read.baseRepo),
          worktreePath: expand(read.worktreePath),
          worktreeRoot: expand(read.worktreeRoot),
          branchName: read.branchName ?? '',
          sourceBranch: read.sourceBranch ?? '',
          existingBranch: read.existingBranch ?? '',
          timeoutMs: read.timeoutMs ?? 0n,
        }),
        services.platform,
      );
    },
  };
}

function paramsSchema(services: GitServices): {
  read: (params: Parameters<typeof plainParams.read>[0]) => Partial<ReadParams>;
} {
  const { worktreeRoot, create } = services.profile.git;
  if (create.existingBranch) {
    return attachingParams;
  }
  return worktreeRoot ? locatedParams : plainParams;
}

type ReadParams = ReturnType<typeof attachingParams.read>;

/**
 * Changes to the worktrees of one repository are made one after the other, in the order of arrival for one spelling of
 * its path; another spelling of the same repository waits too. Asking goes on meanwhile.
 */
function inTurn(work: Work): Work {
  return (program, params) => {
    const spelled = resolve(params.baseRepo);
    return program.spellingTurns.take(spelled, async () => {
      const real = await realpath(spelled).catch(() => spelled);
      return program.repositoryTurns.take(real, () => work(program, params));
    });
  };
}

async function refusalsAsErrors(
  work: Promise<ResultObject>,
  { paths }: Pick<Platform, 'paths'>,
): Promise<ResultObject> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof GitRefusal) {
      throw new RpcError('internal', error.message, { cause: error });
    }
    // A file of ours that could not be made or read, e.g. for a full temporary directory.
    const { syscall, path } = error as NodeJS.ErrnoException;
    if (syscall === undefined) {
      throw error;
    }
    throw new RpcError('internal', `${syscall} ${path ?? ''}: ${paths.reason(error)}`, { cause: error });
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
