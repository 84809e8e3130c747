/** Why the folder of the records cannot be used, for the log. */
import { HostError } from '../../../platform/errors.ts';
import type { Paths } from '../../../platform/paths.ts';
import { recordFolderName } from '../names.ts';

/** @param error of `ChildMarkers.openRecords` or of what it has opened */
export function whyUnusable(error: unknown, runDirectory: string, paths: Paths): string {
  return error instanceof HostError
    ? `${error.message}; ${error.remedy}`
    : `${runDirectory}/${recordFolderName}: ${paths.reason(error)}`;
}
