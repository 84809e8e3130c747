/** `-serve`: the launcher in the foreground, or the detached daemon it has started (spec modes.md §6-7). */

import { trimWhenIdle } from '../base/idle-memory.ts';
import { daemonChildVariable } from '../base/start-markers.ts';
import type { Mode } from './mode.ts';

export const runServe: Mode = async (context) => {
  if (context.environment[daemonChildVariable] === undefined) {
    return (await import('./launch.ts')).launchDaemon(context);
  }
  const { runDaemon } = await import('../daemon/daemon.ts');
  const platform = await context.platform();
  trimWhenIdle(platform.host);
  return runDaemon({ ...context, platform });
};
