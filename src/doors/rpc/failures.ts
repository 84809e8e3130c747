/**
 * What a client is told when the work behind a method fails. The engine, the file and the git code fail with kinds of their
 * own and know no codes of the wire; this table is the one place where a kind becomes a code and a text (spec wire.md §6).
 */
import { SystemCallError } from '../../../platform/errors.ts';
import { EngineFailure, type EngineFailureKind, LauncherFailure } from '../../engine/failures.ts';
import { FilesFailure, type FilesFailureKind } from '../../files/failure.ts';
import { GitFailure } from '../../git/run/failures.ts';
import { type ErrorKind, errorCodes } from '../../wire/error-codes.ts';

import { RpcError } from './errors.ts';

const readRefusals: Record<FilesFailureKind, string> = {
  isFolder: 'files.read: path is a directory',
  notRegularFile: 'files.read: not a regular file',
  overLimit: 'files.read: file exceeds maxBytes',
};

export interface ErrorAnswer {
  readonly code: number;
  readonly message: string;
}

const engineTexts: Readonly<Record<EngineFailureKind, readonly [kind: ErrorKind, text: string]>> = {
  processNotFound: ['invalidParams', 'Process not found'],
  processNotRunning: ['invalidParams', 'Process not running'],
  stdinGap: ['stdinOffsetGap', 'stdin offset gap: offset ahead of applied bytes'],
  stdinQueueFull: ['stdinQueueFull', 'stdin backpressure: queue full'],
  stdinClosed: ['invalidParams', 'stdin closed'],
  stdinBehind: ['invalidParams', 'stdin offset behind applied bytes'],
  stdinEndBehind: ['invalidParams', 'stdin end behind applied bytes'],
  // Nobody is there to read it.
  clientGone: ['internal', 'the client has gone'],
};

function engineAnswer(error: unknown): ErrorAnswer | undefined {
  if (!(error instanceof EngineFailure)) {
    return undefined;
  }
  const [kind, message] = engineTexts[error.kind];
  return { code: errorCodes[kind], message };
}

const launcherKinds: Readonly<Record<LauncherFailure['kind'], ErrorKind>> = {
  relativeCommand: 'invalidParams',
  unusable: 'launcherUnusable',
  notStarted: 'launcherNotStarted',
};

/** The rows are tried from the first to the last. */
const answers: readonly ((error: unknown) => ErrorAnswer | undefined)[] = [
  (error) => (error instanceof RpcError ? { code: error.code, message: error.message } : undefined),
  (error) =>
    error instanceof FilesFailure ? { code: errorCodes.invalidParams, message: readRefusals[error.kind] } : undefined,
  (error) => (error instanceof GitFailure ? { code: errorCodes.internal, message: error.message } : undefined),
  engineAnswer,
  (error) =>
    error instanceof LauncherFailure
      ? { code: errorCodes[launcherKinds[error.kind]], message: error.message }
      : undefined,
  // The operating system's own words are wire text.
  (error) => (error instanceof SystemCallError ? { code: errorCodes.internal, message: error.message } : undefined),
];

/** `undefined`: nobody expected this error, so it is a fault of ours (`recovered panic`). */
export function errorAnswer(error: unknown): ErrorAnswer | undefined {
  for (const answer of answers) {
    const told = answer(error);
    if (told !== undefined) {
      return told;
    }
  }
  return undefined;
}
