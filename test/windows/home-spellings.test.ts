/**
 * Whatever Windows takes as the path of the home folder, or of a folder that contains it: no method empties or removes it. The
 * same for a file system that folds case is in test/platform/guards-by-spelling.test.ts.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, parse } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { afterAll, expect, onTestFinished, test } from 'vitest';
import { extractTar } from '../../src/files/extract-tar.ts';
import { prunePlugins } from '../../src/files/plugin-prune.ts';
import type { GitServices } from '../../src/git/run/services.ts';
import { emptyFolder } from '../../src/git/worktree/empty-folder.ts';
import { guardHome } from '../../src/git/worktree/home-guard.ts';
import type { Blob } from '../../src/install/blob.ts';
import { prune } from '../../src/install/leftovers.ts';
import { HomeGuardFailure, place } from '../../src/install/stage.ts';
import { usualDecoder } from '../../src/install/zstd.ts';
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

/** Ways to write one path; every one of the first list goes together with every one of the others. */
const caseWays: readonly ((path: string) => string)[] = [
  (path) => path,
  (path) => path.toUpperCase(),
  (path) => path.toLowerCase(),
  (path) => path.replaceAll('\\', '/'),
];
const endings = ['', '\\', '\\.', '\\x\\..', '.', ' ', '. .', '::$INDEX_ALLOCATION'];
const prefixes = ['', '\\\\?\\', '\\\\.\\', '//?/', '\\??\\'];

/** All spellings of a folder, on this Windows. */
function spellingsOf(path: string): string[] {
  const spelled = prefixes.flatMap((prefix) =>
    endings.flatMap((ending) => caseWays.map((way) => prefix + way(path) + ending)),
  );
  return [...new Set(spelled)];
}

const ofHome = [...spellingsOf(home), ...spellingsOf(short)];
const spellings = [...ofHome, ...spellingsOf(join(folder, 'users')), join(folder, 'users', '..', 'users')];

/** What is asked, and looks at the disk as it is. */
const there = { ...platform, host: { ...platform.host, home: () => home } };

function expectThere(): void {
  expect(readFileSync(join(home, 'keep'), 'utf8')).toBe('kept');
}

test('there are hundreds of spellings', () => {
  expect(spellings.length).toBeGreaterThanOrEqual(200);
});

test('files.extract_tar unpacks over none of them', async () => {
  for (const path of spellings) {
    const refusal = /^destDir must (?:be an absolute, non-root path|not be or contain)/;
    expect([path, await unpackOver(path)]).toEqual([path, expect.stringMatching(refusal)]);
  }
  expectThere();
});

test('git.worktree_remove and the undo of git.worktree_create remove none of them', async () => {
  const services = { platform: there } as unknown as GitServices;
  for (const path of spellings) {
    await expect(guardHome(path, folder, services), path).rejects.toMatchObject({ code: 'unsafe_path' });
    expect([path, await emptyFolder(path, there)]).toEqual([path, expect.stringContaining('Access is denied')]);
  }
  expectThere();
});

test('the adapter itself removes none of them, whoever asks', async () => {
  const before = process.env.USERPROFILE;
  process.env.USERPROFILE = home;
  onTestFinished(() => {
    process.env.USERPROFILE = before;
  });
  for (const path of spellings) {
    await expect(platform.files.removeTree(path), path).rejects.toMatchObject({ code: 'EPERM' });
  }
  expectThere();
});

test('-install puts the CLI in the place of none of them, and clears none of them away', async () => {
  const packed = zstdCompressSync(Buffer.from('program'));
  const blob = {
    async *read() {
      yield packed;
    },
  } as unknown as Blob;
  const put = (cliPath: string) =>
    place({
      ...{ platform: there, blob, checksum: undefined, folder, cliPath, maxBytes: 0 },
      ...{ decoder: usualDecoder, onDecompressed() {}, async approve() {} },
    });
  // All at once: each of them waits for the disk.
  const outcomes = await Promise.all(spellings.map((path) => put(path).catch((error: unknown) => error)));
  expect(spellings.filter((_, index) => !(outcomes[index] instanceof HomeGuardFailure))).toEqual([]);
  const mine = join(folder, 'versions', '1.2.3');
  mkdirSync(mine, { recursive: true });
  const places = { ...there, host: { home: () => mine } };
  for (const path of spellingsOf(join(folder, 'versions'))) {
    const options = { places, partFiles: 'leftovers', foldersToo: true, installed: '' } as const;
    await prune(path, 0, options);
    expect([path, existsSync(mine)]).toEqual([path, true]);
  }
  await prune(join(folder, 'versions'), 0, { places: there, partFiles: 'leftovers', foldersToo: true, installed: '' });
  expect(existsSync(mine)).toBe(false);
  expectThere();
});

test('plugins.prune removes none that is a plug-in by its name', async () => {
  const plugin = '0123456789abcdef';
  const shared = join(folder, 'X', 'plugins');
  const mine = join(shared, plugin);
  const other = join(shared, 'fedcba9876543210');
  mkdirSync(join(folder, 'X', 'run', 'me'), { recursive: true });
  mkdirSync(join(folder, 'X', 'x'));
  mkdirSync(mine, { recursive: true });
  utimesSync(mine, new Date(0), new Date(0));
  const ask = (path: string) =>
    prunePlugins(undefined, {
      platform: { ...there, host: { ...there.host, home: () => mine } },
      settings: { socketPath: `${path}\\run\\me\\rpc.sock` },
      runningArguments: async () => [],
    });
  for (const path of spellingsOf(join(folder, 'X'))) {
    await ask(path);
    expect([path, existsSync(mine)]).toEqual([path, true]);
  }
  mkdirSync(other);
  utimesSync(other, new Date(0), new Date(0));
  expect(await ask(join(folder, 'x'))).toMatchObject({
    prunedLegacy: ['fedcba9876543210'],
    errors: [`${join(folder, 'x', 'plugins', plugin)}: it is or holds the home directory or a root, so it stays`],
  });
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
