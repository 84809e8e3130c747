/** Why a process has ended, from what is known of it. Pure: whoever calls has gathered it. */
import { constants } from 'node:os';

export type Cause =
  | 'running'
  /** By itself, with an exit code. */
  | 'exit'
  /** By a signal that nobody asked Holdfast for: its own, or one from outside. */
  | 'signal'
  | 'client'
  | 'operator'
  | 'detached-ttl'
  | 'supersede'
  | 'shutdown'
  | 'oom'
  | 'daemon-crash'
  | 'keeper-crash'
  | 'unknown';

export interface KnownEnd {
  readonly exit: { readonly at: number; readonly code: number; readonly signal: string | undefined } | undefined;
  readonly asked:
    | {
        readonly by: string;
        readonly how: string;
        readonly signal: string;
        readonly at: number;
        readonly escalatedAt?: number | undefined;
      }
    | undefined;
  /** What the kernel says. */
  readonly oom: string | undefined;
}

/** A program that was asked to end may take its time, and end with an exit code of its own. */
const askedMs = 15_000;

export function causeOf({ exit, asked, oom }: KnownEnd): Cause {
  if (exit === undefined) {
    return 'running';
  }
  if (asked !== undefined && followsFrom(exit, asked)) {
    return asked.by as Cause;
  }
  if (oom !== undefined) {
    return 'oom';
  }
  if (exit.signal !== undefined) {
    return 'signal';
  }
  // Exit codes are not negative; the daemon makes this one up when it has lost the keeper of the process.
  return exit.code < 0 ? 'keeper-crash' : 'exit';
}

/** Whether the end is that of the request: an interrupt of yesterday is no reason. */
function followsFrom(exit: NonNullable<KnownEnd['exit']>, asked: NonNullable<KnownEnd['asked']>): boolean {
  const number = (constants.signals as Readonly<Record<string, number>>)[`SIG${asked.signal}`] ?? 0;
  const wasKilled = asked.escalatedAt !== undefined && exit.signal === 'SIGKILL';
  return (
    wasKilled ||
    exit.signal === `SIG${asked.signal}` ||
    exit.code === 128 + number ||
    (exit.signal === undefined && exit.at - asked.at <= askedMs)
  );
}

const askers: Readonly<Record<string, string>> = {
  client: 'a client',
  operator: 'an operator (release)',
  'detached-ttl': 'detached-ttl: no client and no output for so long',
  supersede: 'a later start of the same session',
  shutdown: 'the end of the daemon',
};

/** One sentence without full stop. */
export function causeText(cause: Cause, { exit, asked, oom }: KnownEnd): string {
  const how = exit === undefined ? '' : exit.signal === undefined ? `exit code ${exit.code}` : exit.signal;
  switch (cause) {
    case 'running':
      return 'it runs';
    case 'exit':
      return `it ended by itself, ${how}`;
    case 'signal':
      return `${how} ended it, which nobody asked Holdfast for: it sent that itself, or somebody outside did`;
    case 'oom':
      return `the kernel killed it for want of memory: ${oom}`;
    case 'daemon-crash':
      return 'its daemon has ended without a word (killed, crashed, or the machine went down), and nobody saw its end';
    case 'keeper-crash':
      return 'the keeper that held it has died, and its output with it';
    case 'unknown':
      return 'nothing that is left tells how it ended';
    default: {
      const escalated = asked?.escalatedAt === undefined ? '' : ', which it outlived, so its group got KILL';
      const request = asked === undefined ? '' : ` asked for it: ${asked.how} ${asked.signal}${escalated}`;
      return `${askers[cause] ?? cause}${request}; ${how === '' ? 'its end was not seen' : how}`;
    }
  }
}
