/** What an adapter promises about the endpoint of a daemon (platform/platform.ts, spec modes.md §5, platform.md §3). */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { HostError, SystemCallError } from '../../platform/errors.ts';
import type { Listener } from '../../platform/transport.ts';
import { waitUntil } from '../support/wait.ts';
import { type Machine, temporaryFolder } from './machine.ts';

export function transportContract({ platform, openHandles, words, published }: Machine): void {
  const { transport } = platform;

  /** Listens in a folder of its own and keeps what arrives. */
  async function listen(folder = privateFolder()) {
    const socketPath = join(folder, 'rpc.sock');
    const connections: Socket[] = [];
    const errors: Error[] = [];
    const listener = await transport.listen(socketPath, {
      onConnection(socket) {
        socket.on('error', () => {});
        connections.push(socket);
      },
      onRefused: (reason) => errors.push(new Error(reason)),
      onError: (error) => errors.push(error),
    });
    onTestFinished(async () => {
      for (const socket of connections) {
        socket.destroy();
      }
      await close(listener);
      expect(errors).toEqual([]);
    });
    const arrived = (count = 1) => waitUntil(() => connections[count - 1], `connection ${count}`);
    return { folder, socketPath, listener, connections, arrived };
  }

  /** What the listener still holds is let go of in its own time. */
  async function close(listener: Listener): Promise<void> {
    listener.close();
    listener.unpublish();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }

  function privateFolder(): string {
    const folder = join(temporaryFolder(), 'run');
    platform.runDirectories.create(folder);
    return folder;
  }

  test('both ends of a connection know which process is at the other one', async () => {
    const { socketPath, arrived } = await listen();
    const [ours, theirs] = [await dial(socketPath), await arrived()];
    const wanted = platform.os === 'darwin' ? undefined : process.pid;
    expect([ours, theirs].map((socket) => transport.peerOf(socket)?.pid)).toEqual([wanted, wanted]);
  });

  async function dial(socketPath: string): Promise<Socket> {
    const socket = await transport.dial(socketPath);
    socket.on('error', () => {});
    onTestFinished(() => {
      socket.destroy();
    });
    return socket;
  }

  function read(socket: Socket, bytes: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const pieces: Buffer[] = [];
      let length = 0;
      socket.on('data', (piece) => {
        pieces.push(piece);
        length += piece.length;
        if (length >= bytes) {
          resolve(Buffer.concat(pieces));
        }
      });
      socket.on('close', () => reject(new Error(`closed after ${length} of ${bytes} bytes`)));
    });
  }

  describe('a connection', () => {
    test('carries every byte both ways at once, whatever its value', async () => {
      const { socketPath, arrived } = await listen();
      const client = await dial(socketPath);
      const server = await arrived();
      const up = randomBytes(5 << 20);
      const down = randomBytes(5 << 20);
      const received = Promise.all([read(server, up.length), read(client, down.length)]);
      client.write(up);
      server.write(down);
      const [atServer, atClient] = await received;
      expect(atServer.equals(up)).toBe(true);
      expect(atClient.equals(down)).toBe(true);
    });

    test('fifty clients that come at once are all served', async () => {
      const { socketPath, connections } = await listen();
      const clients = await Promise.all(Array.from({ length: 50 }, () => dial(socketPath)));
      await waitUntil(() => connections.length === 50 || undefined, 'fifty connections');
      for (const socket of connections) {
        socket.on('data', (bytes) => socket.write(bytes));
      }
      const answers = await Promise.all(
        clients.map((client, index) => {
          const answer = read(client, 4);
          client.write(Buffer.from([index, 0, 255, index]));
          return answer;
        }),
      );
      expect(answers.map((bytes) => bytes[0])).toEqual(clients.map((_, index) => index));
    });

    test('the daemon sees the end of a client that goes away', async () => {
      const { socketPath, arrived } = await listen();
      const client = await dial(socketPath);
      const server = await arrived();
      const ended = new Promise((resolve) => server.once('end', resolve));
      server.resume();
      client.destroy();
      await ended;
    });

    test('what the daemon wrote before it closed reaches the client, then the end', async () => {
      const { socketPath, arrived } = await listen();
      const client = await dial(socketPath);
      const server = await arrived();
      server.write('last words', () => server.destroy());
      let text = '';
      client.on('data', (bytes) => {
        text += bytes.toString();
      });
      await new Promise((resolve) => client.once('end', resolve));
      expect(text).toBe('last words');
    });

    test('outlives the listener it came through', async () => {
      const { socketPath, listener, arrived } = await listen();
      const client = await dial(socketPath);
      const server = await arrived();
      listener.close();
      const answer = read(client, 5);
      server.write('still');
      expect((await answer).toString()).toBe('still');
    });
  });

  describe('the address', () => {
    test('leads to the listener until somebody else takes the path, and only the taker may clear it', async () => {
      const first = await listen();
      expect(first.listener.leadsHere()).toBe(true);
      const second = await listen(first.folder);
      expect(first.listener.leadsHere()).toBe(false);
      expect(second.listener.leadsHere()).toBe(true);
      first.listener.unpublish();
      expect(second.listener.leadsHere()).toBe(true);
      await dial(second.socketPath);
      await second.arrived();
      expect(first.connections).toEqual([]);
    });

    test('is gone after it was cleared', async () => {
      const { socketPath, listener } = await listen();
      listener.close();
      listener.unpublish();
      expect(listener.leadsHere()).toBe(false);
      await expect(transport.dial(socketPath)).rejects.toThrow(words.noSuchFile);
    });

    test('a leftover of a daemon that crashed is replaced', async () => {
      const folder = privateFolder();
      writeFileSync(join(folder, published), 'left by somebody');
      const { socketPath, arrived } = await listen(folder);
      await dial(socketPath);
      await arrived();
    });

    test('where nobody listens a dial fails with the words of the contract', async () => {
      const failure = await transport.dial(join(privateFolder(), 'rpc.sock')).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(SystemCallError);
      expect((failure as SystemCallError).code).toBe('ENOENT');
      expect((failure as SystemCallError).message).toMatch(/^dial /);
      expect((failure as SystemCallError).message).toContain(words.noSuchFile);
    });

    test('a folder that is not there is no place to listen', async () => {
      const socketPath = join(temporaryFolder(), 'missing', 'rpc.sock');
      const events = { onConnection() {}, onRefused() {}, onError() {} };
      await expect(transport.listen(socketPath, events)).rejects.toBeInstanceOf(HostError);
    });
  });

  test('connections that come and go leave no handle open', async () => {
    const { socketPath, connections } = await listen();
    const visit = async (count: number) => {
      for (let index = 0; index < count; index++) {
        const before = connections.length;
        const client = await dial(socketPath);
        const server = await waitUntil(() => connections[before], 'the connection');
        // Half-open connections are the server's to end.
        server.resume().once('end', () => server.destroy());
        client.destroy();
        await new Promise((resolve) => server.once('close', resolve));
      }
    };
    await visit(5);
    const before = openHandles();
    await visit(50);
    await waitUntil(() => openHandles() <= before + 3 || undefined, `handles to come down to ${before}`);
  });
}
