/** Rules of the POSIX adapter for macOS that need no Mac, so every machine tests them (docs/macos.md). */
import { renameSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { createDialer } from '../../platform/posix/dial.ts';
import { temporaryName } from '../../platform/posix/listen.ts';
import { createPaths } from '../../platform/posix/paths.ts';
import { isMachOForUs } from '../../platform/posix/program-kind.ts';
import { temporaryFolder } from './machine.ts';

test('the temporary name of a socket is not longer than the name it becomes', () => {
  expect(temporaryName('rpc.sock')).toMatch(/^\.s[0-9a-f]{6}$/);
  expect(temporaryName('a-very-long-name.sock')).toMatch(/^\.s[0-9a-f]{8}$/);
  expect(new Set(Array.from({ length: 100 }, () => temporaryName('rpc.sock'))).size).toBe(100);
});

/** The first bytes of a universal program for these processor types (mach-o/fat.h). */
function universal(...types: readonly number[]): Buffer {
  const head = Buffer.alloc(4096);
  head.writeUInt32BE(0xcafebabe, 0);
  head.writeUInt32BE(types.length, 4);
  types.forEach((type, index) => {
    head.writeUInt32BE(type, 8 + index * 20);
  });
  return head;
}

function single(type: number): Buffer {
  const head = Buffer.alloc(4096);
  head.writeUInt32LE(0xfeedfacf, 0);
  head.writeUInt32LE(type, 4);
  return head;
}

const [intel, arm] = [0x0100_0007, 0x0100_000c];

test.each([
  ['a universal program, Intel first', universal(intel, arm), { arm64: true, x64: true }],
  ['a universal program, ARM first', universal(arm, intel), { arm64: true, x64: true }],
  ['a program for Intel', single(intel), { arm64: false, x64: true }],
  ['a program for ARM', single(arm), { arm64: true, x64: false }],
  ['a Java class', universal(...Array.from({ length: 52 }, () => arm)), { arm64: false, x64: false }],
])('%s runs where the processor is among those it lists', (_, head, runs) => {
  expect({ arm64: isMachOForUs(head, 'arm64'), x64: isMachOForUs(head, 'x64') }).toEqual(runs);
});

/** A socket at `path` that nobody listens at. @returns what makes somebody listen */
async function deadSocket(path: string): Promise<() => void> {
  const servers = [createServer(), createServer()] as const;
  onTestFinished(() => {
    servers[1].close();
  });
  for (const [index, server] of servers.entries()) {
    await new Promise<void>((resolve) => server.listen(`${path}${index}`, resolve));
  }
  // Renamed away, the socket stays when its server closes.
  renameSync(`${path}0`, path);
  servers[0].close();
  return () => renameSync(`${path}1`, path);
}

test('on macOS one refusal does not mean that nobody listens, because a full queue refuses too', async () => {
  const path = join(temporaryFolder(), 's');
  const listen = await deadSocket(path);
  // The first attempt is made within the call.
  const dialling = createDialer('darwin', createPaths('darwin')).dial(path);
  listen();
  const outcome = await dialling.then(
    (socket) => {
      socket.destroy();
      return 'connected';
    },
    (error: Error) => error.message,
  );
  // Only macOS can tell it who listens; elsewhere the connection stands, and is given up for that reason.
  expect(outcome).toMatch(/^connected$|its listener belongs to a user the system does not tell/);
});

test('where nobody listens the refusal is told, on Linux after one attempt', async () => {
  for (const os of ['darwin', 'linux'] as const) {
    const path = join(temporaryFolder(), 's');
    const listen = await deadSocket(path);
    const dialling = createDialer(os, createPaths(os)).dial(path);
    if (os === 'linux') {
      listen();
    }
    await expect(dialling).rejects.toThrow('connect: connection refused');
  }
});
