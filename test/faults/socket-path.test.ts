/** Fault table: a socket path at the border of what the kernel takes (sun_path holds 107 bytes and a NUL on Linux). */
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { prepareDaemon, type TestDaemon } from '../support/daemon.ts';
import { connectTo } from '../support/host.ts';
import { patienceMs } from '../support/wait.ts';

const limit = 107;

/** A daemon whose socket path has so many bytes; `multibyte` makes bytes and characters differ. */
async function daemonWithPathOf(bytes: number, profile: 'S' | 'current', multibyte = false): Promise<TestDaemon> {
  const probe = await prepareDaemon();
  const left = bytes - Buffer.byteLength(join(probe.runDir, '/'));
  await probe[Symbol.asyncDispose]();
  const name = multibyte ? 'é'.repeat(Math.floor(left / 2)) + 's'.repeat(left % 2) : 's'.repeat(left);
  const daemon = await prepareDaemon({ profile, socketName: name });
  expect(Buffer.byteLength(daemon.socket)).toBe(bytes);
  return daemon;
}

describe.each(['S', 'current'] as const)('profile %s', (profile) => {
  test.each([false, true])('a socket path of 107 bytes is served (letters of two bytes: %s)', async (multibyte) => {
    await using daemon = await daemonWithPathOf(limit, profile, multibyte);
    await daemon.start();
    await using client = await connectTo(daemon);
    expect(await client.server.ping()).toEqual({ pong: true });
    expect(statSync(daemon.socket).mode & 0o777).toBe(0o600);
    const request = `{"jsonrpc":"2.0","id":7,"method":"server.ping","auth":"${daemon.token}"}\n`;
    const bridged = await daemon.run(['-bridge', '-socket', daemon.socket], request);
    expect(bridged).toMatchObject({ code: 0, stdout: '{"jsonrpc":"2.0","id":7,"result":{"pong":true}}\n' });
    await daemon.stop();
    expect(existsSync(daemon.socket)).toBe(false);
  });

  test.each([limit + 1, limit + 60])(
    'a socket path of %i bytes is refused with its length and the limit',
    async (bytes) => {
      await using daemon = await daemonWithPathOf(bytes, profile, bytes % 2 === 1);
      const { code, stdout, stderr } = await daemon.launch();
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
      expect(stderr).toBe(
        `holdfast: socket path has ${bytes} bytes, the limit is ${limit}; choose a shorter -socket directory\n` +
          `claustrum: listen unix: listen unix ${daemon.socket}: bind: invalid argument\n` +
          `claustrum: timeout waiting for daemon to accept on ${daemon.socket}\n`,
      );
      await expect.poll(() => daemon.daemons(), { timeout: patienceMs }).toEqual([]);
      expect(readdirSync(daemon.runDir).filter((name) => name !== 'remote-server.log')).toEqual(
        profile === 'S' ? [] : ['daemon.lock'],
      );
      const bridged = await daemon.run(['-bridge', '-socket', daemon.socket]);
      expect(bridged.code).toBe(1);
      expect(bridged.stderr).toBe(`claustrum: dial server: dial unix ${daemon.socket}: connect: invalid argument\n`);
    },
  );

  test('a short name in a folder near the limit is served: what is bound for a moment is never longer', async () => {
    await using probe = await prepareDaemon();
    const folder = join(probe.dir, 'd'.repeat(limit - Buffer.byteLength(probe.dir) - '//s'.length));
    mkdirSync(folder, { mode: 0o700 });
    const socket = join(folder, 's');
    expect(Buffer.byteLength(socket)).toBe(limit);
    await using daemon = await prepareDaemon({ profile, flags: ['-socket', socket] });
    await daemon.start();
    await using client = await connectTo(daemon, { socket });
    expect(await client.server.ping()).toEqual({ pong: true });
  });
});
