/** What a session has left outside its process group is ended at once (spec agent.md §6.3). */
import type { Platform } from '../../../platform/platform.ts';
import { endLeftovers } from '../../base/session-leftovers.ts';
import { runDirectoryMark, sessionMark } from '../../base/session-mark.ts';

/** After KILL a process is waited for so long, and looked at so often. */
const killMs = 1_000;
const pollMs = 20;

/** @returns how many processes were ended */
export async function endStrays(
  sessionId: string,
  runDirectory: string,
  platform: Pick<Platform, 'childMarkers' | 'processes'>,
): Promise<number> {
  const mark = sessionMark(runDirectoryMark(runDirectory), sessionId);
  const ended = await endLeftovers(
    { mark, before: Date.now() / 1000 },
    { platform, graceMs: undefined, killMs, pollMs },
  );
  return ended.filter(({ result }) => result === 'killed').length;
}
