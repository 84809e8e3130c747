/** Every method there is; the profile decides which of the contract's are served. */

import type { PluginServices } from '../../../files/plugin-prune.ts';
import type { FilesServices } from '../../../files/services.ts';
import type { GitServices } from '../../../git/run/services.ts';
import { type HoldfastServices, holdfastMethods } from './holdfast.ts';
import { type LauncherServices, launcherMethods } from './launcher.ts';
import type { Method } from './method.ts';
import { loadInTurns, onDemand } from './on-demand.ts';
import { type ProcessServices, processMethods } from './process.ts';
import { type ServerServices, serverMethods } from './server.ts';

export type AllServices = ServerServices &
  FilesServices &
  GitServices &
  ProcessServices &
  PluginServices &
  LauncherServices &
  HoldfastServices;

/** What methods load by their first request, with everything that only they need; the daemon pins it at its start. */
export const loadedOnDemand = [
  'platform',
  'src/base',
  'src/doors/rpc',
  'src/files',
  'src/git',
  'src/install/managed-launcher',
  'src/wire',
] as const;

const filesMethods = onDemand<FilesServices>(
  [
    { name: 'files.list', bulk: true },
    { name: 'files.validate' },
    { name: 'files.stat' },
    { name: 'files.read', bulk: true },
    { name: 'files.extract_tar' },
  ],
  async () => (await import('./files.ts')).filesMethods,
);

let endGit: typeof import('./git.ts').endGit | undefined;
const gitMethods = onDemand<GitServices>(
  [
    { name: 'git.info' },
    { name: 'git.status' },
    { name: 'git.list_branches' },
    { name: 'git.worktree_create' },
    { name: 'git.worktree_remove' },
  ],
  async () => {
    await loadInTurns([
      () => import('../../../git/run/git-program.ts'),
      () => import('../../../git/query/info.ts'),
      () => import('../../../git/query/session-status.ts'),
      () => import('../../../git/worktree/failures.ts'),
      () => import('../../../git/worktree/remove.ts'),
      () => import('../../../git/worktree/create.ts'),
    ]);
    const git = await import('./git.ts');
    endGit = git.endGit;
    return git.gitMethods;
  },
);

const pluginsMethods = onDemand<PluginServices>(
  [{ name: 'plugins.prune' }],
  async () => (await import('./plugins.ts')).pluginsMethods,
);

/** Ends the programs that methods have started and that still run. */
export async function endPrograms(services: AllServices): Promise<void> {
  await endGit?.(services);
}

export const contractMethods: readonly Method<AllServices>[] = [
  ...serverMethods,
  ...filesMethods,
  ...gitMethods,
  ...launcherMethods,
  ...processMethods,
  ...pluginsMethods,
];

/** Served in every profile, and in no list (spec extensions.md §1). */
export const extensionMethods: readonly Method<AllServices>[] = holdfastMethods;
