/** The byte stream to a daemon: a socket, or the standard streams of a relay such as `ssh box holdfast -bridge`. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { codeOf, HoldfastError, messageOf, NobodyListens } from './errors.ts';

export interface Transport {
  /** Who gets the daemon's bytes; `chunk` is valid during the call only. Reading begins with this. */
  listen(take: (chunk: Buffer) => void): void;
  /** Stops reading from the system, or reads on. */
  hold(held: boolean): void;
  /** While held: takes a little, so that the daemon sees that we are alive. */
  sip(): void;
  write(text: string): void;
  /** Resolves when the stream is of no use any more, with what is known of the reason. */
  readonly closed: Promise<string>;
  /** Drops the stream at once. */
  destroy(): void;
}

/** How to reach a daemon. */
export interface Dialer {
  /** For messages: `ssh user@box`, the path of a socket. */
  readonly name: string;
  /**
   * @throws HoldfastError `refused`: nobody answers; `cause` is the system's error. A relay may still find nobody later:
   * its stream then closes without a byte
   */
  dial(): Promise<Transport>;
}

/** Where a daemon on Windows says what its pipe is called, beside the path of the socket (spec wire.md §1). */
const pipeFileName = 'rpc.pipe';
/** All that may stand in it: anything else could lead to another machine, and an empty text leads to a port of this one. */
const pipeName = /^\\\\\.\\pipe\\claustrum-[0-9a-f]{16}$/;

/** @throws HoldfastError `unsupported` for an empty path: the runtime would connect to a TCP port in its place */
export function socketDialer(path: string): Dialer {
  if (path === '') {
    throw new HoldfastError('unsupported', 'the path of the socket is empty; leave it out for the usual one');
  }
  return {
    name: path,
    async dial() {
      try {
        return await dialSocket(path);
      } catch (error) {
        const pipe = pipeBeside(path);
        if (pipe !== undefined) {
          return dialSocket(pipe);
        }
        throw error;
      }
    },
  };
}

/** A system without Unix sockets has this file in their place. `undefined`: it names no pipe of a daemon. */
function pipeBeside(path: string): string | undefined {
  try {
    const text = readFileSync(join(dirname(path), pipeFileName), 'utf8');
    return pipeName.test(text) ? text : undefined;
  } catch {
    return undefined;
  }
}

/** One read of a socket, and one while it is held: the daemon sees single bytes go (spec wire.md §2, steady reader). */
const readBytes = 65_536;
const sipBytes = 256;

/**
 * The token goes to whoever listens. Without a native part the kernel cannot be asked who that is, but a socket belongs to who
 * has made it. Systems without user numbers have no such socket either.
 * @throws HoldfastError `refused` for a socket of another user; root could read everything anyway
 */
function refuseForeign(path: string): void {
  const own = process.getuid?.();
  const owner = own === undefined ? undefined : ownerOf(path);
  if (owner !== undefined && owner !== own && owner !== 0) {
    throw new HoldfastError(
      'refused',
      `${path} belongs to user ${owner}, not to you (user ${own}); nothing was sent: use a path that only you can write to`,
    );
  }
}

/** `undefined` where the dial will tell more. */
function ownerOf(path: string): number | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false })?.uid;
  } catch {
    return undefined;
  }
}

async function dialSocket(path: string): Promise<Transport> {
  refuseForeign(path);
  const transport = await openSocket(path);
  try {
    // The file may have been put there after the first look.
    refuseForeign(path);
    return transport;
  } catch (error) {
    transport.destroy();
    throw error;
  }
}

function openSocket(path: string): Promise<Transport> {
  return new Promise((resolve, reject) => {
    const reading = new Reading();
    const memory = Buffer.allocUnsafeSlow(readBytes);
    const socket = connect({
      path,
      onread: {
        // Asked for after each read, for the next one.
        buffer: () => (reading.held ? memory.subarray(0, sipBytes) : memory),
        callback: (count, chunk) => reading.took(Buffer.from(chunk.buffer, chunk.byteOffset, count)),
      },
    });
    socket.pause();
    socket.once('error', (cause) => {
      const why = `nobody answers at ${path}: ${codeOf(cause) ?? cause.message}${lengthHint(path, cause)}`;
      const isFree = ['ENOENT', 'ECONNREFUSED'].includes(codeOf(cause) ?? '');
      reject(isFree ? new NobodyListens(why, { cause }) : new HoldfastError('refused', why, { cause }));
    });
    socket.once('connect', () => {
      socket.removeAllListeners('error');
      let reason = 'the daemon closed the connection';
      const closed = new Promise<string>((close) => {
        socket.on('error', (error) => {
          reason = `the connection broke: ${codeOf(error) ?? error.message}`;
        });
        socket.once('end', () => close(reason));
        socket.once('close', () => close(reason));
      });
      // A runtime that does not know `onread` hands bytes out by events.
      socket.on('data', (chunk: Buffer) => reading.took(chunk) || socket.pause());
      resolve({
        ...reading.controls(socket),
        write: (text) => socket.write(text),
        closed,
        destroy: () => socket.destroy(),
      });
    });
  });
}

/** The address of a socket has room for so many bytes at most (Linux; other systems have a few less). */
const mostPathBytes = 107;

function lengthHint(path: string, cause: Error): string {
  const bytes = Buffer.byteLength(path);
  return codeOf(cause) === 'EINVAL' && bytes > mostPathBytes - 4
    ? `: the path has ${bytes} bytes, a socket allows ${mostPathBytes} at most; choose a shorter folder`
    : '';
}

/** Whether and by whom a stream is read. */
class Reading {
  held = false;
  #take: (chunk: Buffer) => void = () => {};

  /** @returns whether to read on */
  took(chunk: Buffer): boolean {
    this.#take(chunk);
    return !this.held;
  }

  controls(stream: Readable): Pick<Transport, 'listen' | 'hold' | 'sip'> {
    return {
      listen: (take) => {
        this.#take = take;
        stream.resume();
      },
      hold: (held) => {
        this.held = held;
        if (held) {
          stream.pause();
        } else {
          stream.resume();
        }
      },
      // One read, after which `took` says that it was the last.
      sip: () => stream.resume(),
    };
  }
}

export function commandDialer(words: readonly string[], env: NodeJS.ProcessEnv | undefined): Dialer {
  const name = words.join(' ');
  return {
    name,
    dial: () =>
      new Promise((resolve, reject) => {
        const [program = '', ...args] = words;
        const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], env, windowsHide: true });
        child.once('error', (cause) => {
          reject(new HoldfastError('refused', `${name}: ${codeOf(cause) ?? cause.message}`, { cause }));
        });
        child.once('spawn', () => resolve(relayTransport(child, name)));
      }),
  };
}

/** How much of what a relay complains about is kept. */
const keptComplaint = 2_000;

/** Resolves with the reason when the program has ended; its last words on stderr say more than its exit code. */
function relayTransport(child: ChildProcess, name: string): Transport {
  const { stdin, stdout, stderr } = child as ChildProcess & { stdin: Writable; stdout: Readable; stderr: Readable };
  let complaint = '';
  stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-keptComplaint);
  });
  for (const stream of [stdin, stdout, stderr]) {
    stream.on('error', () => {});
  }
  const closed = new Promise<string>((resolve) => {
    child.on('error', (error) => resolve(`${name}: ${messageOf(error)}`));
    const ended = (code: number | null, signal: NodeJS.Signals | null): void => {
      const how = signal === null ? `exit code ${code}` : `ended by ${signal}`;
      const words = complaint.trim();
      resolve(words === '' ? `${name}: ${how}` : `${name}: ${how}: ${words}`);
    };
    // 'close' is when stderr has been read; a grandchild that holds it open must not hide the end.
    child.once('close', ended);
    child.once('exit', (code, signal) => setTimeout(() => ended(code, signal), 500).unref());
  });
  const reading = new Reading();
  stdout.pause();
  stdout.on('data', (chunk: Buffer) => reading.took(chunk) || stdout.pause());
  return {
    ...reading.controls(stdout),
    write: (text) => stdin.write(text),
    closed,
    destroy() {
      stdin.destroy();
      stdout.destroy();
      stderr.destroy();
      child.kill('SIGKILL');
    },
  };
}
