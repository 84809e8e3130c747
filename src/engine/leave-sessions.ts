/** What becomes of the sessions when the daemon ends (spec process.md §10). */
import { failpoint } from '../base/failpoints.ts';
import type { Log } from '../base/log.ts';

/** The part of the engine that is needed for it. */
export interface EndingSessions {
  readonly runningCount: number;
  /** Starts nothing new, and waits for what is being started. */
  close(): Promise<void>;
  /** @returns how many groups were killed */
  killAll(): Promise<number>;
  /** Of those that live on: the next daemon is not to end them. */
  removeRecords(): void;
}

/** @returns how many process groups were killed */
export async function leaveSessions(sessions: EndingSessions, keepChildren: boolean, log: Log): Promise<number> {
  failpoint('sessions.leave.before');
  await sessions.close();
  let killed = 0;
  if (keepChildren) {
    const count = sessions.runningCount;
    log.info('Server', `-keep-children: leaving ${count} running child process(es) alive across shutdown`);
  } else {
    killed = await sessions.killAll();
  }
  sessions.removeRecords();
  return killed;
}
