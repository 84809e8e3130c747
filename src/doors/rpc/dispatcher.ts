/** The handling order of a request: parse, auth, version, method, params, handler (spec wire.md §5). */
import { reportOf } from '../../base/error-texts.ts';
import type { Log } from '../../base/log.ts';
import type { Mark } from '../../engine/mark.ts';
import { type ErrorKind, errorCodes } from '../../wire/error-codes.ts';
import { JsonText } from '../../wire/json.ts';
import { type Request, readRequest } from '../../wire/json-reader.ts';
import { aroundResult, encodeResult, errorFrame, resultFrame } from '../../wire/json-writer.ts';
import type { Profile } from '../../wire/profile.ts';
import type { Steps } from '../../wire/steps.ts';
import { errorAnswer } from './failures.ts';
import { shortLineBytes } from './long-lines.ts';
import { Answer, type Client, type Method, type MethodResult } from './methods/method.ts';

export interface RequestObserver {
  /**
   * @param method a name of ours, never a client's text
   * @param startedAt `performance.now()` when the method was given the request
   */
  answered(method: string, startedAt: number): void;
}

export interface DispatcherOptions<S> {
  readonly services: S;
  readonly profile: Profile;
  readonly token: Buffer;
  /** All of the contract; the profile's list decides which of them are served. */
  readonly methods: readonly Method<S>[];
  /** Served in every profile, and in no list (spec extensions.md §1). */
  readonly extensions: readonly Method<S>[];
  readonly log: Log;
  /** Told of every request that was answered, refused by its method or failed; `undefined`: nobody measures. */
  readonly observer?: RequestObserver | undefined;
}

/** The connection a line came by, as far as answering it goes. */
export interface Caller extends Client {
  /** A request of this connection carried the token. */
  showedToken(): void;
  /** Queues one frame, its newline included. */
  reply(frame: string): void;
  /** The same for a frame in pieces, which leave one after the other with nothing in between. */
  replyInPieces(frame: readonly Buffer[]): void;
  /** The same for a reply that has its place in a stream of this connection. */
  replyAt(mark: Mark, frame: string): void;
  /** Whether one more request of so many bytes may wait for its answer. @throws MemoryBudgetReached */
  admit(lineBytes: number): void;
  /**
   * An answer comes later; as many `callEnded` follow.
   * @param lineBytes of the request, which is what it holds at most
   * @param bulk it may be of any size
   */
  callStarted(lineBytes: number, bulk: boolean): void;
  callEnded(lineBytes: number, bulk: boolean): void;
  /** Whether the line must wait, because too many answers of any size are on their way; `handle` gets it again then. */
  deferBulk(line: Buffer): boolean;
}

export interface Dispatcher {
  /**
   * Reads one line and answers it, or begins to; never throws. Between the steps the next line of the caller has to wait.
   * @param line valid until the last step
   */
  handle(line: Buffer, caller: Caller): Steps<void>;
}

export function createDispatcher<S>(options: DispatcherOptions<S>): Dispatcher {
  const { services, profile, token, log, observer } = options;
  const served = new Map<string, Method<S>>();
  for (const method of options.methods) {
    if (profile.server.methods.includes(method.name)) {
      served.set(method.name, method);
    }
  }
  for (const method of options.extensions) {
    served.set(method.name, method);
  }
  const namespaces = new Set([...served.keys()].map(namespaceOf));

  function* handle(line: Buffer, caller: Caller): Steps<void> {
    const request = yield* readRequest(line);
    if (line.length > shortLineBytes) {
      // Its last part may have been a long one.
      yield;
    }
    if (request === undefined) {
      log.warn('Server', 'Parse error: the line is not a JSON object with fields of the right types');
      refuse(caller, 'null', 'parseError', 'Parse error');
      return;
    }
    const method = servedTo(caller, request);
    const bulk = method?.bulk === true;
    if (method === undefined || (bulk && caller.deferBulk(line))) {
      return;
    }
    const { idText } = request;
    const lineBytes = line.length;
    const startedAt = observer === undefined ? 0 : performance.now();
    try {
      caller.admit(lineBytes);
      const read = method.read(request.params, services);
      const start = typeof read === 'function' ? read : yield* read;
      const result = start({ services, client: caller });
      if (!(result instanceof Promise)) {
        answer(caller, idText, result);
        observer?.answered(method.name, startedAt);
        return;
      }
      caller.callStarted(lineBytes, bulk);
      result
        .then((known) => answer(caller, idText, known))
        .catch((error: unknown) => fail(caller, method.name, idText, error))
        .finally(() => {
          observer?.answered(method.name, startedAt);
          caller.callEnded(lineBytes, bulk);
        });
    } catch (error) {
      fail(caller, method.name, idText, error);
      observer?.answered(method.name, startedAt);
    }
  }

  /** The method that a request may have. `undefined`: it was refused. */
  function servedTo(caller: Caller, { idText, method: name, auth, jsonrpc }: Request): Method<S> | undefined {
    const method = served.get(name);
    const needsToken = method?.needsToken?.(profile) ?? true;
    if (needsToken) {
      if (!isToken(auth)) {
        log.warn('Server', `Unauthorized request: method=${name}, id=${idText}`);
        refuse(caller, idText, 'unauthorized', 'Unauthorized: invalid or missing auth token');
        return undefined;
      }
      caller.showedToken();
    }
    if (jsonrpc !== '2.0') {
      refuse(caller, idText, 'invalidRequest', 'Invalid JSON-RPC version');
      return undefined;
    }
    if (method === undefined) {
      refuse(caller, idText, 'methodNotFound', unknownMethod(name));
    }
    return method;
  }

  /**
   * Constant time for a token of the right length; the length itself is no secret. Not by `timingSafeEqual`: `node:crypto`
   * is 0.4 MB of an idle daemon that does nothing else with it.
   */
  function isToken(sent: Buffer): boolean {
    let difference = sent.length ^ token.length;
    for (let index = 0; index < token.length; index++) {
      difference |= (sent[index] ?? 0) ^ (token[index] ?? 0);
    }
    return difference === 0;
  }

  function unknownMethod(name: string): string {
    if (!name.includes('.')) {
      return `Invalid method format: ${name}`;
    }
    const namespace = namespaceOf(name);
    return namespaces.has(namespace) ? `Unknown method: ${name}` : `Unknown namespace: ${namespace}`;
  }

  function answer(caller: Caller, idText: string, result: MethodResult): void {
    if (!(result instanceof Answer)) {
      caller.reply(resultFrame(idText, encodeResult(result)));
      return;
    }
    if (isPieces(result.result)) {
      const [before, after] = aroundResult(idText);
      caller.replyInPieces([Buffer.from(before), ...result.result, Buffer.from(after)]);
    } else if (result.result !== undefined) {
      const { result: value } = result;
      const frame = resultFrame(idText, value instanceof JsonText ? value.text : encodeResult(value));
      if (result.mark === undefined) {
        caller.reply(frame);
      } else {
        caller.replyAt(result.mark, frame);
      }
    }
    try {
      result.afterwards?.();
    } catch (error) {
      // The reply is out, and a request has one answer only.
      log.error('Server', `after the reply to ${idText}: ${reportOf(error)}`);
    }
  }

  function fail(caller: Caller, method: string, idText: string, error: unknown): void {
    const expected = errorAnswer(error);
    if (expected !== undefined) {
      caller.reply(errorFrame(idText, expected.code, expected.message));
      return;
    }
    const thrown = error instanceof Error ? error.message : String(error);
    log.error('Server', `recovered panic: method=${method} id=${idText}: ${(error as Error)?.stack ?? thrown}`);
    refuse(caller, idText, 'internal', `recovered panic: ${thrown}`);
  }

  return { handle };
}

function refuse(caller: Caller, idText: string, kind: ErrorKind, message: string): void {
  caller.reply(errorFrame(idText, errorCodes[kind], message));
}

/** `Array.isArray` does not narrow readonly arrays. */
function isPieces(result: Answer['result']): result is readonly Buffer[] {
  return Array.isArray(result);
}

/** What precedes the first dot. */
function namespaceOf(name: string): string {
  return name.slice(0, name.indexOf('.'));
}
