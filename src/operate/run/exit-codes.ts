/** Exit codes of `holdfast run`, those of a shell where there is one (spec client.md §5). */
import { constants } from 'node:os';
import type { Exit, HoldfastError } from '../../client/index.ts';

/** Errors of `run` itself: it could not start or connect. */
export const exitOwn = 125;
const exitCannotRun = 126;
const exitNotFound = 127;
/** The program has ended, and nobody can tell how. */
export const exitUnknown = 255;

/** The code of a program that a signal ended. */
export function codeOfSignal(name: string): number {
  const number = (constants.signals as Readonly<Record<string, number>>)[name];
  return number === undefined ? exitUnknown : 128 + number;
}

/** @returns the exit code, and whether it says how the program ended */
export function codeOf({ code, signal }: Exit): { readonly code: number; readonly isKnown: boolean } {
  if (signal !== undefined) {
    return { code: codeOfSignal(signal), isKnown: true };
  }
  return code < 0 ? { code: exitUnknown, isKnown: false } : { code, isKnown: true };
}

/** A program that could not be started, by the daemon's words (spec process.md §3.4). */
export function codeOfFailedStart({ kind, message }: HoldfastError): number {
  if (kind !== 'spawn') {
    return exitOwn;
  }
  if (
    /executable file not found in |fork\/exec .*: (?:no such file or directory|The system cannot find)/s.test(message)
  ) {
    return exitNotFound;
  }
  return /fork\/exec /.test(message) ? exitCannotRun : exitOwn;
}
