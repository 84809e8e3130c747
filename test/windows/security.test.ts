/** Who may connect, read and impersonate (threat 9 of docs/security.md; spec platform.md §3 "Named pipe"). */
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Handle } from '../../native-bindings/kernel32.ts';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import type { Listener } from '../../platform/transport.ts';
import { opened } from '../../platform/win32/handles.ts';
import { createPaths } from '../../platform/win32/paths.ts';
import { openPipe } from '../../platform/win32/pipes.ts';
import { createRunDirectories } from '../../platform/win32/run-directories.ts';
import { currentUser, describeSecurity, type ObjectKind, ownerOnly } from '../../platform/win32/security.ts';
import { createTransport, type TransportOptions } from '../../platform/win32/transport.ts';
import { temporaryFolder } from '../platform/machine.ts';

const paths = createPaths();
const runDirectories = createRunDirectories(paths);
const silent = { onConnection() {}, onRefused() {}, onError() {} };
const stranger = 'S-1-5-21-1-2-3-4711';

function socketPath(): string {
  const folder = join(temporaryFolder(), 'run');
  runDirectories.create(folder);
  return join(folder, 'rpc.sock');
}

async function listen(path: string, options: TransportOptions = {}): Promise<Listener> {
  const listener = await createTransport(runDirectories, paths, options).listen(path, silent);
  onTestFinished(() => {
    listener.close();
    listener.unpublish();
  });
  return listener;
}

const pipeName = () => `\\\\.\\pipe\\claustrum-${randomBytes(8).toString('hex')}`;

function openClient(name: string): Handle {
  const access = kernel32.GENERIC_READ | kernel32.GENERIC_WRITE;
  const handle = kernel32.CreateFileW(name, access, 0, null, kernel32.OPEN_EXISTING, 0, null);
  onTestFinished(() => {
    kernel32.CloseHandle(handle);
  });
  return opened(handle, `CreateFile ${name}`);
}

function createInstance(name: string, flags: number): Handle {
  const handle = kernel32.CreateNamedPipeW(
    name,
    kernel32.PIPE_ACCESS_DUPLEX | kernel32.FILE_FLAG_OVERLAPPED | flags,
    kernel32.PIPE_REJECT_REMOTE_CLIENTS,
    kernel32.PIPE_UNLIMITED_INSTANCES,
    4096,
    4096,
    0,
    ownerOnly(),
  );
  if (handle !== kernel32.INVALID_HANDLE_VALUE) {
    onTestFinished(() => {
      kernel32.CloseHandle(handle);
    });
  }
  return opened(handle, 'CreateNamedPipe');
}

/** Every entry of the access list, e.g. `(A;;FA;;;S-1-5-21-…)`. */
function accessEntries(handle: Handle, kind: ObjectKind): string[] {
  return describeSecurity(handle, kind).match(/\([^)]*\)/g) ?? [];
}

function expectOwnerOnly(handle: Handle, kind: ObjectKind): void {
  const sddl = describeSecurity(handle, kind);
  const entries = accessEntries(handle, kind);
  expect([sddl, entries.length]).toEqual([sddl, 1]);
  expect(entries[0]).toMatch(/^\(A;[A-Z]*;/);
  expect(entries[0]?.endsWith(`;;;${currentUser()})`)).toBe(true);
}

describe('the pipe of a daemon', () => {
  test('lets its owner in and nobody else, on every instance a client can get', async () => {
    const { address } = await listen(socketPath());
    const clients = Array.from({ length: 4 }, () => openClient(address));
    for (const client of clients) {
      expectOwnerOnly(client, 'kernel object');
    }
  });

  test('has a protected access list, so that no rule from elsewhere is added', async () => {
    const { address } = await listen(socketPath());
    expect(describeSecurity(openClient(address), 'kernel object')).toContain('D:P(');
  });

  test('is first of its name: a name somebody has taken stops the start with the reason', async () => {
    const name = pipeName();
    createInstance(name, kernel32.FILE_FLAG_FIRST_PIPE_INSTANCE);
    const path = socketPath();
    const start = listen(path, { nextName: () => name });
    await expect(start).rejects.toThrow(`[Server] named-pipe transport: CreateNamedPipe ${name}: Access is denied.`);
    // Nothing that leads to the stranger's pipe was published.
    expect(readdirSync(join(path, '..'))).toEqual([]);
  });

  test('cannot be taken by a second daemon, not even in the moment a client connects', async () => {
    const path = socketPath();
    const { address } = await listen(path);
    const transport = createTransport(runDirectories, paths);
    for (let round = 0; round < 20; round++) {
      const client = await transport.dial(path);
      await expect(listen(socketPath(), { nextName: () => address })).rejects.toThrow('Access is denied.');
      client.destroy();
    }
  });

  test('has a name nobody can guess, published verbatim for its owner only', async () => {
    const path = socketPath();
    const { address } = await listen(path);
    expect(address).toMatch(/^\\\\\.\\pipe\\claustrum-[0-9a-f]{16}$/);
    const file = join(path, '..', 'rpc.pipe');
    expect(readFileSync(file, 'utf8')).toBe(address);
  });

  test('a leftover of the file is replaced at the start and removed at the end', async () => {
    const path = socketPath();
    const file = join(path, '..', 'rpc.pipe');
    writeFileSync(file, pipeName());
    const listener = await listen(path);
    expect(readFileSync(file, 'utf8')).toBe(listener.address);
    listener.close();
    listener.unpublish();
    expect(readdirSync(join(path, '..'))).toEqual([]);
  });
});

describe('a client', () => {
  test('refuses a pipe that belongs to another user, before it says a word', async () => {
    const path = socketPath();
    const connections: unknown[] = [];
    const transport = createTransport(runDirectories, paths, { trustedUser: () => stranger });
    const listener = await transport.listen(path, { ...silent, onConnection: (socket) => connections.push(socket) });
    onTestFinished(() => {
      listener.close();
      listener.unpublish();
    });
    await expect(transport.dial(path)).rejects.toThrow(
      `dial pipe ${listener.address}: the pipe belongs to ${currentUser()}, not to ${stranger}`,
    );
  });

  test('follows the published file to pipes of ours on this machine only', async () => {
    const path = socketPath();
    const file = join(path, '..', 'rpc.pipe');
    const transport = createTransport(runDirectories, paths);
    for (const content of [
      '\\\\server\\pipe\\claustrum-0123456789abcdef',
      '\\\\.\\pipe\\other-0123456789abcdef',
      '\\\\.\\pipe\\claustrum-0123456789abcdef\\..\\other',
      'C:\\secret.txt',
      '',
      `${pipeName()}\n`,
    ]) {
      writeFileSync(file, content);
      await expect(transport.dial(path)).rejects.toThrow(`dial pipe ${file}: ${file} does not name a pipe of ours`);
    }
  });

  test('says which pipe is gone when a daemon crashed and left the file', async () => {
    const path = socketPath();
    const name = pipeName();
    writeFileSync(join(path, '..', 'rpc.pipe'), name);
    await expect(createTransport(runDirectories, paths).dial(path)).rejects.toThrow(
      `dial pipe ${name}: The system cannot find the file specified.`,
    );
  });

  test('waits a bounded time while every instance is taken', async () => {
    const path = socketPath();
    const name = pipeName();
    // A server that never accepts more than one client.
    const instance = kernel32.CreateNamedPipeW(name, kernel32.PIPE_ACCESS_DUPLEX, 0, 1, 4096, 4096, 0, ownerOnly());
    onTestFinished(() => {
      kernel32.CloseHandle(instance);
    });
    openClient(name);
    writeFileSync(join(path, '..', 'rpc.pipe'), name);
    await expect(createTransport(runDirectories, paths).dial(path, { timeoutMs: 100 })).rejects.toThrow(
      `dial pipe ${name}: All pipe instances are busy.`,
    );
  });
});

describe('what else is made', () => {
  test('the pipes to a child let nobody else in', () => {
    const pipe = openPipe('to us');
    onTestFinished(() => {
      kernel32.CloseHandle(pipe.ours);
      kernel32.CloseHandle(pipe.theirs);
    });
    expectOwnerOnly(pipe.ours, 'kernel object');
  });
});
