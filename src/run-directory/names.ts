/** What the files of a run directory are called, and where the usual one lies (spec modes.md §5). */
import { join } from 'node:path';
import { keeperLogName, keeperRecordName, keeperSocketName, socketName } from '../../platform/published-names.ts';

export { keeperLogName, keeperRecordName, keeperSocketName, socketName };
export const tokenFileName = 'daemon.token';
export const lockFileName = 'daemon.lock';
/** Output of the daemon. */
export const logFileName = 'remote-server.log';
/** Where the older lines lie after the log has reached its limit. */
export const olderLogFileName = `${logFileName}.old`;
/** Folder of the records of running children. */
export const recordFolderName = 'children';

/** Folder of the installed versions of the agent CLI, in the root. */
export const cliFolderName = 'ccd-cli';

/** The socket of a daemon that is started without `-socket`. */
export function defaultSocketPath(home: string): string {
  return join(defaultRoot(home), socketName);
}

/** Where `-install` puts the agent CLI without `-cli-dir` (spec install.md §1). */
export function defaultCliFolder(home: string): string {
  return join(defaultRoot(home), cliFolderName);
}

function defaultRoot(home: string): string {
  return join(home, '.claude', 'remote');
}
