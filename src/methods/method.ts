/**
 * A method is data: a name, the shape of its params, a function. The dispatcher (src/rpc/connection.ts) knows none of
 * them; a profile is a list of names.
 */
import type { Platform } from '../../platform/platform.ts';
import type { JsonSlice, ResultObject } from '../rpc/json.ts';
import type { Schema } from '../rpc/params.ts';
import type { Profile } from '../rpc/profiles.ts';

/** What every method may use. `src/daemon` puts it together once. */
export interface Services {
  readonly platform: Platform;
  readonly profile: Profile;
}

/** One request being answered. */
export interface Call<S = Services> {
  readonly services: S;
  /** Runs right after this request's reply was queued and before anything else of the connection. */
  afterReply(work: () => void): void;
}

export interface Method<S = Services> {
  readonly name: string;
  /**
   * @param params the raw text, `undefined` when the request has none
   * @throws RpcError, also through the promise; anything else becomes `recovered panic: …`
   */
  run(params: JsonSlice | undefined, call: Call<S>): ResultObject | Promise<ResultObject>;
}

/** Binds a params schema to its function, so that untrusted JSON becomes a typed value in exactly one step. */
export function defineMethod<P, S>(method: {
  readonly name: `${string}.${string}`;
  readonly params: Schema<P>;
  run(params: P, call: Call<S>): ResultObject | Promise<ResultObject>;
}): Method<S> {
  return {
    name: method.name,
    run: (params, call) => method.run(method.params.read(params), call),
  };
}
