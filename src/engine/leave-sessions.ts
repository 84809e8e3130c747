/** What becomes of the sessions when the daemon ends (spec process.md §10). */
import { failpoint } from '../base/failpoints.ts';
import type { Log } from '../base/log.ts';
import type { SessionEngine } from './session-engine.ts';

/** Files by which the next daemon would find children of this one. */
export interface RecordsToRemove {
  remove(pid: number): void;
}

/** @returns how many process groups were killed */
export async function leaveSessions(
  engine: SessionEngine,
  records: RecordsToRemove | undefined,
  keepChildren: boolean,
  log: Log,
): Promise<number> {
  failpoint('sessions.leave.before');
  const { killed, kept } = await engine.close(keepChildren ? 'keep' : 'end');
  if (keepChildren) {
    log.info('Server', `-keep-children: leaving ${kept} running child process(es) alive across shutdown`);
  }
  // The next daemon is to leave the processes of the table alone: they are killed, or kept on purpose. One whose id was taken
  // over keeps its record and is ended by the next start (spec platform.md §2 "Keeping children").
  for (const { pid, state, replaced } of await engine.sessions()) {
    if (state === 'running' && !replaced) {
      records?.remove(pid);
    }
  }
  return killed;
}
