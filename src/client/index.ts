/** The package export `holdfast/client` (docs/client.md). */
export type {
  DaemonDescription,
  SessionActivity,
  SessionEventFrame,
  SessionEventName,
  SessionInfo,
} from '../wire/extension-types.ts';
export type { MethodName, Methods, ParamsOf, ResultOf } from '../wire/method-types.ts';
export type { RetryOptions } from './connection.ts';
export { GapError, HoldfastError, type HoldfastErrorKind, UnsupportedError } from './errors.ts';
export type { DaemonFacts } from './handshake.ts';
export { type ConnectOptions, connect, type Host, type HostEvents } from './host.ts';
export type { ContractMethods } from './methods.ts';
export type { Session } from './session.ts';
export type { Exit, KillOptions, KillOutcome, ReadOptions, SessionOptions, SpawnOptions } from './session-options.ts';
export type { SessionEvent } from './session-output.ts';
export type { TargetOptions } from './target.ts';
export type { Watch, WatchEvent } from './watch.ts';
