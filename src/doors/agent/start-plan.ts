/** What is started for a session: program, words, folder and environment, each checked (spec agent.md §6.1). */
import { realpathSync, statSync } from 'node:fs';
import { delimiter, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { isExecutableFile } from '../../../platform/common/executable-file.ts';
import type { Platform } from '../../../platform/platform.ts';
import { type LauncherResolution, resolveLauncher } from '../../install/managed-launcher/resolve.ts';
import type { StartRequest } from './host-daemon.ts';
import type { StartOrder } from './instruction.ts';
import { Refusal } from './refusal.ts';
import type { AgentSettings } from './settings.ts';

export interface StartContext {
  readonly settings: Pick<AgentSettings, 'claudeCommand' | 'claudeArgs' | 'allowedRoots'>;
  readonly platform: Pick<Platform, 'host' | 'paths'>;
  /** Our own, without the secrets of the agent. */
  readonly environment: Readonly<Record<string, string>>;
  readonly workingFolder: string;
}

/** The agent's own variables, which its children do not get. */
export const ownVariables: readonly string[] = ['AGENT_TOKEN', 'SERVER_URL'];
/** What a server may not set: it loads code into programs, or is ours. */
const refusedVariables: readonly string[] = [
  ...['AGENT_TOKEN', 'LD_PRELOAD', 'LD_LIBRARY_PATH', 'NODE_OPTIONS', 'DYLD_INSERT_LIBRARIES'],
];

/** @throws Refusal `bad_env`, `cwd_not_allowed`, `launcher_refused` */
export async function planStart(id: string, order: StartOrder, context: StartContext): Promise<StartRequest> {
  const { settings, platform, environment } = context;
  const cwd = checkedFolder(order.cwd, context);
  const env = { ...environment, ...checkedVariables(order.env, platform) };
  const args = [
    ...settings.claudeArgs,
    ...(order.resume === undefined ? [] : ['--resume', order.resume]),
    ...order.args,
  ];
  const policy = await resolveLauncher(settings.claudeCommand, {
    ...{ host: platform.host, paths: platform.paths },
    environment: process.env,
  });
  const launcher = launcherOf(policy);
  // A launcher is handed a whole path: it does not look for programs as we do.
  const command = launcher === undefined ? settings.claudeCommand : onPath(settings.claudeCommand, env.PATH ?? '', cwd);
  return { id, command, args, cwd, env, launcher };
}

function launcherOf(policy: LauncherResolution): readonly string[] | undefined {
  switch (policy.status) {
    case 'none':
      return undefined;
    case 'usable':
      return policy.argv;
    default:
      throw new Refusal('launcher_refused', `the managed launcher cannot be used: ${policy.reason}`);
  }
}

function checkedVariables(
  given: Readonly<Record<string, string>>,
  { host }: Pick<Platform, 'host'>,
): Readonly<Record<string, string>> {
  const refused = new Set(refusedVariables.map((name) => host.variableKey(name)));
  for (const name of Object.keys(given)) {
    if (name === '' || name.includes('=') || name.includes('\0')) {
      throw new Refusal('bad_env', 'a variable has no usable name');
    }
    if (refused.has(host.variableKey(name))) {
      throw new Refusal('bad_env', `the variable ${name} may not be set`);
    }
  }
  return given;
}

/** The folder itself, without links, so that a link which is changed later leads nowhere else. */
function checkedFolder(given: string | undefined, { settings, workingFolder }: StartContext): string {
  const wanted = resolve(workingFolder, given ?? '.');
  const folder = realFolder(wanted);
  if (folder === undefined) {
    throw new Refusal('cwd_not_allowed', `the working folder ${wanted} does not exist`);
  }
  const isAllowed = settings.allowedRoots.some((root) => {
    const allowed = realFolder(root);
    return allowed !== undefined && isWithin(folder, allowed);
  });
  if (!isAllowed) {
    throw new Refusal('cwd_not_allowed', `the working folder ${wanted} is not below an allowed root`);
  }
  return folder;
}

function realFolder(path: string): string | undefined {
  try {
    const real = realpathSync.native(path);
    return statSync(real).isDirectory() ? real : undefined;
  } catch {
    return undefined;
  }
}

function isWithin(folder: string, root: string): boolean {
  const way = relative(root, folder);
  return way === '' || (way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way));
}

function onPath(program: string, path: string, cwd: string): string {
  if (program.includes('/') || program.includes(sep)) {
    return resolve(cwd, program);
  }
  for (const folder of path.split(delimiter)) {
    const candidate = join(folder, program);
    if (isAbsolute(folder) && isExecutableFile(candidate)) {
      return candidate;
    }
  }
  throw new Refusal('spawn_failed', `spawn ${program} ENOENT`);
}
