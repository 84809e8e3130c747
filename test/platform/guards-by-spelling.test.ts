/**
 * Every method that empties or removes folders, on a file system that folds case and Unicode forms (macOS): none of hundreds
 * of spellings of the home folder, or of a folder that contains it, is taken for another one. A folder beside it goes each
 * time, so the method would have removed what it was given. Windows has the same test (test/windows/home-spellings.test.ts).
 */
import { existsSync, mkdirSync, readdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { type GuardedPlaces, whyKept } from '../../platform/common/removal-guard.ts';
import { loadPlatform } from '../../platform/load.ts';
import type { Platform } from '../../platform/platform.ts';
import { createCounters } from '../../src/base/counters.ts';
import { createLog } from '../../src/base/log.ts';
import { timings } from '../../src/base/timings.ts';
import { extractTar } from '../../src/files/extract-tar.ts';
import { prunePlugins } from '../../src/files/plugin-prune.ts';
import { emptyFolder } from '../../src/git/worktree/empty-folder.ts';
import type { Blob } from '../../src/install/blob.ts';
import { prune, sweep } from '../../src/install/leftovers.ts';
import { HomeGuardFailure, place } from '../../src/install/stage.ts';
import { usualDecoder } from '../../src/install/zstd.ts';
import { removeUnusedRunDirectories } from '../../src/run-directory/cleaner/unused-run-directories.ts';
import type { Profile } from '../../src/wire/profile.ts';
import { profileNamed } from '../../src/wire/profiles.ts';
import { daemon, repository } from '../git/support.ts';
import { type FoldingFiles, layFoldingFiles } from './folding-files.ts';
import { temporaryFolder } from './machine.ts';

const real = await loadPlatform();
const longAgo = new Date(0);
const name = 'Zo\u00eb Ros\u00e9';
const plugin = '0123456789abcdef';

/** This machine's platform, except for the answers about which folder is which. */
function platformOn({ home, look }: Pick<FoldingFiles, 'home' | 'look'>): Platform {
  return Object.assign({ ...real, host: { ...real.host, home: () => home } }, { look });
}

/** @param below see `layFoldingFiles` */
function lay(...below: string[]) {
  const base = temporaryFolder();
  const files = layFoldingFiles(base, 'Users', name, ...below);
  expect(files.ofFolder.length).toBeGreaterThanOrEqual(200);
  return { ...files, base, spellings: [...files.ofFolder, ...files.ofParent], platform: platformOn(files) };
}

function expectAllThere({ folders }: FoldingFiles): void {
  expect(folders.filter((folder) => !existsSync(join(folder, 'keep')))).toEqual([]);
}

/** A folder that may be removed, with a file in it and of a time long ago. */
function makeOld(folder: string, file: string): string {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, file), '');
  utimesSync(join(folder, file), longAgo, longAgo);
  utimesSync(folder, longAgo, longAgo);
  return folder;
}

test('the rule keeps every spelling, and lets go of what is in the home folder and beside it', async () => {
  const laid = lay();
  const places = { paths: real.paths, host: laid.platform.host, look: laid.look };
  const reasons = await Promise.all(laid.spellings.map((path) => whyKept(path, places)));
  expect(laid.spellings.filter((_, index) => reasons[index] !== 'home')).toEqual([]);
  for (const path of [`${laid.home}/work`, `${laid.base}/USERS/${name.toUpperCase()}/work`, `${laid.home}2`]) {
    expect([path, await whyKept(path, places)]).toEqual([path, undefined]);
  }
});

test.each(['S', 'latest'])('profile %s: files.extract_tar unpacks over none of them', async (profileName) => {
  const profile = profileNamed(profileName) as Profile;
  const laid = lay();
  const archive = join(laid.base, 'empty.tar.gz');
  const services = { platform: laid.platform, profile, settings: { maxExtractBytes: 0, filesReadRegularOnly: false } };
  for (const path of laid.spellings) {
    writeFileSync(archive, gzipSync(Buffer.alloc(1024)));
    await expect(extractTar(archive, path, services)).rejects.toThrow(
      /^destDir must not be or contain the home directory/,
    );
  }
  expectAllThere(laid);
  const beside = makeOld(join(laid.base, 'Users', 'other'), 'file');
  await extractTar(archive, beside, services);
  expect(existsSync(join(beside, 'file'))).toBe(false);
});

test.each([
  ['is a plug-in', [plugin]],
  ['is in a plug-in', [plugin, 'me']],
])('plugins.prune keeps a home folder that %s', async (_, below) => {
  const laid = lay('plugins', ...below);
  for (const path of laid.ofFolder) {
    const shared = join(path, 'plugins');
    mkdirSync(join(path, 'run', 'me'), { recursive: true });
    makeOld(join(shared, plugin), 'file');
    makeOld(join(shared, 'fedcba9876543210'), 'file');
    const report = await prunePlugins(undefined, {
      platform: laid.platform,
      settings: { socketPath: `${path}/run/me/rpc.sock` },
      runningArguments: async () => [],
    });
    expect(report).toMatchObject({
      prunedLegacy: ['fedcba9876543210'],
      errors: [`${join(shared, plugin)}: it is or holds the home directory or a root, so it stays`],
    });
    expect([path, existsSync(join(shared, plugin, 'file'))]).toEqual([path, true]);
  }
});

test('-install puts the CLI in the place of none of them', async () => {
  const laid = lay();
  const packed = zstdCompressSync(Buffer.from('program'));
  const blob = {
    async *read() {
      yield packed;
    },
  } as unknown as Blob;
  const put = (cliPath: string) =>
    place({
      ...{ platform: laid.platform, blob, checksum: undefined, folder: laid.base, cliPath, maxBytes: 0 },
      ...{ decoder: usualDecoder, onDecompressed() {}, async approve() {} },
    });
  // All at once: each of them waits for the disk.
  const outcomes = await Promise.all(laid.spellings.map((path) => put(path).catch((error: unknown) => error)));
  expect(laid.spellings.filter((_, index) => !(outcomes[index] instanceof HomeGuardFailure))).toEqual([]);
  expectAllThere(laid);
  const beside = makeOld(join(laid.base, 'Users', 'other'), 'file');
  await put(beside);
  expect(existsSync(join(beside, 'file'))).toBe(false);
});

test.each([
  ['the sweep of leftovers', '.fetch-me', '.fetch-other'],
  ['the prune of old versions', '1.2.3', '1.2.2'],
])('-install: %s leaves an empty home folder among the versions', async (_, mine, other) => {
  const laid = lay(mine);
  const options = { places: laid.platform, partFiles: 'leftovers' } as const;
  for (const path of laid.ofFolder) {
    // Paths such as `x/..` need the folder `x`, which is an old version too.
    for (const name of [mine, other, 'x']) {
      mkdirSync(join(path, name), { recursive: true });
      utimesSync(join(path, name), longAgo, longAgo);
    }
    await sweep(path, { ...options, ageMs: 1, spared: undefined });
    await prune(path, 0, { ...options, foldersToo: true, installed: '' });
    expect([path, existsSync(join(path, mine)), existsSync(join(path, other))]).toEqual([path, true, false]);
  }
});

test.each(['S', 'current', 'latest'] as const)(
  'profile %s: git.worktree_remove removes none of them, nor does a rollback',
  async (profile) => {
    const laid = lay();
    const { ask, services } = daemon(profile);
    Object.assign(services.platform, { host: laid.platform.host, look: laid.look });
    for (const path of laid.spellings) {
      for (const where of profile === 'latest' ? [{}, { worktreeRoot: dirname(path) }] : [{}]) {
        const { success, error } = await ask('git.worktree_remove', {
          baseRepo: laid.base,
          worktreePath: path,
          ...where,
        });
        expect([path, success, error !== '']).toEqual([path, false, true]);
      }
      expect([path, await emptyFolder(path, services.platform)]).toEqual([
        path,
        expect.stringContaining('operation not permitted'),
      ]);
    }
    expectAllThere(laid);
    const beside = makeOld(join(laid.base, 'Users', 'other'), 'file');
    expect(await emptyFolder(beside, services.platform)).toBeUndefined();
    expect(readdirSync(beside)).toEqual([]);
  },
);

test.each(['current', 'latest'] as const)(
  'profile %s: git.worktree_remove takes no spelling of a folder outside the repository for one inside it',
  async (profile) => {
    const laid = lay();
    const base = repository(join(laid.base, 'repo'));
    mkdirSync(join(base, '.claude', 'worktrees', 'x'), { recursive: true });
    // A link that the repository brings along.
    symlinkSync(join(laid.base, 'Users'), join(base, '.claude', 'worktrees', 'out'));
    const { ask, services } = daemon(profile);
    Object.assign(services.platform, { look: laid.look });
    const inside = laid.ofFolder.map((path) => path.slice(laid.base.length));
    const disguised = [
      ...inside.map((path) => `${base}/..${path}`),
      ...inside.map((path) => `${base}/.claude/worktrees/../../..${path}`),
      ...inside.map((path) => `${base}/.claude/worktrees/x/../../../..${path}`),
      ...inside.map((path) => `${base.toUpperCase()}/..${path}`),
      `${base}/.claude/worktrees/out/${name}`,
    ];
    for (const path of [...laid.spellings, ...disguised]) {
      const { success, error } = await ask('git.worktree_remove', { baseRepo: base, worktreePath: path });
      expect([path, success, error !== '']).toEqual([path, false, true]);
    }
    expectAllThere(laid);
  },
);

test('the host cleaner keeps a home folder among the run directories', async () => {
  const { childMarkers: markers } = real;
  const hostCleaning = await real.hostCleaning?.();
  if (markers === undefined || hostCleaning === undefined) {
    throw new Error('this test runs on Linux');
  }
  const laid = lay('mine');
  const log = createLog({ level: 'error' });
  const controller = new AbortController();
  for (const runFolder of new Set(laid.ofFolder.map((path) => real.paths.clean(path)))) {
    makeOld(join(runFolder, 'mine'), 'remote-server.log');
    makeOld(join(runFolder, 'unused'), 'remote-server.log');
    await removeUnusedRunDirectories([], {
      ...{ hostCleaning, markers, processes: real.processes, paths: real.paths },
      ...{ host: laid.platform.host, look: laid.look, log, counters: createCounters(), signal: controller.signal },
      place: { root: laid.base, runFolder, ownRunDirectory: '', cliFolder: '', deployments: '' },
      // What has been made just now counts as unused.
      timings: { ...timings, hostCleanUnusedMs: -1_000 },
    } satisfies Parameters<typeof removeUnusedRunDirectories>[1] & GuardedPlaces);
    expect(readdirSync(runFolder).sort()).toEqual(['keep', 'mine']);
  }
});
