/** The keeper of durable sessions (spec durable.md), started by its daemon and by nobody else. */
import { loadSessionPlatform } from '../../platform/load.ts';
import { trimWhenIdle } from '../base/idle-memory.ts';
import type { Log } from '../base/log.ts';
import { restoreHeldVariables, takeProgramName } from '../base/own-process.ts';
import { ChildRecords } from '../run-directory/records/child-records.ts';

/**
 * Serves until there is no session and no daemon. Its settings come from its daemon, so no option and no file is looked at.
 * @param socketPath of the daemon
 * @returns the exit code
 */
export async function runKeeperMode(socketPath: string, environment: NodeJS.ProcessEnv): Promise<number> {
  restoreHeldVariables(environment);
  takeProgramName(environment);
  const platform = await loadSessionPlatform();
  trimWhenIdle(platform.host);
  const { runKeeper } = await import('../keeper/process.ts');
  const { childMarkers: markers, processes, paths, host } = platform;
  const runDirectory = paths.directoryOf(socketPath);
  const records =
    markers === undefined
      ? undefined
      : (log: Log) => new ChildRecords({ markers, processes, host, paths, runDirectory, instanceId: 'keeper', log });
  return host.leave(await runKeeper({ platform, environment, socketPath, records }));
}
