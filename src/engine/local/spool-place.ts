/** Where the spools of a run directory are. */
import type { Platform } from '../../../platform/platform.ts';
import type { SpoolPlace } from './spool.ts';

/** @param maxBytes of one process; 0: there are no spools */
export function spoolPlace(
  { paths, runDirectories }: Pick<Platform, 'paths' | 'runDirectories'>,
  socketPath: string,
  maxBytes: number,
): SpoolPlace | undefined {
  const folder = paths.directoryOf(socketPath);
  return maxBytes === 0 ? undefined : { maxBytes, open: () => runDirectories.openNameless(folder) };
}
