/** What a check of `holdfast doctor` gets and gives (spec operators.md). */
import { lstatSync, type Stats } from 'node:fs';
import type { HostFacts } from '../../../platform/host-facts.ts';
import type { Platform } from '../../../platform/platform.ts';

/** One line of the answer. */
export interface Finding {
  readonly check: string;
  readonly state: 'ok' | 'warn' | 'bad';
  /** What was looked at and found. */
  readonly seen: string;
  /** What to do about it; only of what is not ok. */
  readonly remedy?: string;
  /** Does it; only where that is safe for us to do. */
  readonly mend?: (() => void | Promise<void>) | undefined;
}

export interface Patient {
  readonly platform: Platform;
  readonly facts: HostFacts;
  readonly environment: NodeJS.ProcessEnv;
  /** `undefined`: it is not defined. */
  readonly home: string | undefined;
  readonly socketPath: string;
  readonly runDirectory: string;
  /** Of the daemon that answers at the socket. */
  readonly daemon: DaemonAnswer;
}

export type DaemonAnswer =
  | { readonly state: 'none' }
  /** Somebody accepts, or holds the lock, and does not answer as a daemon of ours. */
  | { readonly state: 'silent'; readonly reason: string }
  | {
      readonly state: 'answers';
      readonly version: string;
      /** Milliseconds since the epoch. */
      readonly startedAt: number | undefined;
      readonly durable: boolean;
      readonly keeperVersion: string | undefined;
    };

/** Looks, and changes nothing. What cannot be looked at is a finding, too. */
export type Check = (patient: Patient) => Finding | readonly Finding[] | Promise<Finding | readonly Finding[]>;

export function ok(check: string, seen: string): Finding {
  return { check, state: 'ok', seen };
}

export function warn(check: string, seen: string, remedy: string, mend?: Finding['mend']): Finding {
  return { check, state: 'warn', seen, remedy, mend };
}

export function bad(check: string, seen: string, remedy: string, mend?: Finding['mend']): Finding {
  return { check, state: 'bad', seen, remedy, mend };
}

/** What lies at a path, no link followed; `undefined`: nothing, or nothing that may be looked at. */
export function entryAt(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch {
    return undefined;
  }
}
