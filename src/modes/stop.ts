/** `-stop`: asks a daemon to end; a daemon that cannot be reached is success (spec modes.md §10). */
import { rmdirSync, unlinkSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { isForeignListener } from '../../platform/errors.ts';
import type { Platform } from '../../platform/platform.ts';
import { messageOf } from '../base/error-texts.ts';
import { writeWhole } from '../base/standard-output.ts';
import { stopTimings } from '../base/timings.ts';
import { requestOnce } from '../client/request.ts';
import { tokenFileName } from '../run-directory/names.ts';
import { type EvictionOptions, takeLock } from '../run-directory/run-lock.ts';
import type { Mode, ModeContext } from './mode.ts';

type StopWord = 'stopped' | 'none' | 'terminated' | 'killed' | 'survivor';

export const runStop: Mode = async (context) => {
  const { settings } = context;
  const { modes } = settings.profile;
  const platform = await context.platform();
  const asked = await ask(platform, context);
  if (modes.stopRemoves === 'socket') {
    removeWhatever(settings.socketPath);
  }
  if (!modes.stopOutput) {
    return 0;
  }

  const word: StopWord = asked ? 'stopped' : await endUnreachable(platform, context);
  if (word !== 'stopped' && word !== 'survivor') {
    removeWhatever(settings.socketPath);
    removeWhatever(join(platform.paths.directoryOf(settings.socketPath), tokenFileName));
  }
  writeWhole(1, `${word}\n`);
  return 0;
};

/** @returns whether a daemon was reached; what it answers does not matter */
async function ask(platform: Platform, { settings, log }: ModeContext): Promise<boolean> {
  let socket: Socket;
  try {
    socket = await platform.transport.dial(settings.socketPath);
  } catch (error) {
    if (isForeignListener(error)) {
      log.warn('daemon', `stop: WARNING ${messageOf(error)}`);
    }
    return false;
  }
  // Never with a token: this is the one request that needs none.
  await requestOnce(socket, { method: 'server.shutdown' }, { timeoutMs: stopTimings.replyMs });
  socket.destroy();
  return true;
}

/** Nobody accepts connections, but a daemon that hangs may still hold the run directory. */
async function endUnreachable(platform: Platform, { settings, log }: ModeContext): Promise<StopWord> {
  let directory: EvictionOptions['directory'];
  try {
    directory = platform.runDirectories.open(platform.paths.directoryOf(settings.socketPath));
  } catch {
    return 'none';
  }
  try {
    const eviction = await takeLock({
      platform,
      directory,
      socketPath: settings.socketPath,
      log,
      asker: 'stop',
      termMs: stopTimings.termMs,
      killMs: stopTimings.killMs,
      create: false,
    });
    if ('lock' in eviction) {
      eviction.lock.releaseUnchanged();
      return eviction.outcome === 'free' ? 'none' : eviction.outcome;
    }
    return eviction.outcome === 'survivor' ? 'survivor' : 'none';
  } finally {
    directory.close();
  }
}

/** A stale socket, a regular file or an empty folder; a folder with something in it stays. */
function removeWhatever(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    try {
      rmdirSync(path);
    } catch {
      // There is nothing to remove, or we may not remove it.
    }
  }
}
