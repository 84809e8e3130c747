/** The first request over every link: it shows that somebody answers, that the token is right, and what the daemon can do. */
import { HoldfastError, NobodyListens } from './errors.ts';
import type { Link } from './link.ts';
import { LinkLost, RequestLedger } from './requests.ts';

/** What a daemon is, found out once for each link. */
export interface DaemonFacts {
  /** As `server.capabilities` tells it. */
  readonly version: string;
  /** Whether it has the methods of docs/extensions.md. */
  readonly hasExtensions: boolean;
  /** Changes with each start of the daemon; `undefined` where it does not tell. */
  readonly instanceId: string | undefined;
}

const methodNotFound = -32601;

/** The bridge's words where there is no socket, or nobody behind it (spec modes.md §9). What ssh itself says is not among them. */
const nobodyListens =
  /claustrum: dial server: .*: (?:no such file or directory|connection refused|The system cannot find the (?:file|path) specified\.)/;

/**
 * Listens to the link until the daemon has answered; nothing but replies comes before anything was asked for.
 * @throws LinkLost; HoldfastError `refused` when the link closed without a byte, `unauthorized`, `protocol`
 */
export async function greet(link: Link, address: string): Promise<DaemonFacts> {
  const ledger = new RequestLedger();
  let reason = '';
  link.listen({
    frame: (frame) => frame.type === 'reply' && ledger.settle(frame),
    closed: (why) => {
      reason = why;
      ledger.lost(why);
    },
  });
  ledger.use(link);
  try {
    return (await describe(ledger)) ?? (await capabilities(ledger));
  } catch (error) {
    if (link.failure !== undefined) {
      throw link.failure;
    }
    if (error instanceof LinkLost && !link.heard) {
      const why = `no daemon answers at ${address}: ${reason}`;
      throw nobodyListens.test(reason) ? new NobodyListens(why) : new HoldfastError('refused', why);
    }
    throw error;
  }
}

/** `undefined`: a daemon of the contract alone. */
async function describe(ledger: RequestLedger): Promise<DaemonFacts | undefined> {
  try {
    return factsOf(await ledger.request('holdfast.describe', {}, 'link'), true);
  } catch (error) {
    if (error instanceof HoldfastError && error.code === methodNotFound) {
      return undefined;
    }
    throw error;
  }
}

async function capabilities(ledger: RequestLedger): Promise<DaemonFacts> {
  return factsOf(await ledger.request('server.capabilities', undefined, 'link'), false);
}

function factsOf(reply: unknown, hasExtensions: boolean): DaemonFacts {
  const { version, instanceId } = reply as { readonly version?: unknown; readonly instanceId?: unknown };
  return {
    version: String(version),
    hasExtensions,
    instanceId: typeof instanceId === 'string' ? instanceId : undefined,
  };
}
