/** What a session has left outside its process group: found by the mark it carries, and ended (spec agent.md §6.3). */
import { sessionMarkVariable } from '../../../platform/child-markers.ts';
import type { Platform } from '../../../platform/platform.ts';
import { runDirectoryMark, sessionMark } from '../../base/session-mark.ts';

/** Looks again after each KILL: what forks faster than that is left. */
const mostRounds = 5;

/** @returns how many processes were ended. Where children cannot leave their job there are none (Windows) */
export async function endStrays(
  sessionId: string,
  runDirectory: string,
  { childMarkers, processes }: Pick<Platform, 'childMarkers' | 'processes'>,
): Promise<number> {
  if (childMarkers === undefined) {
    return 0;
  }
  const mark = sessionMark(runDirectoryMark(runDirectory), sessionId);
  let ended = 0;
  for (let round = 0; round < mostRounds; round++) {
    const left = (await childMarkers.carrying(sessionMarkVariable, mark)).filter(
      ({ identity, user }) => identity.pid !== process.pid && user === childMarkers.user,
    );
    if (left.length === 0) {
      break;
    }
    for (const { identity } of left) {
      // Read again right before the signal, and once more by whoever sends it.
      const now = childMarkers.evidenceOf(identity.pid);
      const isSame = now?.identity.start === identity.start && now.variable(sessionMarkVariable) === mark;
      if (isSame && processes.signalIfSame(identity, 'KILL') === 'sent') {
        ended++;
      }
    }
  }
  return ended;
}
