/**
 * What a session has left outside its process group: the processes that carry its mark (session-mark.ts). Agents start their
 * tools in sessions of their own, out of a group kill's reach.
 */
import { type ProcessEvidence, sessionMarkVariable } from '../../platform/child-markers.ts';
import type { Platform } from '../../platform/platform.ts';
import type { SignalName } from '../../platform/processes.ts';
import { type EndedProcess, endProcesses } from './end-processes.ts';

export interface Leftovers {
  /** Of the session, see `sessionMark`. */
  readonly mark: string;
  /**
   * In seconds since 1970. A later process of the same id carries the same mark, and so does what it starts: only what was
   * started before this is the ended one's. Read each time.
   */
  readonly before: number;
  /** In the same way what an earlier one has left: only what was started from here on. */
  readonly after?: number;
}

/** How far the creation time of a process and the clock may be apart: the system tells its own start in whole seconds. */
export const clockSeconds = 1;

export interface LeftoverOptions {
  readonly platform: Pick<Platform, 'childMarkers' | 'processes'>;
  /** See `Ending`. */
  readonly graceMs: number | undefined;
  readonly killMs: number;
  readonly pollMs: number;
  onSent?(pid: number, name: SignalName): void;
}

/** @returns one entry for each process that was found. Where children cannot outlive their job there are none (Windows) */
export async function endLeftovers(
  leftovers: Leftovers,
  options: LeftoverOptions,
): Promise<readonly EndedProcess<ProcessEvidence>[]> {
  const { processes, childMarkers: markers } = options.platform;
  if (markers === undefined) {
    return [];
  }
  const isLeft = (found: ProcessEvidence): boolean =>
    found.identity.pid !== process.pid &&
    found.user === markers.user &&
    found.variable(sessionMarkVariable) === leftovers.mark &&
    isOfTheTime(processes.startSeconds(found.identity.pid), leftovers);
  const ended = await endProcesses({
    processes,
    find: async () => (await markers.carrying(sessionMarkVariable, leftovers.mark)).filter(isLeft),
    isStill({ identity }) {
      const now = markers.evidenceOf(identity.pid);
      return now?.identity.start === identity.start && isLeft(now);
    },
    graceMs: options.graceMs,
    killMs: options.killMs,
    pollMs: options.pollMs,
    onSent: ({ identity }, name) => options.onSent?.(identity.pid, name),
  });
  return [...ended.values()];
}

function isOfTheTime(startSeconds: number, { before, after }: Leftovers): boolean {
  return startSeconds < before && (after === undefined || startSeconds >= after - clockSeconds);
}
