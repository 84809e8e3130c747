/**
 * The few requests of SFTP that a copy needs, over the subsystem of any ssh server (draft-ietf-secsh-filexfer-02, version 3).
 * Paths are relative to the home folder of the login, with `/`, also on Windows.
 */
import { timings } from '../../base/timings.ts';
import { HoldfastError } from '../../client/index.ts';
import { startSubsystem } from '../../client/remote-command.ts';
import type { RemoteHost } from './remote-script.ts';

const requests = { init: 1, open: 3, close: 4, write: 6, remove: 13, mkdir: 14, stat: 17, rename: 18 } as const;
const replies = { version: 2, status: 101, handle: 102, attributes: 105 } as const;
const okStatus = 0;
const noSuchFile = 2;
const openForWriting = 0x2 | 0x8;
const sizeIsThere = 0x1;
/** A server takes at least so much in one packet. */
const pieceBytes = 32_768;
const piecesUnderway = 64;
const mostReplyBytes = 1024 * 1024;

/** What the server has refused. */
export class SftpRefusal extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

interface Reply {
  readonly kind: number;
  readonly body: Buffer;
}

interface Waiting {
  resolve(reply: Reply): void;
  reject(error: Error): void;
}

export class Sftp {
  readonly #destination: string;
  readonly #ssh: ReturnType<typeof startSubsystem>;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 0;
  #received: Buffer = Buffer.alloc(0);
  #end: Error | undefined;
  #stalled: NodeJS.Timeout | undefined;

  /** @throws HoldfastError `refused` where ssh or the subsystem cannot be had */
  static async open(host: RemoteHost): Promise<Sftp> {
    const sftp = new Sftp(host);
    // Its answer has no number of a request; there is one at a time.
    await sftp.#send(requests.init, 3, Buffer.alloc(0));
    return sftp;
  }

  private constructor({ destination, sshCommand, environment: env }: RemoteHost) {
    this.#destination = destination;
    this.#ssh = startSubsystem({ destination, sshCommand, env }, 'sftp');
    let complaints = '';
    this.#ssh.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaints = (complaints + text).slice(-4_000);
    });
    this.#ssh.stdin.on('error', () => {});
    this.#ssh.stdout.on('data', (chunk: Buffer) => this.#take(chunk));
    this.#ssh.once('error', (error) => this.#finish(error.message));
    this.#ssh.once('close', () => this.#finish(complaints.trim() || 'it was closed'));
  }

  /** Size in bytes; `undefined` when there is no such file. */
  async size(path: string): Promise<number | undefined> {
    try {
      const { kind, body } = await this.#request(requests.stat, text(path));
      return kind === replies.attributes && (body.readUInt32BE(0) & sizeIsThere) !== 0
        ? Number(body.readBigUInt64BE(4))
        : undefined;
    } catch (error) {
      if (error instanceof SftpRefusal && error.status === noSuchFile) {
        return undefined;
      }
      throw error;
    }
  }

  /** `bytes` from `from` on, at their place. */
  async write(path: string, bytes: Buffer, from: number, onWritten: (upTo: number) => void): Promise<void> {
    const { body } = await this.#request(requests.open, Buffer.concat([text(path), number(openForWriting), number(0)]));
    const handle = text(body.subarray(4, 4 + body.readUInt32BE(0)));
    const underway: Promise<Reply>[] = [];
    for (let at = from; at < bytes.length; at += pieceBytes) {
      const offset = Buffer.alloc(8);
      offset.writeBigUInt64BE(BigInt(at));
      const piece = bytes.subarray(at, at + pieceBytes);
      const sent = this.#request(requests.write, Buffer.concat([handle, offset, text(piece)]));
      // Waited for below, in order; meanwhile nobody else does.
      sent.catch(() => {});
      underway.push(sent);
      if (underway.length >= piecesUnderway) {
        await underway.shift();
        onWritten(at - underway.length * pieceBytes);
      }
    }
    await Promise.all(underway);
    onWritten(bytes.length);
    await this.#request(requests.close, handle);
  }

  /** Every folder on the way; those that are there stay as they are. */
  async makeFolders(path: string): Promise<void> {
    const names = path.split('/');
    for (let count = 1; count <= names.length; count++) {
      const folder = names.slice(0, count).join('/');
      if (!(await this.#isThere(folder))) {
        await this.#request(requests.mkdir, Buffer.concat([text(folder), number(0)]));
      }
    }
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#request(requests.rename, Buffer.concat([text(from), text(to)]));
  }

  async remove(path: string): Promise<void> {
    await this.#request(requests.remove, text(path));
  }

  /** What was asked and is not answered yet fails. */
  close(): void {
    this.#ssh.stdin.end();
    this.#finish('it was closed');
    this.#ssh.kill();
  }

  async #isThere(path: string): Promise<boolean> {
    try {
      return (await this.#request(requests.stat, text(path))).kind === replies.attributes;
    } catch (error) {
      if (error instanceof SftpRefusal) {
        return false;
      }
      throw error;
    }
  }

  /** @throws SftpRefusal */
  async #request(kind: number, body: Buffer): Promise<Reply> {
    this.#nextId++;
    const reply = await this.#send(kind, this.#nextId, body);
    if (reply.kind === replies.status && reply.body.readUInt32BE(0) !== okStatus) {
      const length = reply.body.length >= 8 ? reply.body.readUInt32BE(4) : 0;
      throw new SftpRefusal(reply.body.readUInt32BE(0), reply.body.toString('utf8', 8, 8 + length));
    }
    return reply;
  }

  #send(kind: number, id: number, body: Buffer): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (this.#end !== undefined) {
        reject(this.#end);
        return;
      }
      this.#waiting.set(id, { resolve, reject });
      this.#stalled ??= this.#patience();
      const head = Buffer.alloc(9);
      head.writeUInt32BE(5 + body.length, 0);
      head.writeUInt8(kind, 4);
      head.writeUInt32BE(id, 5);
      this.#ssh.stdin.write(Buffer.concat([head, body]));
    });
  }

  #patience(): NodeJS.Timeout {
    return setTimeout(() => {
      this.#finish(`it has taken nothing for ${timings.deployStallMs / 1000} s`);
      this.#ssh.kill();
    }, timings.deployStallMs);
  }

  #take(chunk: Buffer): void {
    clearTimeout(this.#stalled);
    this.#received = Buffer.concat([this.#received, chunk]);
    while (this.#received.length >= 4) {
      const length = this.#received.readUInt32BE(0);
      if (length < 5 || length > mostReplyBytes) {
        // A login that prints something prints it here too.
        this.#finish(`it does not speak SFTP: ${JSON.stringify(this.#received.toString('latin1', 0, 60))}`);
        this.#ssh.kill();
        return;
      }
      if (this.#received.length < 4 + length) {
        break;
      }
      const packet = this.#received.subarray(4, 4 + length);
      this.#received = this.#received.subarray(4 + length);
      const id = packet.readUInt32BE(1);
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      waiting?.resolve({ kind: packet.readUInt8(0), body: packet.subarray(5) });
    }
    this.#stalled = this.#waiting.size > 0 ? this.#patience() : undefined;
  }

  #finish(why: string): void {
    clearTimeout(this.#stalled);
    this.#end ??= new HoldfastError(
      'refused',
      `the copy to ${this.#destination} has ended early (${why}); what has arrived stays there: run the command again to go on`,
    );
    for (const { reject } of this.#waiting.values()) {
      reject(this.#end);
    }
    this.#waiting.clear();
  }
}

function text(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([number(bytes.length), bytes]);
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
