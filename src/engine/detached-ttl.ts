/**
 * `detached-ttl` (spec extensions.md §4): a process that nobody has received from and that has written nothing for so long
 * is ended as by `holdfast.release`. It is the daemon that counts: while none lives, no durable session is ended.
 */
import type { Counters } from '../base/counters.ts';
import { goDuration } from '../base/durations.ts';
import { messageOf } from '../base/error-texts.ts';
import type { Log } from '../base/log.ts';
import type { SessionEngine, SessionInfo } from './session-engine.ts';

export interface DetachedTtlOptions {
  readonly engine: SessionEngine;
  /** 0: nothing is ended. */
  readonly ttlMs: number;
  /** Longest time between two looks. */
  readonly checkMs: number;
  readonly log: Pick<Log, 'warn'>;
  readonly counters: Counters;
  readonly signal: AbortSignal;
}

/** A process as it was when it changed last. */
interface Quiet {
  readonly sign: string;
  /** `performance.now()` of the first look that found it so; `ending`: its time is over. */
  since: number | 'ending';
}

/** Looks until `signal` is aborted. */
export function endDetached(options: DetachedTtlOptions): void {
  const { ttlMs, checkMs, signal } = options;
  if (ttlMs === 0) {
    return;
  }
  let quiet = new Map<string, Quiet>();
  let looking = false;
  const look = async (): Promise<void> => {
    if (looking) {
      return;
    }
    looking = true;
    try {
      quiet = await lookOnce(quiet, options);
    } catch {
      // A keeper that cannot be reached now is asked again at the next look.
    } finally {
      looking = false;
    }
  };
  // A quarter of the time, so that nobody waits for much more than what was asked for.
  const timer = setInterval(() => void look(), Math.min(checkMs, Math.max(1, ttlMs / 4))).unref();
  signal.addEventListener('abort', () => clearInterval(timer), { once: true });
}

async function lookOnce(before: ReadonlyMap<string, Quiet>, options: DetachedTtlOptions): Promise<Map<string, Quiet>> {
  const { engine, ttlMs } = options;
  const quiet = new Map<string, Quiet>();
  const sessions = engine.sessions();
  // In this process nothing can happen between the look and the end of a session: no promise is waited for.
  for (const session of sessions instanceof Promise ? await sessions : sessions) {
    if (session.state !== 'running' || session.attached || session.replaced) {
      continue;
    }
    const now = performance.now();
    const sign = signOf(session);
    const known = before.get(session.id);
    const state = known?.sign === sign ? known : { sign, since: now };
    quiet.set(session.id, state);
    if (state.since !== 'ending' && now - state.since >= ttlMs) {
      end(session, state, options);
    }
  }
  return quiet;
}

/** Another text as soon as somebody came or went or a byte was written. */
function signOf({ pid, startTime, sinceAttachChange, outBytes, errBytes }: SessionInfo): string {
  return [pid, startTime, sinceAttachChange, outBytes, errBytes].join();
}

function end({ id, pid }: SessionInfo, state: Quiet, { engine, ttlMs, log, counters }: DetachedTtlOptions): void {
  state.since = 'ending';
  counters.detachedEnded++;
  log.warn(
    'process.Manager',
    `Process ${id}: no client and no output for ${goDuration(ttlMs)} (detached-ttl); ending it, PID=${pid}`,
  );
  Promise.resolve(engine.end(id, { how: 'release', graceMs: undefined, by: 'detached-ttl' })).then(
    // A process that the kernel does not let go is tried again after as long a time.
    () => {
      state.since = performance.now();
    },
    (error: unknown) => {
      state.since = performance.now();
      log.warn('process.Manager', `Process ${id}: detached-ttl: ${messageOf(error)}`);
    },
  );
}
