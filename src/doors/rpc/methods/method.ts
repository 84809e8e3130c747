/**
 * A method is data: a name, the shape of its params, what it needs, a function. The dispatcher (../dispatcher.ts) knows none
 * of them; a profile is a list of names.
 */
import type { Mark } from '../../../engine/mark.ts';
import type { Reader } from '../../../engine/session-engine.ts';
import type { JsonSlice, JsonText, ResultObject } from '../../../wire/json.ts';
import type { Encodable, MethodName, ParamsOf, ResultOf } from '../../../wire/method-types.ts';
import type { Profile } from '../../../wire/profile.ts';
import type { Steps } from '../../../wire/steps.ts';
import type { Schema } from '../params.ts';

/** The connection a request came by, as far as a method may know it. */
export interface Client {
  readonly reader: Reader;
  /** Sends a frame nobody asked for one by one, its newline included (spec extensions.md §1). */
  push(frame: string): void;
  /** Aborted when the connection is closed, and with it everybody who could read an answer. */
  readonly gone: AbortSignal;
  /**
   * Resolves when there is room to make and send an answer of about so many bytes.
   * @throws MemoryBudgetReached, and EngineFailure when the client has gone
   */
  answerRoom(bytes: number): Promise<AnswerRoom>;
  /** What is ended with the connection, or when it is replaced; `undefined` ends it now. */
  setWatch(watch: Disposable | undefined): void;
}

/** The right to make an answer, until it is disposed of: the answer is queued by then, or given up. */
export interface AnswerRoom extends Disposable {
  /** The answer has grown. @throws MemoryBudgetReached, and EngineFailure when the client has gone */
  grow(bytes: number): void;
}

/** One request being answered. */
export interface Call<S> {
  readonly services: S;
  readonly client: Client;
}

/** An answer that is more than a result. */
export class Answer<R extends ResultObject = ResultObject> {
  /** `undefined`: what the method does is the answer, no frame is sent. Pieces: of the JSON text of a long result. */
  readonly result: R | JsonText | readonly Buffer[] | undefined;
  /** Where in a stream of the client the reply belongs; `undefined`: at once. */
  readonly mark: Mark | undefined;
  /** Runs right after the reply was queued. */
  readonly afterwards: (() => void) | undefined;

  constructor(result: Answer<R>['result'], more: { readonly mark?: Mark | undefined; afterwards?(): void } = {}) {
    this.result = result;
    this.mark = more.mark;
    this.afterwards = more.afterwards;
  }
}

export type MethodResult = ResultObject | Answer;

/** Does the work of a request whose params are read. */
export type Start<S> = (call: Call<S>) => MethodResult | Promise<MethodResult>;

export interface Method<S> {
  readonly name: string;
  /** Whether a profile asks for the token; without this it always does. */
  readonly needsToken?: ((profile: Profile) => boolean) | undefined;
  /** Whether the answer may be of any size: only few such requests of a connection run at once. */
  readonly bulk?: boolean | undefined;
  /**
   * What does the work: in steps where the params are looked at, at once where they are not.
   * @param params the raw text, `undefined` when the request has none; valid until the last step
   * @throws what `errorAnswer` (../failures.ts) knows, here, in the start and through its promise; anything else becomes
   *   `recovered panic: ...`
   */
  read(params: JsonSlice | undefined, services: S): Start<S> | Steps<Start<S>>;
}

/** What a method of this name answers, in the types that the client library has too. */
export type ResultFor<N extends MethodName> = Encodable<ResultOf<N>> | Answer<Encodable<ResultOf<N>> & ResultObject>;

/** A schema that knows every member the client library can send. */
type SchemaFor<N extends MethodName, P> = [keyof NonNullable<ParamsOf<N>>] extends [keyof NonNullable<P>]
  ? Schema<P>
  : never;

/** Binds a params schema to its function, so that untrusted JSON becomes a typed value in exactly one step. */
export function defineMethod<N extends MethodName, P, S>(
  method: {
    readonly name: N;
    readonly params: SchemaFor<N, P> & Schema<P>;
    run(params: P, call: Call<S>): ResultFor<N> | Promise<ResultFor<N>>;
  } & Pick<Method<S>, 'needsToken' | 'bulk'>,
): Method<S> {
  const { name, needsToken, bulk, params: schema } = method;
  const startWith = (known: P) => (call: Call<S>) => method.run(known, call);
  if ('always' in schema) {
    const start = startWith(schema.always);
    return { name, needsToken, bulk, read: () => start };
  }
  return {
    name,
    needsToken,
    bulk,
    *read(params) {
      return startWith(yield* schema.read(params));
    },
  };
}
