/** What the process of the daemon needs before anything else. */
import type { Host } from '../../platform/host.ts';
import type { Log } from './log.ts';

/** A fault in one callback must not take the sessions of everybody else with it. */
export function surviveFailures(log: Log): void {
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.removeAllListeners(event);
    process.on(event, (error: unknown) => {
      log.error('Server', `recovered panic: ${error instanceof Error ? error.stack : String(error)}`);
    });
  }
}

export function raiseOpenFilesLimit(host: Host, log: Log): void {
  const limit = host.limitOpenFiles();
  if (limit !== undefined) {
    log.info('daemon', `child processes will start with an open-files limit of ${limit}`);
  }
}
