/**
 * The daemon's end of the named pipe: for its owner only, closed to other machines, published in `rpc.pipe` beside where
 * the socket would be (spec platform.md §3 "Named pipe").
 */

import { win32 } from 'node:path';
import { HostError } from '../errors.ts';
import type { OwnedFile, RunDirectories, RunDirectory } from '../run-directories.ts';
import type { Listener, Transport } from '../transport.ts';
import { fixedPipe, maxPublishedBytes, pipePrefix, publishedIn } from './dial.ts';
import { PipeServer } from './pipe-server.ts';
import { randomHex } from './random.ts';

/**
 * @param nextName name of the next pipe
 * @returns `Transport.listen`
 */
export function createListen(runDirectories: RunDirectories, nextName: () => string = randomName): Transport['listen'] {
  return async (socketPath, events, { fixedName } = {}) => {
    let directory: RunDirectory | undefined;
    let server: PipeServer | undefined;
    let published: OwnedFile | undefined;
    try {
      if (fixedName !== undefined) {
        server = new PipeServer(fixedPipe(fixedName), events);
        server.accept();
        return new UnpublishedListener(fixedPipe(fixedName), server);
      }
      const name = nextName();
      directory = runDirectories.open(win32.dirname(win32.resolve(socketPath)));
      server = new PipeServer(name, events);
      const file = publishedIn(win32.resolve(socketPath));
      published = directory.publish(file, Buffer.from(name));
      server.accept();
      return new PipeListener(name, server, directory, file, published);
    } catch (error) {
      published?.remove();
      server?.close();
      directory?.close();
      const reason = error instanceof Error ? error.message : String(error);
      const remedy = error instanceof HostError ? error.remedy : '';
      throw new HostError(`[Server] named-pipe transport: ${reason}`, remedy, { cause: error });
    }
  };
}

function randomName(): string {
  return pipePrefix + randomHex(8);
}

class PipeListener implements Listener {
  readonly address: string;
  readonly #server: PipeServer;
  readonly #directory: RunDirectory;
  readonly #file: string;
  readonly #published: OwnedFile;

  constructor(address: string, server: PipeServer, directory: RunDirectory, file: string, published: OwnedFile) {
    this.address = address;
    this.#server = server;
    this.#directory = directory;
    this.#file = file;
    this.#published = published;
  }

  leadsHere(): boolean {
    return this.#directory.readText(this.#file, maxPublishedBytes) === this.address;
  }

  close(): void {
    this.#server.close();
  }

  unpublish(): void {
    this.#published.remove();
    this.#directory.close();
  }
}

/** Its name is known, so nothing leads to it but the pipe itself. */
class UnpublishedListener implements Listener {
  readonly address: string;
  readonly #server: PipeServer;
  #closed = false;

  constructor(address: string, server: PipeServer) {
    this.address = address;
    this.#server = server;
  }

  leadsHere(): boolean {
    return !this.#closed;
  }

  close(): void {
    this.#closed = true;
    this.#server.close();
  }

  unpublish(): void {}
}
