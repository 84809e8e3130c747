/** What a client of the daemon loads of the platform: as little as it takes to reach the daemon. */
import { readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { expect, test } from 'vitest';
import { loadClientPlatform, loadPlatform } from '../../platform/load.ts';

const root = join(import.meta.dirname, '..', '..');

/** The files that are loaded with `file`, itself among them: its static imports of values, and theirs. */
function loadedWith(file: string, found = new Set<string>()): Set<string> {
  if (found.has(file)) {
    return found;
  }
  found.add(file);
  const source = readFileSync(join(root, file), 'utf8');
  for (const [, target = ''] of source.matchAll(/^import (?!type )[^;]*? from '(\.[^']+)';$/gm)) {
    loadedWith(normalize(join(dirname(file), target)), found);
  }
  return found;
}

test('on Linux and macOS a client loads paths, its environment, home folder and dialling, and no native code before a connection stands', () => {
  expect([...loadedWith('platform/posix/client-platform.ts')].sort()).toEqual([
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
  const whole = loadedWith('platform/posix/index.ts');
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
