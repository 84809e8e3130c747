/** PATH of the login shell, looked up once in the background (spec process.md §3.3). */
import type { Host } from '../../../platform/host.ts';
import type { Log } from '../../base/log.ts';

export interface ShellPath {
  /** Whether waiting is over; `value` is final then. */
  readonly known: boolean;
  /** `undefined`: children inherit the daemon's PATH. */
  readonly value: string | undefined;
  /** Never rejects; bounded by the look-up's own limit. */
  wait(): Promise<void>;
}

/** Starts the look-up. Ending `signal` kills a shell that still runs. */
export function lookUpShellPath(host: Host, log: Log, timeoutMs: number, signal: AbortSignal): ShellPath {
  let value: string | undefined;
  let known = false;
  const start = performance.now();
  const done = host
    .loginShellVariable({ name: 'PATH', timeoutMs, signal })
    .then(
      (path) => {
        value = path === '' ? undefined : path;
        if (value !== undefined) {
          // `holdfast doctor` reads it: the first sessions have waited for it.
          log.info('shellenv', `PATH from login shell after ${Math.round(performance.now() - start)} ms`);
        }
      },
      (error: Error) => {
        if (!signal.aborted) {
          log.warn('shellenv', `Failed to extract PATH from login shell: ${error.message}`);
        }
      },
    )
    .finally(() => {
      known = true;
    });
  return {
    get known() {
      return known;
    },
    get value() {
      return value;
    },
    wait: () => done,
  };
}
