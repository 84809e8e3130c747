/** Nothing that is unpacked replaces the home folder, whatever Windows takes as its path. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, parse } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, expect, test } from 'vitest';
import { extractTar } from '../../src/files/extract-tar.ts';
import { profileNamed } from '../../src/wire/profiles.ts';
import { removeFolder } from '../support/remove-folder.ts';
import { platform } from './daemon.ts';

const folder = mkdtempSync(join(tmpdir(), 'hfh-'));
const home = join(folder, 'users', 'Anna of the North');
mkdirSync(home, { recursive: true });
writeFileSync(join(home, 'keep'), 'kept');
afterAll(() => removeFolder(folder));

/** What cmd.exe says is the short (8.3) path; the path itself where the volume makes none. */
const short = spawnSync('cmd.exe', ['/d', '/v:off', '/c', `for %I in ("${home}") do @echo %~sI`], {
  encoding: 'utf8',
  windowsVerbatimArguments: true,
}).stdout.trim();

const drive = parse(home).root.slice(0, 1).toLowerCase();
const share = (host: string) => `\\\\${host}\\${drive}$${home.slice(2)}`;

/** @returns the failure's text; `undefined`: it was unpacked */
async function unpackOver(destination: string): Promise<string | undefined> {
  const archive = join(folder, 'empty.tar.gz');
  writeFileSync(archive, gzipSync(Buffer.alloc(1024)));
  const profile = profileNamed('S');
  if (profile === undefined) {
    throw new Error('no profile S');
  }
  const there = { ...platform, host: { ...platform.host, home: () => home } };
  try {
    await extractTar(archive, destination, {
      platform: there,
      profile,
      settings: { maxExtractBytes: 0, filesReadRegularOnly: false },
    });
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

test.each([
  home,
  home.toUpperCase(),
  home.replaceAll('\\', '/'),
  `${home}\\`,
  `${home}.`,
  `${home} `,
  `${home}::$INDEX_ALLOCATION`,
  `\\\\?\\${home}`,
  `\\\\.\\${home}`,
  `//?/${home}`,
  `\\??\\${home}`,
  join(folder, 'users'),
  join(folder, 'USERS'),
  short,
  join(folder, 'users', '..', 'users'),
])('an archive is not unpacked over %s, and the home folder keeps its files', async (destination) => {
  expect(await unpackOver(destination)).toMatch(/^destDir must (?:be an absolute, non-root path|not be or contain)/);
  expect(readFileSync(join(home, 'keep'), 'utf8')).toBe('kept');
});

test.each(['localhost', '127.0.0.1'])(
  'through the share that %s has of its own drive the home folder keeps its files',
  async (host) => {
    // Where there is no such share (Wine) nothing is found, and nothing is removed.
    expect(await unpackOver(share(host))).toBeDefined();
    expect(readFileSync(join(home, 'keep'), 'utf8')).toBe('kept');
  },
);

test('beside and below the home folder archives are unpacked', async () => {
  expect(await unpackOver(join(home, 'plug-in'))).toBeUndefined();
  expect(existsSync(join(home, 'plug-in', '.synced'))).toBe(true);
  expect(readFileSync(join(home, 'keep'), 'utf8')).toBe('kept');
});
