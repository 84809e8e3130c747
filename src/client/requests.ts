/** Requests under way, over any number of links: what is sent again after a cut, and what cannot be (spec client.md §4). */
import { type Deferred, defer } from './deferred.ts';
import { HoldfastError } from './errors.ts';
import type { ReplyFrame } from './frame-reader.ts';
import type { Link } from './link.ts';

/**
 * What happens to a request whose link breaks before the reply: `repeat` sends it again over the next link; `once` rejects
 * with `closed`, and with `maybeDone` when it had been sent; `link` rejects with {@link LinkLost}, because its sender knows
 * better what to do.
 */
export type AfterCut = 'repeat' | 'once' | 'link';

/** The link broke before the reply came. Never leaves the library. */
export class LinkLost extends Error {}

interface Pending {
  readonly method: string;
  readonly params: object | undefined;
  readonly afterCut: AfterCut;
  readonly reply: Deferred<unknown>;
  readonly inOrder: ((result: unknown) => void) | undefined;
  sent: boolean;
}

/** Methods that may be sent twice: they only look, or the second time changes nothing. */
const repeatable: ReadonlySet<string> = new Set([
  'server.ping',
  'server.version',
  'server.capabilities',
  'files.list',
  'files.validate',
  'files.stat',
  'files.read',
  'git.info',
  'git.status',
  'git.list_branches',
  'launcher.resolve',
  'process.kill',
  'process.killAndWait',
  'holdfast.describe',
  'holdfast.sessions',
  'holdfast.watch',
  'holdfast.unobserve',
  'holdfast.closeStdin',
]);

/** By the method, and by what makes a call of `process.*` safe to repeat. */
export function afterCutOf(method: string, params: object | undefined): AfterCut {
  const { offset, ifAbsent } = (params ?? {}) as { readonly offset?: unknown; readonly ifAbsent?: unknown };
  const isSafe =
    repeatable.has(method) ||
    (method === 'process.stdin' && offset !== undefined) ||
    (method === 'process.spawn' && ifAbsent === true);
  return isSafe ? 'repeat' : 'once';
}

export class RequestLedger {
  readonly #pending = new Map<number, Pending>();
  #link: Link | undefined;
  #nextId = 1;

  /** Replies that are waited for. */
  get awaited(): number {
    return this.#pending.size;
  }

  /**
   * Sends a request now, or as soon as there is a link.
   * @param inOrder called with the result before the next frame is looked at, which a promise cannot do
   * @throws HoldfastError `rpc`, `unauthorized`, `closed`, `protocol`
   */
  request(
    method: string,
    params: object | undefined,
    afterCut: AfterCut,
    inOrder?: (result: unknown) => void,
  ): Promise<unknown> {
    const id = this.#nextId++;
    const pending: Pending = { method, params, afterCut, reply: defer(), inOrder, sent: false };
    if (this.#link === undefined && afterCut === 'link') {
      return Promise.reject(new LinkLost());
    }
    this.#pending.set(id, pending);
    if (this.#link !== undefined) {
      this.#send(this.#link, id, pending);
    }
    return pending.reply.promise;
  }

  /** Over `link` from now on, what has waited first. */
  use(link: Link): void {
    this.#link = link;
    for (const [id, pending] of [...this.#pending]) {
      this.#send(link, id, pending);
    }
  }

  settle({ id, result, error }: ReplyFrame): void {
    const pending = this.#pending.get(id as number);
    // An id that we do not know belongs to nobody here, for instance the answer to a line that was not ours.
    if (pending !== undefined) {
      this.#pending.delete(id as number);
      if (error === undefined || error === null) {
        pending.inOrder?.(result);
        pending.reply.resolve(result);
      } else {
        pending.reply.reject(rpcError(pending.method, error));
      }
    }
  }

  /** The link has broken. */
  lost(reason: string): void {
    this.#link = undefined;
    for (const [id, pending] of [...this.#pending]) {
      if (pending.afterCut === 'link') {
        this.#pending.delete(id);
        pending.reply.reject(new LinkLost(reason));
      } else if (pending.afterCut === 'once' && pending.sent) {
        this.#pending.delete(id);
        pending.reply.reject(
          new HoldfastError(
            'closed',
            `the connection broke before the reply to ${pending.method} came (${reason}); it may have been done, so look before you repeat it`,
            { maybeDone: true },
          ),
        );
      }
    }
  }

  /** Nothing will be answered any more. */
  end(error: HoldfastError): void {
    this.#link = undefined;
    const all = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reply, afterCut, sent } of all) {
      if (afterCut === 'link') {
        reply.reject(new LinkLost(error.message));
      } else {
        const { kind, message, code } = error;
        reply.reject(
          sent ? new HoldfastError(kind, message, { code, cause: error, maybeDone: kind === 'closed' }) : error,
        );
      }
    }
  }

  #send(link: Link, id: number, pending: Pending): void {
    try {
      link.send(id, pending.method, pending.params);
      pending.sent = true;
    } catch (error) {
      this.#pending.delete(id);
      pending.reply.reject(error);
    }
  }
}

const unauthorizedCode = -32001;

function rpcError(
  method: string,
  { code, message }: { readonly code: number; readonly message: string },
): HoldfastError {
  return code === unauthorizedCode
    ? new HoldfastError('unauthorized', `${method}: the daemon does not take this token; pass token or tokenFile`, {
        code,
      })
    : new HoldfastError('rpc', `${method}: ${message}`, { code });
}
