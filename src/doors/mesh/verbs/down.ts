/** `down`: asks the daemon to end, and waits until it has (spec mesh.md §2). */
import type { Platform } from '../../../../platform/platform.ts';
import type { ProcessIdentity } from '../../../../platform/processes.ts';
import type { VerbCall } from '../command-line.ts';
import type { MeshFolders } from '../folders.ts';
import { askDaemon } from '../http/client.ts';
import { stopPath } from '../http/stop-route.ts';
import { exitCodes } from '../refusal.ts';
import { meshTimings } from '../timings.ts';
import { findDaemon } from './found-daemon.ts';

export async function down({ context, folders, tell }: VerbCall): Promise<number> {
  const platform = await context.platform();
  const found = await findDaemon(folders, platform);
  if (found === undefined) {
    tell('daemon: not running', { stopped: false, reason: 'not_running' });
    return 0;
  }
  const { pid } = found;
  await askToEnd(found, folders, platform);
  for (let poll = 0; poll < meshTimings.downPolls; poll++) {
    if (isGone(found, platform)) {
      tell(`daemon: stopped (was pid ${pid})`, { stopped: true, pid });
      return 0;
    }
    await new Promise((resolve) => setTimeout(resolve, meshTimings.downPollMs));
  }
  if (isGone(found, platform)) {
    tell(`daemon: stopped (was pid ${pid})`, { stopped: true, pid });
    return 0;
  }
  tell(`daemon: signaled but did not exit within 5s (pid ${pid})`, {
    stopped: false,
    pid,
    reason: 'shutdown_timeout',
  });
  return exitCodes.failed;
}

function isGone({ pid, start }: ProcessIdentity, { processes }: Platform): boolean {
  return processes.identify(pid)?.start !== start;
}

/** Where a signal would end it at once, it is asked over its pipe. */
async function askToEnd(found: ProcessIdentity, folders: MeshFolders, platform: Platform): Promise<void> {
  if (platform.host.signalsAreRequests) {
    platform.processes.signalIfSame(found, 'TERM');
    return;
  }
  // What the end does to the answer does not matter: it is waited for, and told when it does not come.
  await askDaemon(folders.socket, platform.transport, { method: 'POST', path: stopPath }).catch(() => {});
}
