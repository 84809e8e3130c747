/** What can go wrong for a program that uses the client (spec client.md §4). */

/**
 * | kind | meaning |
 * |---|---|
 * | `rpc` | the daemon refused the request; `code` is the wire's number |
 * | `refused` | nobody answers, or what answers is no daemon |
 * | `unauthorized` | the token is missing or wrong |
 * | `gap` | frames of a session are gone for good |
 * | `unsupported` | this daemon, or this use of it, has no such thing |
 * | `closed` | the connection or the session has ended; see `maybeDone` |
 * | `protocol` | a frame that cannot be, or a request that no daemon would take |
 * | `spawn` | a program could not be started, here or there |
 */
export type HoldfastErrorKind =
  | 'rpc'
  | 'refused'
  | 'unauthorized'
  | 'gap'
  | 'unsupported'
  | 'closed'
  | 'protocol'
  | 'spawn';

export interface HoldfastErrorOptions extends ErrorOptions {
  readonly code?: number | undefined;
  readonly maybeDone?: boolean | undefined;
}

/** Every failure of the client library. `message` says what to do; `cause` keeps what was seen first. */
export class HoldfastError extends Error {
  override readonly name: string = 'HoldfastError';
  /** What went wrong, for programs. */
  readonly kind: HoldfastErrorKind;
  /** Code of the error reply, with kinds `rpc`, `spawn` and `unauthorized`. */
  readonly code: number | undefined;
  /**
   * The request was sent and its reply is lost, so the daemon may have done what was asked. Set only with kind `closed`;
   * requests that can be repeated are, and do not end this way.
   */
  readonly maybeDone: boolean;

  constructor(kind: HoldfastErrorKind, message: string, options: HoldfastErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    this.code = options.code;
    this.maybeDone = options.maybeDone ?? false;
  }
}

/** Frames `from` ... `to` of a session fell out of the daemon's window before they were read, and no one has them any more. */
export class GapError extends HoldfastError {
  override readonly name: string = 'GapError';
  /** The session. */
  readonly processId: string;
  /** Number of the first lost frame. */
  readonly from: number;
  /** Number of the last lost frame. */
  readonly to: number;

  constructor(processId: string, from: number, to: number) {
    super(
      'gap',
      `session ${processId}: frames ${from} to ${to} are gone, because the client was away or did not read for longer than the ` +
        "daemon's window holds; reconnect sooner, give the daemon spool-bytes, or pass onGap: 'continue' to go on behind the gap",
    );
    this.processId = processId;
    this.from = from;
    this.to = to;
  }
}

/**
 * The far end has said that nobody listens there: a daemon may be started. Any other failure to connect may be that of the
 * way to it, and starting a second daemon beside the first would take its place.
 */
export class NobodyListens extends HoldfastError {
  constructor(message: string, options: ErrorOptions = {}) {
    super('refused', message, options);
  }
}

/** What was asked for is an extension that this daemon does not have (docs/extensions.md). */
export class UnsupportedError extends HoldfastError {
  override readonly name: string = 'UnsupportedError';

  /** @param daemonVersion as the daemon tells it in `server.capabilities` */
  constructor(what: string, daemonVersion: string) {
    super(
      'unsupported',
      `${what} needs a Holdfast daemon with extensions; this one (version ${daemonVersion}) has none`,
    );
  }
}

/**
 * A durable daemon refuses what needs a keeper that it cannot reach in these words (docs/keeper.md), and looks for it again
 * every second. Only what may be asked twice is asked again: an attach, and input with its offset.
 */
export function isKeeperAway(error: unknown): boolean {
  return error instanceof HoldfastError && error.kind === 'rpc' && /: session keeper unreachable: /.test(error.message);
}

/** Errno code of a failed system call, e.g. `ENOENT`. */
export function codeOf(error: unknown): string | undefined {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return typeof code === 'string' ? code : undefined;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
