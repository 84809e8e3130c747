/** The wire log of a daemon that was asked for one; nothing of it is loaded otherwise. */
import type { Paths } from '../../../../platform/paths.ts';
import type { Counters } from '../../../base/counters.ts';
import type { Log } from '../../../base/log.ts';
import type { Settings } from '../../../config/settings.ts';
import type { WireLog } from './wire-log.ts';

/** @throws HostError whose message is the reason line of the start */
export async function openWireLog(
  { wireLogPath, wireLogMaxString, wireLogMaxBytes }: Settings,
  { paths, log, counters }: { readonly paths: Paths; readonly log: Log; readonly counters: Counters },
): Promise<WireLog | undefined> {
  if (wireLogPath === undefined) {
    return undefined;
  }
  const [{ WireLog }, { WireLogFile }] = await Promise.all([import('./wire-log.ts'), import('./wire-log-file.ts')]);
  return new WireLog({
    // In a configuration file there is no shell that would expand the tilde.
    file: new WireLogFile(paths.expandTilde(wireLogPath), wireLogMaxBytes, paths),
    maxString: wireLogMaxString,
    log,
    counters,
  });
}
