/** `status`: whether a daemon runs, and answers (spec mesh.md §2). */
import { messageOf } from '../../../base/error-texts.ts';
import { printable } from '../../../base/printable.ts';
import type { VerbCall } from '../command-line.ts';
import { askDaemon } from '../http/client.ts';
import { exitCodes } from '../refusal.ts';
import { findDaemon } from './found-daemon.ts';

export async function status({ context, folders, tell }: VerbCall): Promise<number> {
  const platform = await context.platform();
  const found = await findDaemon(folders, platform);
  if (found === undefined) {
    tell('daemon: not running', { running: false });
    return exitCodes.failed;
  }
  const { pid } = found;
  try {
    const health = await askDaemon(folders.socket, platform.transport, { method: 'GET', path: '/v1/health' });
    if (health.status !== 200) {
      throw new Error(`HTTP ${health.status}`);
    }
    tell(`daemon: running (pid ${pid})\nsocket: ${printable(folders.socket)}`, {
      running: true,
      pid,
      health: health.body,
    });
    return 0;
  } catch (error) {
    const reason = printable(messageOf(error));
    tell(`daemon: pid ${pid} alive but IPC unreachable (${reason})`, { running: true, pid, ipc_error: reason });
    return exitCodes.failed;
  }
}
