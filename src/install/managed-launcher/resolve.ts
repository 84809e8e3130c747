/**
 * Whether the administrator of this host wants the CLI to be started through a program of theirs, and through which
 * (spec generation-n2.md §3). Nothing is started, and nothing is kept from one call to the next.
 */
import type { Host } from '../../../platform/host.ts';
import type { Paths } from '../../../platform/paths.ts';
import { launcherFault } from '../../base/launcher-argv.ts';
import { launcherWords } from './launcher-value.ts';
import { holdsPolicy, readPolicy } from './policy.ts';

/** The order of the members is that of the wire. */
export type LauncherResolution =
  | { readonly status: 'none' }
  | { readonly status: 'usable'; readonly argv: readonly string[]; readonly source: string }
  | { readonly status: 'unusable'; readonly source: string; readonly reason: string }
  | { readonly status: 'unreadable'; readonly reason: string; readonly path: string };

/** Names another folder of settings, on a host without a policy of its own. */
export const settingsFolderVariable = 'CLAUDE_SSH_E2E_MANAGED_SETTINGS_DIR';
/** Exactly `1` asks `-install` and `-probe-cli` to go through the launcher. */
export const launcherGateVariable = 'CLAUDE_SSH_MANAGED_LAUNCHER';

export interface ResolveOptions {
  readonly host: Pick<Host, 'managedSettingsFolder'>;
  readonly paths: Pick<Paths, 'isAbsolute' | 'reason'>;
  readonly environment: NodeJS.ProcessEnv;
  /** The variable names a folder, and the host's own policy counts instead. */
  onIgnoredVariable?(systemFolder: string): void;
}

/** @param cliPath is only compared with the launcher's path, as text */
export async function resolveLauncher(cliPath: string, options: ResolveOptions): Promise<LauncherResolution> {
  const folder = await settingsFolder(options);
  const policy = folder === undefined ? undefined : await readPolicy(folder, options.paths);
  if (policy === undefined) {
    return { status: 'none' };
  }
  if ('reason' in policy) {
    return { status: 'unreadable', reason: policy.reason, path: policy.path };
  }
  const { source } = policy;
  const words = launcherWords(policy.value);
  if ('reason' in words) {
    return { status: 'unusable', source, reason: words.reason };
  }
  const reason = launcherFault(words.argv, cliPath, options.paths);
  return reason === undefined ? { status: 'usable', argv: words.argv, source } : { status: 'unusable', source, reason };
}

async function settingsFolder(options: ResolveOptions): Promise<string | undefined> {
  const { managedSettingsFolder: systemFolder } = options.host;
  const replacement = options.environment[settingsFolderVariable] ?? '';
  if (systemFolder === undefined || replacement === '') {
    return systemFolder;
  }
  if (await holdsPolicy(systemFolder)) {
    options.onIgnoredVariable?.(systemFolder);
    return systemFolder;
  }
  return replacement;
}
