/** A spawn of an agent session ends other processes of the same agent session (spec process.md §3.6). */
import type { Timings } from '../../base/timings.ts';
import type { Reader } from '../session-engine.ts';
import type { Session } from './session.ts';

const superseded = { by: 'supersede', how: 'spawn' } as const;

/** Ends the rivals. @returns when each of them has shown its exit frame */
export async function endRivals(rivals: readonly Session[], { supersedeGraceMs }: Timings): Promise<void> {
  await Promise.all(
    rivals.map(async (rival) => {
      rival.end.signal('TERM', superseded);
      if (!(await rival.end.waitForExit(supersedeGraceMs))) {
        rival.end.killTree(superseded);
        await rival.end.exited;
      }
    }),
  );
}

/**
 * The reply of the new process comes after the exit frames that its client receives. The process itself does not wait for
 * that: a client that does not read would keep the agent session from every other client.
 */
export async function exitFramesTaken(rivals: readonly Session[], reader: Reader): Promise<void> {
  await Promise.all(rivals.map((rival) => rival.readers.endTakenBy(reader)));
}
