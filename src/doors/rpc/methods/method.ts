/**
 * A method is data: a name, the shape of its params, a function. The dispatcher (src/doors/rpc/dispatcher.ts) knows none of
 * them; a profile is a list of names.
 */

import type { FeedOwner } from '../../../engine/local/feed.ts';
import type { JsonSlice, ResultObject } from '../../../wire/json.ts';
import type { Schema } from '../params.ts';

/** One request being answered. */
export interface Call<S> {
  readonly services: S;
  /** The connection the request came by, as far as a method may know it. */
  readonly client: FeedOwner;
  /** Runs right after this request's reply was queued and before anything else of the connection. */
  afterReply(work: () => void): void;
}

/** The result of a method that is answered by what it does, not by a frame. */
export const noReply: unique symbol = Symbol('no reply');

export type MethodResult = ResultObject | typeof noReply;

export interface Method<S> {
  readonly name: string;
  /**
   * @param params the raw text, `undefined` when the request has none; valid during the call only
   * @throws RpcError, also through the promise; anything else becomes `recovered panic: …`
   */
  run(params: JsonSlice | undefined, call: Call<S>): MethodResult | Promise<MethodResult>;
}

/** Binds a params schema to its function, so that untrusted JSON becomes a typed value in exactly one step. */
export function defineMethod<P, S>(method: {
  readonly name: `${string}.${string}`;
  readonly params: Schema<P>;
  run(params: P, call: Call<S>): MethodResult | Promise<MethodResult>;
}): Method<S> {
  return {
    name: method.name,
    run: (params, call) => method.run(method.params.read(params), call),
  };
}
