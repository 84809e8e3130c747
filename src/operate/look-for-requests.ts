/** Looks through the windows of sessions for requests that wait (waiting.ts); nobody's stream is touched. */
import { HoldfastError, type Host, type Session, type SessionActivity, type SessionInfo } from '../client/index.ts';
import { WaitingRequests } from './waiting.ts';

/** What a look at one session has shown. */
export interface SessionLook {
  readonly requests: WaitingRequests;
  /** `undefined`: the daemon, or its keeper, is of an older release and does not tell. */
  readonly activity: SessionActivity | undefined;
  /** Bytes of input that were accepted by then. */
  readonly inBytes: number;
}

/** Programs that are no agents by their command line, and have written so much, are read from so many frames before their end on. */
const longWindowBytes = 4 * 1024 * 1024;
const lastFrames = 200;

type Looked = Pick<SessionInfo, 'id' | 'args' | 'firstSeq' | 'lastSeq' | 'windowBytes'>;

function startOf({ args, firstSeq, lastSeq, windowBytes }: Looked): number {
  const isAgent = args.some((word) => word.includes('stream-json'));
  return isAgent || windowBytes <= longWindowBytes ? firstSeq - 1 : Math.max(firstSeq - 1, lastSeq - lastFrames);
}

/**
 * Reads what a session has written since the last look, and what has gone into it.
 * @param before of an earlier look at the same process
 * @returns `undefined`: there is no such session any more
 */
export async function lookForRequests(
  host: Host,
  session: Looked,
  before?: WaitingRequests,
): Promise<SessionLook | undefined> {
  const requests = before ?? new WaitingRequests(startOf(session));
  try {
    const observed = await host.observe(session.id, { fromSeq: requests.lastSeq, onGap: 'continue', activity: true });
    await takeReplay(observed, requests);
    await observed.detach();
    const { activity } = observed;
    if (activity !== undefined) {
      requests.takeActivity(activity);
    }
    return { requests, activity, inBytes: observed.stdinApplied };
  } catch (error) {
    if (error instanceof HoldfastError && /Process not found/.test(error.message)) {
      return undefined;
    }
    throw error;
  }
}

/** Up to the last frame that there was when the daemon answered, which it does behind all of them. */
async function takeReplay(observed: Session, requests: WaitingRequests): Promise<void> {
  const reader = observed.events.getReader();
  try {
    let next = reader.read();
    // An error of a read that is not waited for any more is that of the next request, too.
    next.catch(() => {});
    while (observed.toldSeq === undefined || requests.lastSeq < observed.toldSeq) {
      const got = await (observed.toldSeq === undefined ? Promise.race([next, observed.answered]) : next);
      if (got === undefined && observed.toldSeq === undefined) {
        // The session cannot be followed: the read says why.
        await next;
        return;
      }
      if (got?.done === true) {
        return;
      }
      if (got?.value !== undefined) {
        requests.take(got.value);
        next = reader.read();
        next.catch(() => {});
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** At the same time; each is a request and its answer. */
const together = 16;

/**
 * The trackers of all sessions that run.
 * @param before of the last look, by id and start of the process
 */
export async function lookForAllRequests(
  host: Host,
  sessions: readonly SessionInfo[],
  before: ReadonlyMap<string, SeenSession> = new Map(),
): Promise<ReadonlyMap<string, SeenSession>> {
  const seen = new Map<string, SeenSession>();
  const queue = sessions.filter(({ state, outBytes }) => state === 'running' && outBytes > 0);
  const work = async (): Promise<void> => {
    for (let session = queue.shift(); session !== undefined; session = queue.shift()) {
      const key = keyOf(session);
      const known = before.get(key);
      // An answer may go aside, which no counter of the list tells.
      const isSame =
        known !== undefined &&
        known.requests.open.length === 0 &&
        known.inBytes === session.inBytes &&
        known.outBytes === session.outBytes;
      const look = isSame ? known : await lookForRequests(host, session, known?.requests);
      if (look !== undefined) {
        seen.set(key, { requests: look.requests, inBytes: session.inBytes, outBytes: session.outBytes });
      }
    }
  };
  await Promise.all(Array.from({ length: together }, work));
  return seen;
}

export interface SeenSession {
  readonly requests: WaitingRequests;
  readonly inBytes: number;
  readonly outBytes: number;
}

/** One process, not its id alone: that may be used again. */
export function keyOf({ id, pid, startTime }: Pick<SessionInfo, 'id' | 'pid' | 'startTime'>): string {
  return `${pid} ${startTime} ${id}`;
}
