/** The keeper of durable sessions (spec durable.md), started by its daemon and by nobody else. */
import { trimWhenIdle } from '../base/idle-memory.ts';
import { ChildRecords } from '../run-directory/records/child-records.ts';
import type { Mode } from './mode.ts';

export const runKeeperMode: Mode = async ({ settings, environment, log, ...context }) => {
  const { socketPath } = settings;
  const platform = await context.platform();
  trimWhenIdle(platform.host);
  const { runKeeper } = await import('../keeper/process.ts');
  const { childMarkers: markers, processes, paths } = platform;
  const runDirectory = paths.directoryOf(socketPath);
  const records =
    markers === undefined
      ? undefined
      : new ChildRecords({ markers, processes, paths, runDirectory, instanceId: 'keeper', log });
  return runKeeper({ platform, environment, socketPath, records });
};
