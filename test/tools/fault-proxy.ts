/**
 * A byte relay that behaves badly on request: what a bad network or a dying peer does, on one machine and without privileges.
 *
 *     node test/tools/fault-proxy.ts --listen /tmp/x/proxy.sock --target /tmp/x/rpc.sock --to-client 'chunk 1; delay 5; cut 4096'
 *
 * Addresses are socket paths or `host:port`. Rules hold for one direction and are joined by `;`. Counts are bytes of that
 * direction since the connection was opened; exactly so many are passed before the rule takes effect:
 *
 * | rule | effect |
 * |---|---|
 * | `delay <ms>` | waits so long before each write |
 * | `chunk <bytes>` | never more than so many bytes in one write, e.g. `chunk 1` |
 * | `stall <bytes>` | reads no further, so that the sender feels back-pressure, until {@link FaultProxy.release} |
 * | `cut <bytes>` | both sides are closed |
 * | `rst <bytes>` | both sides are reset. On a Unix socket, which has no RST, a side whose bytes we left unread sees `ECONNRESET`, another one just the end |
 * | `half-open <bytes>` | the peer is gone without a word: from now on bytes and ends of both directions vanish and nothing is closed |
 */
import { connect, createServer, type NetConnectOpts, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

export interface ProxyOptions {
  readonly listen: string;
  readonly target: string;
  readonly toTarget?: string;
  readonly toClient?: string;
}

/** What can be done to a connection at any moment. */
export type Strike = 'cut' | 'rst' | 'half-open';

interface Rules {
  readonly delayMs: number;
  readonly chunkBytes: number;
  /** What happens after `afterBytes`. */
  readonly fault: Strike | 'stall' | undefined;
  readonly afterBytes: number;
}

/** @throws with the rule it cannot read */
export function parseRules(text: string): Rules {
  const rules = {
    delayMs: 0,
    chunkBytes: 65_536,
    fault: undefined as Rules['fault'],
    afterBytes: Number.POSITIVE_INFINITY,
  };
  for (const rule of text.split(';').filter((part) => part.trim() !== '')) {
    const [, name, number] = /^\s*(delay|chunk|stall|cut|rst|half-open)\s+(\d+)\s*$/.exec(rule) ?? [];
    const count = Number(number);
    if (name === undefined || (name === 'chunk' && count === 0)) {
      throw new Error(`fault proxy: cannot read the rule "${rule.trim()}"`);
    }
    if (name === 'delay') {
      rules.delayMs = count;
    } else if (name === 'chunk') {
      rules.chunkBytes = count;
    } else if (rules.fault !== undefined) {
      throw new Error(`fault proxy: "${rule.trim()}" after ${rules.fault}: one such rule a direction`);
    } else {
      rules.fault = name as Rules['fault'];
      rules.afterBytes = count;
    }
  }
  return rules;
}

/** Starts listening. @throws when an address cannot be used or a rule cannot be read */
export async function startFaultProxy(options: ProxyOptions): Promise<FaultProxy> {
  const proxy = new FaultProxy(options);
  await proxy.listening;
  return proxy;
}

export class FaultProxy implements AsyncDisposable {
  /** Where clients connect: the socket path, or `host:port` with the port that was given. */
  get address(): string {
    const address = this.#server.address();
    return address === null || typeof address === 'string'
      ? this.#options.listen
      : `${address.address}:${address.port}`;
  }
  readonly listening: Promise<unknown>;
  readonly #options: ProxyOptions;
  readonly #server: Server;
  readonly #links = new Set<Link>();
  #passedToClients = 0;
  #rules!: { readonly toTarget: Rules; readonly toClient: Rules };
  /** Called for each connection before the rules for it are looked at, so that each can have its own. */
  onAccept: () => void = () => {};

  constructor(options: ProxyOptions) {
    this.#options = options;
    this.setRules(options);
    this.#server = createServer({ allowHalfOpen: true }, (client) => {
      this.onAccept();
      const link = new Link(client, connect({ ...endpoint(options.target), allowHalfOpen: true }), this.#rules);
      this.#links.add(link);
      link.onGone = () => {
        this.#links.delete(link);
        this.#passedToClients += link.toClient.passed;
      };
    });
    this.listening = new Promise((resolve, reject) => {
      this.#server.once('error', reject).listen(endpoint(options.listen), () => resolve(undefined));
    });
  }

  /** Rules for connections from now on; those that are open keep theirs. */
  setRules({ toTarget = '', toClient = '' }: Pick<ProxyOptions, 'toTarget' | 'toClient'>): void {
    this.#rules = { toTarget: parseRules(toTarget), toClient: parseRules(toClient) };
  }

  /** Connections that are open, on either side. */
  get connections(): number {
    return this.#links.size;
  }

  /** Bytes passed on since the start of the connections that are open. */
  get passed(): { readonly toTarget: number; readonly toClient: number } {
    const sum = (name: 'toTarget' | 'toClient') =>
      [...this.#links].reduce((total, link) => total + link[name].passed, 0);
    return { toTarget: sum('toTarget'), toClient: sum('toClient') };
  }

  /** Bytes passed on to clients since the start of the proxy. */
  get passedToClients(): number {
    return this.#passedToClients + this.passed.toClient;
  }

  /** Ends every stall; the bytes flow again, without further faults. */
  release(): void {
    for (const link of this.#links) {
      link.toTarget.release();
      link.toClient.release();
    }
  }

  /** Does to every open connection, now, what a rule would do. */
  strike(fault: Strike): void {
    for (const link of [...this.#links]) {
      link.strike(fault);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.strike('cut');
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** One client and its connection to the target. */
class Link {
  readonly toTarget: Lane;
  readonly toClient: Lane;
  onGone: () => void = () => {};
  readonly #sockets: readonly [Socket, Socket];
  #vanished = false;

  constructor(client: Socket, target: Socket, rules: { readonly toTarget: Rules; readonly toClient: Rules }) {
    this.#sockets = [client, target];
    const strike = (fault: Strike) => this.strike(fault);
    this.toTarget = new Lane(client, target, rules.toTarget, strike);
    this.toClient = new Lane(target, client, rules.toClient, strike);
    // Not before: a `cut 0` is seen by both sides.
    target.once('connect', () => {
      this.toTarget.start();
      this.toClient.start();
    });
    for (const socket of this.#sockets) {
      // A side that breaks takes the other with it, as if there were nothing in between.
      socket.on('error', () => this.#vanished || this.strike('rst'));
      socket.on('close', () => {
        if (this.#sockets.every(({ destroyed }) => destroyed)) {
          this.onGone();
        }
      });
    }
  }

  strike(fault: Strike): void {
    if (fault === 'half-open') {
      this.#vanished = true;
      this.toTarget.vanish();
      this.toClient.vanish();
      return;
    }
    for (const socket of this.#sockets) {
      if (fault === 'rst' && socket.remoteFamily !== undefined) {
        socket.resetAndDestroy();
      } else {
        socket.destroy();
      }
    }
  }
}

/** One direction. */
class Lane {
  passed = 0;
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #rules: Rules;
  readonly #strike: (fault: Strike) => void;
  #vanished = false;
  /** Ends the wait for bytes. */
  #wake: () => void = () => {};
  #releaseStall: () => void = () => {};

  constructor(from: Socket, to: Socket, rules: Rules, strike: (fault: Strike) => void) {
    this.#from = from;
    this.#to = to;
    this.#rules = rules;
    this.#strike = strike;
  }

  start(): void {
    for (const event of ['readable', 'end', 'close']) {
      this.#from.on(event, () => this.#wake());
    }
    this.#run().catch(() => {
      // The side that we write to is gone; its 'error' or 'close' has told the link.
    });
  }

  release(): void {
    this.#releaseStall();
  }

  vanish(): void {
    this.#vanished = true;
    this.release();
  }

  async #run(): Promise<void> {
    let { fault } = this.#rules;
    for (;;) {
      const left = fault === undefined ? Number.POSITIVE_INFINITY : this.#rules.afterBytes - this.passed;
      if (left === 0) {
        if (fault === 'stall') {
          await new Promise<void>((resolve) => {
            this.#releaseStall = resolve;
          });
        } else if (fault !== undefined) {
          this.#strike(fault);
        }
        fault = undefined;
        continue;
      }
      const piece = await this.#read(Math.min(this.#rules.chunkBytes, left));
      if (piece === undefined) {
        break;
      }
      if (this.#rules.delayMs > 0) {
        await sleep(this.#rules.delayMs);
      }
      if (!this.#vanished) {
        await new Promise<void>((resolve, reject) => {
          this.#to.write(piece, (error) => (error ? reject(error) : resolve()));
        });
        this.passed += piece.length;
      }
    }
    if (!this.#vanished) {
      this.#to.end();
    }
  }

  /** 1 … `most` bytes; `undefined` at the end. */
  async #read(most: number): Promise<Buffer | undefined> {
    while (!this.#from.readableEnded && !this.#from.destroyed) {
      const there = this.#from.readableLength;
      // Reading an empty buffer asks for more, and lets the end be noticed.
      const piece: Buffer | null = there === 0 ? this.#from.read() : this.#from.read(Math.min(there, most));
      if (piece !== null) {
        return piece;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return undefined;
  }
}

function endpoint(address: string): NetConnectOpts {
  const [, host, port] = /^([^/]*):(\d+)$/.exec(address) ?? [];
  return port === undefined ? { path: address } : { host: host || '127.0.0.1', port: Number(port) };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      listen: { type: 'string' },
      target: { type: 'string' },
      'to-target': { type: 'string', default: '' },
      'to-client': { type: 'string', default: '' },
    },
  });
  const { listen, target, 'to-target': toTarget, 'to-client': toClient } = values;
  if (listen === undefined || target === undefined) {
    throw new Error(
      'usage: fault-proxy.ts --listen <address> --target <address> [--to-target <rules>] [--to-client <rules>]',
    );
  }
  const proxy = await startFaultProxy({ listen, target, toTarget, toClient });
  console.log(`listening on ${proxy.address}`);
}
