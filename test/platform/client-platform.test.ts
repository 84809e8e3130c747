/** What a client of the daemon loads of the platform: as little as it takes to reach the daemon. */
import { expect, test } from 'vitest';
import { loadClientPlatform, loadPlatform } from '../../platform/load.ts';
import { loadedWith } from '../support/loaded-with.ts';

test('on Linux and macOS a client loads paths, its environment, home folder and dialling, and no native code before a connection stands', () => {
  expect([...loadedWith('platform/posix/client-platform.ts').files].sort()).toEqual([
    'platform/errors.ts',
    'platform/posix/client-platform.ts',
    'platform/posix/dial.ts',
    'platform/posix/home.ts',
    'platform/posix/paths.ts',
    'platform/posix/started-with.ts',
    'platform/posix/system.ts',
    'platform/raw-text.ts',
    'platform/started-with.ts',
  ]);
});

test('the way of looking at imports finds the native code of the whole adapter', () => {
  const whole = loadedWith('platform/posix/index.ts').files;
  expect(whole).toContain('native-bindings/libc.ts');
  expect(whole).toContain('platform/posix/run-directory.ts');
});

test('a client dials as the whole platform does', async () => {
  const [client, whole] = await Promise.all([loadClientPlatform(), loadPlatform()]);
  const nowhere = '/nowhere/at/all/rpc.sock';
  const failure = await whole.transport.dial(nowhere).catch((error: Error) => error.message);
  await expect(client.dialer.dial(nowhere)).rejects.toThrow(String(failure));
  expect(client.user.home()).toBe(whole.host.home());
  expect(client.paths.clean('/a//b/../c')).toBe(whole.paths.clean('/a//b/../c'));
});
