import { SystemCallError } from '../../platform/errors.ts';

/** Why the engine did not do what it was asked. Doors know what their clients are told about each kind. */
export type EngineFailureKind =
  | 'processNotFound'
  | 'processNotRunning'
  /** The bytes begin beyond what was accepted so far: some are missing in between. */
  | 'stdinGap'
  /** The child does not read, and no more is held for it. */
  | 'stdinQueueFull'
  /** Fresh bytes behind the end of the input. */
  | 'stdinClosed'
  /** Bytes that were to begin exactly here, and others have been accepted meanwhile. */
  | 'stdinBehind'
  /** The end of the input is to be where bytes were accepted already. */
  | 'stdinEndBehind'
  /** Whoever asked has gone before there was an answer. */
  | 'clientGone';

export class EngineFailure extends Error {
  override readonly name = 'EngineFailure';
  readonly kind: EngineFailureKind;

  constructor(kind: EngineFailureKind) {
    super(kind);
    this.kind = kind;
  }
}

/** One more process than `max-sessions` allows. `message` is wire text (spec extensions.md §4). */
export class TooManySessions extends SystemCallError {
  constructor(running: number, max: number) {
    super(`too many sessions: ${running} running, max-sessions is ${max}`, 'EAGAIN');
  }
}

/** Why a spawn through the managed launcher was refused. `message` is wire text (spec generation-n2.md §2). */
export class LauncherFailure extends Error {
  override readonly name = 'LauncherFailure';
  readonly kind: 'relativeCommand' | 'unusable' | 'notStarted';

  constructor(kind: LauncherFailure['kind'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }

  static unusable(reason: string): LauncherFailure {
    return new LauncherFailure('unusable', `the managed launcher cannot be used: ${reason}`);
  }
}
