/** Folders of ours that stand for a repository are kept between questions, and tell what a new one would. */
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { KeptDirectories, type Lent } from '../../../src/git/run/kept-directories.ts';
import { TemporaryFolders } from '../../../src/git/run/temporary-folders.ts';
import { startDaemon } from '../../support/daemon.ts';
import { connectTo } from '../../support/host.ts';
import { linux, testNeeding } from '../../support/needs.ts';
import { waitUntil } from '../../support/wait.ts';
import { daemon, git, platform, repository, scratchFolder, withVariables } from '../support.ts';

const testOnLinux = testNeeding(linux);

/** A temporary folder of the test's own, and what daemons have in it. */
function temporaryFolder(): { readonly path: string; homes(): string[]; kept(): string[] } {
  const path = join(scratchFolder(), 'tmp');
  mkdirSync(path);
  withVariables({ TMPDIR: path });
  const homes = () => readdirSync(path).map((name) => join(path, name));
  return { path, homes, kept: () => homes().flatMap((home) => readdirSync(home).map((name) => join(home, name))) };
}

function keeping(options: { readonly unusedMs?: number } = {}) {
  const temporary = temporaryFolder();
  const folders = new TemporaryFolders(temporary.path, platform);
  const kept = new KeptDirectories(folders, platform, options);
  const commonDirectory = join(repository(join(scratchFolder(), 'w')), '.git');
  const found = { gitDirectory: commonDirectory, commonDirectory, workTree: join(commonDirectory, '..') };
  const lend = (configuration = '[core]\n') => kept.lend({ found, configuration });
  const use = async (configuration?: string): Promise<Lent> => {
    const lent = await lend(configuration);
    await lent.giveBack();
    return lent;
  };
  return { temporary, folders, kept, found, lend, use };
}

describe.each(['S', 'current', 'next'] as const)('asked again and again (%s)', (profile) => {
  test('a change of the repository counts in the very next answer, and a question needs no new folder', async () => {
    const { kept } = temporaryFolder();
    const path = repository(join(scratchFolder(), 'w'));
    const { call, end } = daemon(profile);
    const branches = () => call('git.list_branches', { path });
    const info = async () => JSON.parse(await call('git.info', { path })) as Record<string, unknown>;

    expect(await branches()).toBe('{"isRepo":true,"branches":["main"]}');
    const [folder = ''] = kept();
    const before = statSync(folder, { bigint: true });
    git(path, 'branch', 'b');
    expect(await branches()).toBe('{"isRepo":true,"branches":["b","main"]}');
    git(path, 'pack-refs', '--all');
    expect(await branches()).toBe('{"isRepo":true,"branches":["b","main"]}');
    git(path, 'branch', '-D', 'b');
    expect(await branches()).toBe('{"isRepo":true,"branches":["main"]}');
    expect(kept()).toEqual([folder]);
    expect(statSync(folder, { bigint: true }).ctimeNs).toBe(before.ctimeNs);

    // A configuration of the same length, and of the same moment as far as the file tells.
    const config = join(path, '.git', 'config');
    git(path, 'remote', 'add', 'origin', 'https://github.com/o/a.git');
    const { atime, mtime } = statSync(config);
    expect(await info()).toMatchObject({ repoSlug: 'o/a' });
    writeFileSync(config, readFileSync(config, 'utf8').replace('/o/a.git', '/o/b.git'));
    utimesSync(config, atime, mtime);
    expect(await info()).toMatchObject({ repoSlug: 'o/b' });

    // Another repository at the same path, with the same configuration.
    renameSync(path, `${path}-before`);
    repository(path);
    git(path, 'branch', 'other');
    expect(await branches()).toBe('{"isRepo":true,"branches":["main","other"]}');
    await end();
    expect(kept()).toEqual([]);
  });
});

describe('what is kept', () => {
  test('is the same folder for the same path and configuration, and another one for any other', async () => {
    const { use, kept } = keeping();
    const first = await use();
    expect((await use()).folder).toBe(first.folder);
    expect((await use('[core]\n\tbare = false\n')).folder).not.toBe(first.folder);
    expect((await use()).folder).toBe(first.folder);
    expect(kept.count).toBe(2);
  });

  test('is another one once the repository is shallow, or keeps its refs in tables', async () => {
    const { use, found } = keeping();
    const before = await use();
    writeFileSync(join(found.commonDirectory, 'shallow'), '');
    const shallow = await use();
    mkdirSync(join(found.commonDirectory, 'reftable'));
    const withTables = await use();
    expect(new Set([before.folder, shallow.folder, withTables.folder]).size).toBe(3);
    expect(readdirSync(withTables.directories.commonDirectory)).toEqual(
      expect.arrayContaining(['reftable', 'shallow']),
    );
    rmSync(join(found.commonDirectory, 'reftable'), { recursive: true });
    expect(readdirSync((await use()).directories.commonDirectory)).not.toContain('reftable');
  });

  const changes: Record<string, (commonDirectory: string) => void> = {
    'its configuration': (at) => appendFileSync(join(at, 'config'), '[core]\n\tfsmonitor = evil\n'),
    'its configuration, with the times of before': (at) => {
      const { atime, mtime } = statSync(join(at, 'config'));
      writeFileSync(join(at, 'config'), '[evil]');
      utimesSync(join(at, 'config'), atime, mtime);
    },
    'a link in it': (at) => {
      rmSync(join(at, 'objects'));
      symlinkSync('/elsewhere', join(at, 'objects'));
    },
    'an entry more': (at) => mkdirSync(join(at, 'hooks')),
    'its rights': (at) => chmodSync(at, 0o777),
    'the folder, for another one': (at) => {
      renameSync(at, `${at}-away`);
      mkdirSync(at);
      writeFileSync(join(at, 'config'), '');
    },
    'all of it, which is gone': (at) => rmSync(join(at, '..'), { recursive: true }),
  };
  test.each(Object.entries(changes))('is not used again after somebody has changed %s', async (_what, change) => {
    const { use } = keeping();
    const first = await use();
    change(first.directories.commonDirectory);
    const second = await use();
    expect(second.folder).not.toBe(first.folder);
    expect(readFileSync(join(second.directories.commonDirectory, 'config'), 'utf8')).toBe('[core]\n');
    expect(readdirSync(second.directories.commonDirectory).sort()).toEqual(
      ['config', 'info', 'objects', 'packed-refs', 'refs'].sort(),
    );
    await waitUntil(() => !existsSync(first.folder), 'the changed one to be removed');
  });

  test('is in a new folder of ours when somebody has removed the one that all are in, and put in its place what is not ours', async () => {
    const { use, temporary, found, lend } = keeping();
    const first = await use();
    const [home = ''] = temporary.homes();
    renameSync(home, join(temporary.path, 'away'));
    mkdirSync(home, { mode: 0o777 });
    const second = await lend();
    expect(second.folder.startsWith(`${home}/`)).toBe(false);
    expect(existsSync(second.directories.commonDirectory)).toBe(true);
    expect(second.directories.commonDirectory).not.toBe(first.directories.commonDirectory);
    expect(found.commonDirectory).not.toBe(second.directories.commonDirectory);
  });

  test('is bounded: with the seventeenth the one that was not asked for longest is removed, but not while it is in use', async () => {
    const { use, lend, kept } = keeping();
    const held = await lend('[held]\n');
    const idle = await use('[idle]\n');
    const again = await use('[again]\n');
    for (let index = 0; index < 14; index++) {
      await use(`[c${index}]\n`);
      await use('[again]\n');
    }
    expect(kept.count).toBe(16);
    await waitUntil(() => existsSync(again.folder) && existsSync(held.folder), 'both to be there');
    await use('[c14]\n');
    await waitUntil(() => !existsSync(idle.folder), 'the idle one to be removed');
    expect(existsSync(held.folder)).toBe(true);
    await held.giveBack();
    await waitUntil(() => !existsSync(held.folder), 'the one that was held to be removed');
    expect(existsSync(again.folder)).toBe(true);
  });

  test('is bounded in bytes', async () => {
    const { use, kept } = keeping();
    for (let index = 0; index < 6; index++) {
      await use(`# ${String(index).repeat(1_000_000)}\n`);
    }
    expect(kept.count).toBe(4);
  });

  test('goes when nobody asks', async () => {
    const { use, kept, temporary } = keeping({ unusedMs: 5 });
    await use();
    await waitUntil(() => kept.count === 0 && temporary.kept().length === 0, 'it to be removed');
  });
});

testOnLinux(
  'what a daemon has left that was killed is taken away by the next one, and nothing else is',
  {},
  async () => {
    const { path: TMPDIR, homes, kept } = temporaryFolder();
    const path = repository(join(scratchFolder(), 'w'));
    const ask = async (started: Awaited<ReturnType<typeof startDaemon>>) => {
      await using client = await connectTo(started);
      expect(await client.request('git.list_branches', { path })).toEqual({ isRepo: true, branches: ['main'] });
    };
    await using living = await startDaemon({ profile: 'S', env: { TMPDIR } });
    await ask(living);
    const ofTheLiving = homes();
    {
      await using killed = await startDaemon({ profile: 'S', env: { TMPDIR } });
      await ask(killed);
      await killed.kill();
    }
    expect(homes()).toHaveLength(2);
    expect(kept()).toHaveLength(2);
    const [name = ''] = readdirSync(TMPDIR).filter((each) => !ofTheLiving.includes(join(TMPDIR, each)));
    // Of another boot or container; not a name of ours; open to others.
    const others = [
      name.replace(/_\w{8}_(\w{8})_/, '_00000000_$1_'),
      'holdfast-git-1_x_y_z',
      name.replace(/\w{6}$/, 'zzzzzz'),
    ];
    for (const [index, each] of others.entries()) {
      mkdirSync(join(TMPDIR, each), { mode: index === 2 ? 0o755 : 0o700 });
    }
    await using next = await startDaemon({ profile: 'S', env: { TMPDIR } });
    await ask(next);
    await waitUntil(() => !existsSync(join(TMPDIR, name)), 'the folder of the killed one to be removed');
    expect(homes()).toEqual(expect.arrayContaining([...ofTheLiving, ...others.map((each) => join(TMPDIR, each))]));
    await next.stop();
    await living.stop();
    expect(homes().sort()).toEqual(others.map((each) => join(TMPDIR, each)).sort());
  },
);
