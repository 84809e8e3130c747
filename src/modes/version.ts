/** `-version` (spec modes.md §11). */

import { writeWhole } from '../base/standard-output.ts';
import { buildTime, version } from '../base/version.ts';
import type { ModeContext } from './mode.ts';

/** With a `version-override`, clients that match `/claude-ssh\s+(\S+)/` find the commit they expect. */
export function versionLine(override: string | undefined): string {
  return override === undefined
    ? `claustrum ${version} (built ${buildTime})`
    : `claude-ssh ${override} (via Claustrum ${version}, built ${buildTime})`;
}

export function printVersion(override: string | undefined): number {
  writeWhole(1, `${versionLine(override)}\n`);
  return 0;
}

export async function runVersion({ settings }: ModeContext): Promise<number> {
  return printVersion(settings.versionOverride);
}
