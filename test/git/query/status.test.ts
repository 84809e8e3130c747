import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { newGit, newGitFolder, testNeeding } from '../../support/needs.ts';
import { commit, daemon, git, repository, scratchFolder, standInForGit, withVariables, write } from '../support.ts';

const noRepository = '{"isRepo":false,"clean":false}';

/** A repository with a linked worktree inside it. */
function withWorktree(): { base: string; path: string; entry: string } {
  const base = repository(join(scratchFolder(), 'w'));
  const path = join(base, '.claude', 'worktrees', 's');
  git(base, 'worktree', 'add', '-q', '-b', 's', path);
  return { base, path, entry: join(base, '.git', 'worktrees', 's') };
}

describe('git.status of any repository (S)', () => {
  test('the first entry loses its leading space, the others keep it', async () => {
    const path = repository(join(scratchFolder(), 'w'));
    write(join(path, 'a1'));
    write(join(path, 'a2'));
    commit(path, 'more');
    appendFileSync(join(path, 'a1'), 'y');
    appendFileSync(join(path, 'a2'), 'y');
    expect(await daemon('S').call('git.status', { path })).toBe(
      '{"isRepo":true,"clean":false,"changes":["M a1"," M a2"]}',
    );
  });

  test('renames, quoted names and untracked folders read as git prints them', async () => {
    const path = repository(join(scratchFolder(), 'w'));
    git(path, 'mv', 'a.txt', 'b.txt');
    write(join(path, 'é.txt'));
    write(join(path, 'sub', 'c'));
    expect(await daemon('S').call('git.status', { path })).toBe(
      '{"isRepo":true,"clean":false,"changes":["R  a.txt -\\u003e b.txt","?? sub/","?? \\"\\\\303\\\\251.txt\\""]}',
    );
  });

  test('a bare repository and the inside of .git fail with the exit status', async () => {
    const folder = scratchFolder();
    git(folder, 'init', '-q', '--bare', 'bare.git');
    expect(await daemon('S').call('git.status', { path: join(folder, 'bare.git') })).toBe('-32603 exit status 128');
    repository(join(folder, 'w'));
    expect(await daemon('S').call('git.status', { path: join(folder, 'w', '.git') })).toBe('-32603 exit status 128');
  });

  test('a plain folder and a missing one are no repository', async () => {
    const folder = scratchFolder();
    expect(await daemon('S').call('git.status', { path: folder })).toBe(noRepository);
    expect(await daemon('S').call('git.status', { path: join(folder, 'missing') })).toBe(noRepository);
  });

  test('changes inside a submodule are seen', async () => {
    const folder = scratchFolder();
    const inner = repository(join(folder, 'inner'));
    const path = repository(join(folder, 'w'));
    git(path, '-c', 'protocol.file.allow=always', 'submodule', 'add', '-q', inner, 'sub');
    commit(path, 'sub');
    expect(await daemon('S').call('git.status', { path })).toBe('{"isRepo":true,"clean":true}');
    appendFileSync(join(path, 'sub', 'a.txt'), 'y');
    expect(await daemon('S').call('git.status', { path })).toBe('{"isRepo":true,"clean":false,"changes":["M sub"]}');
  });
});

describe.each(['current', 'next'] as const)('git.status of a session worktree (%s)', (profile) => {
  test('every entry is verbatim, the first one too, and untracked files are listed one by one', async () => {
    const { base, path } = withWorktree();
    appendFileSync(join(path, 'a.txt'), 'y');
    write(join(path, 'sub', 'u'));
    write(join(path, 'sub', 'v'));
    expect(await daemon(profile).call('git.status', { path, baseRepo: base })).toBe(
      '{"isRepo":true,"clean":false,"changes":[" M a.txt","?? sub/u","?? sub/v"]}',
    );
  });

  test('without baseRepo the request is refused', async () => {
    const { path } = withWorktree();
    expect(await daemon(profile).call('git.status', { path })).toBe('-32602 baseRepo is required');
    expect(await daemon(profile).call('git.status', { path, baseRepo: '' })).toBe('-32602 baseRepo is required');
  });

  test('only a linked worktree of the named repository is answered for', async () => {
    const { base, path } = withWorktree();
    const folder = scratchFolder();
    const other = repository(join(folder, 'other'));
    git(other, 'worktree', 'add', '-q', '-b', 'o', join(folder, 'foreign'));
    mkdirSync(join(path, 'sub'));
    const ask = (asked: string, baseRepo: string) => daemon(profile).call('git.status', { path: asked, baseRepo });
    expect(await ask(base, base)).toBe(noRepository);
    expect(await ask(join(path, 'sub'), base)).toBe(noRepository);
    expect(await ask(path, other)).toBe(noRepository);
    expect(await ask(join(folder, 'foreign'), base)).toBe(noRepository);
    expect(await ask(join(folder, 'gone'), base)).toBe(noRepository);
    expect(await ask(path, path)).toBe(noRepository);
    expect(await ask(path, join(folder, 'gone'))).toBe(noRepository);
    expect(await ask(path, base)).toBe('{"isRepo":true,"clean":true}');
  });

  test('a locked worktree and one outside the repository, also through a link, are answered for', async () => {
    const folder = scratchFolder();
    const base = repository(join(folder, 'w'));
    const path = join(folder, 'outside');
    git(base, 'worktree', 'add', '-q', '-b', 's', path);
    git(base, 'worktree', 'lock', path);
    symlinkSync(folder, join(folder, 'link'));
    expect(await daemon(profile).call('git.status', { path, baseRepo: base })).toBe('{"isRepo":true,"clean":true}');
    expect(await daemon(profile).call('git.status', { path: join(folder, 'link', 'outside'), baseRepo: base })).toBe(
      '{"isRepo":true,"clean":true}',
    );
  });

  test('inside the repository neither a link nor .. on the way is accepted', async () => {
    const { base, path } = withWorktree();
    renameSync(path, join(base, 'moved'));
    symlinkSync(join(base, 'moved'), path);
    expect(await daemon(profile).call('git.status', { path, baseRepo: base })).toBe(noRepository);
    expect(
      await daemon(profile).call('git.status', { path: join(base, 'x').concat('/../moved'), baseRepo: base }),
    ).toBe(noRepository);
  });

  test('what the .git file of the worktree says does not count', async () => {
    const { base, path } = withWorktree();
    const evil = repository(join(scratchFolder(), 'evil'));
    writeFileSync(join(path, '.git'), `gitdir: ${join(evil, '.git')}\n`);
    expect(await daemon(profile).call('git.status', { path, baseRepo: base })).toBe('{"isRepo":true,"clean":true}');
  });

  test.each([
    ['a commondir that leads elsewhere', 'commondir', (file: string) => writeFileSync(file, '../../..\n')],
    ['a HEAD that is no HEAD', 'HEAD', (file: string) => writeFileSync(file, 'ref: /etc/passwd\n')],
    ['an index that is a folder', 'index', (file: string) => mkdirSync(file)],
    ['a gitdir record that is a FIFO', 'gitdir', makeFifo],
    ['more settings than sparse checkout', 'config.worktree', (file: string) => writeFileSync(file, '[core]\nbare\n')],
    ['settings that cannot be read', 'config.worktree', (file: string) => writeFileSync(file, '[core\n')],
  ])('an entry with %s is no worktree', async (_what, name, damage) => {
    const { base, path, entry } = withWorktree();
    rmSync(join(entry, name), { force: true });
    damage(join(entry, name));
    expect(await daemon(profile).call('git.status', { path, baseRepo: base })).toBe(noRepository);
  });

  test.each([
    ['no list of tables', () => {}],
    ['a list of tables that is a FIFO', (folder: string) => makeFifo(join(folder, 'tables.list'))],
    ['an empty list', (folder: string) => write(join(folder, 'tables.list'), '')],
    ['a list that names none that is there', (folder: string) => write(join(folder, 'tables.list'), 'x.ref\n')],
    [
      'a table that is a link',
      (folder: string) => {
        write(join(folder, 'tables.list'), 'x.ref\n');
        symlinkSync('tables.list', join(folder, 'x.ref'));
      },
    ],
    ['a table that lies elsewhere', (folder: string) => write(join(folder, 'tables.list'), '../HEAD\n')],
  ])('an entry whose refs are in tables, with %s, is no worktree', async (_what, damage) => {
    const { base, path, entry } = withWorktree();
    mkdirSync(join(entry, 'reftable'));
    damage(join(entry, 'reftable'));
    expect(await daemon(profile).call('git.status', { path, baseRepo: base })).toBe(noRepository);
  });

  testNeeding(newGit)('a worktree of a repository whose refs are in tables is answered for', {}, async () => {
    const path = process.env.PATH;
    process.env.PATH = `${newGitFolder}:${path}`;
    onTestFinished(() => {
      process.env.PATH = path;
    });
    const base = join(scratchFolder(), 'w');
    git(join(base, '..'), 'init', '-q', '--ref-format=reftable', base);
    write(join(base, 'a.txt'));
    commit(base, 'first');
    git(base, 'worktree', 'add', '-q', '-b', 's', join(base, 's'));
    const tables = join(base, '.git', 'worktrees', 's', 'reftable');
    const ask = () => daemon(profile).call('git.status', { path: join(base, 's'), baseRepo: base });
    expect(await ask()).toBe('{"isRepo":true,"clean":true}');
    const [list = ''] = readFileSync(join(tables, 'tables.list'), 'utf8').split('\n');
    rmSync(join(tables, list));
    expect(await ask()).toBe(noRepository);
  });

  test('a sparse checkout is answered for', async () => {
    const { base, path } = withWorktree();
    write(join(path, 'dir', 'b'));
    commit(path, 'dir');
    git(path, 'sparse-checkout', 'set', '--cone', 'none');
    expect(await daemon(profile).call('git.status', { path, baseRepo: base })).toBe('{"isRepo":true,"clean":true}');
  });

  test('a worktree whose index is split over two files is answered for', async () => {
    const { base, path } = withWorktree();
    git(path, 'update-index', '--split-index');
    write(join(path, 'b.txt'));
    expect(await daemon(profile).call('git.status', { path, baseRepo: base })).toBe(
      '{"isRepo":true,"clean":false,"changes":["?? b.txt"]}',
    );
  });

  test('two entries that name the same folder leave it undecided', async () => {
    const { base, path, entry } = withWorktree();
    git(base, 'worktree', 'add', '-q', '-b', 't', join(base, 't'));
    writeFileSync(join(base, '.git', 'worktrees', 't', 'gitdir'), readFileSync(join(entry, 'gitdir')));
    expect(await daemon(profile).call('git.status', { path, baseRepo: base })).toBe(noRepository);
  });

  test("the worktree's index is neither refreshed nor in need of its lock, and nothing of ours is left behind", async () => {
    const { base, path, entry } = withWorktree();
    // The content is the same and the time is new, so a plain status would refresh the index now.
    writeFileSync(join(path, 'a.txt'), 'x\n');
    write(join(entry, 'index.lock'), '');
    const index = join(entry, 'index');
    const before = { bytes: readFileSync(index), status: lstatSync(index, { bigint: true }) };
    const temporary = scratchFolder();
    withVariables({ TMPDIR: temporary });
    const { call, end } = daemon(profile);
    expect(await call('git.status', { path, baseRepo: base })).toBe('{"isRepo":true,"clean":true}');
    expect(readFileSync(index)).toEqual(before.bytes);
    expect(lstatSync(index, { bigint: true }).mtimeNs).toBe(before.status.mtimeNs);
    expect(lstatSync(index, { bigint: true }).ino).toBe(before.status.ino);
    await end();
    expect(readdirSync(temporary)).toEqual([]);
  });

  test('a change of the same size and in the same moment as the checkout is not missed', async () => {
    for (let round = 0; round < 5; round++) {
      const { base, path } = withWorktree();
      writeFileSync(join(path, 'a.txt'), 'y\n');
      expect(await daemon(profile).call('git.status', { path, baseRepo: base })).toBe(
        '{"isRepo":true,"clean":false,"changes":[" M a.txt"]}',
      );
    }
  });

  test('a repository inside a managed folder is none, whatever marks it', async () => {
    const folder = scratchFolder();
    const marked = join(folder, 'marked');
    write(join(marked, '.claude-managed-worktrees'), '');
    for (const base of [join(folder, '.claude', 'worktrees', 'r'), join(marked, 'r')]) {
      repository(base);
      git(base, 'worktree', 'add', '-q', '-b', 's', join(folder, `${base.length}`));
      expect(await daemon(profile).call('git.status', { path: join(folder, `${base.length}`), baseRepo: base })).toBe(
        noRepository,
      );
    }
  });

  test('a status that fails is reported with how it ended', async () => {
    const { base, path } = withWorktree();
    const folder = scratchFolder();
    standInForGit(folder, 'for word; do [ "$word" = status ] && exit 7; done; exec "$GIT" "$@"');
    expect(await daemon(profile).call('git.status', { path, baseRepo: base })).toBe('-32603 exit status 7');
  });
});

test('a temporary directory that has been removed since the start costs nobody an answer, nor what the user ignores', async () => {
  const { base, path } = withWorktree();
  const HOME = scratchFolder();
  write(join(HOME, '.config', 'git', 'ignore'), '*.mine\n');
  write(join(path, 'ignored.mine'));
  withVariables({ HOME, XDG_CONFIG_HOME: join(HOME, '.config'), TMPDIR: join(base, 'no-such-folder') });
  const runDirectory = scratchFolder();
  const socketPath = join(runDirectory, 'rpc.sock');
  for (const profile of ['S', 'current', 'next'] as const) {
    const { call, end } = daemon(profile, { socketPath });
    expect(await call('git.status', { path, baseRepo: base })).toBe('{"isRepo":true,"clean":true}');
    await end();
  }
  expect(readdirSync(runDirectory)).toEqual([]);
});

test('when no temporary folder can be made anywhere, it is reported as the system says it', async () => {
  const { base, path } = withWorktree();
  withVariables({ TMPDIR: join(base, 'no-such-folder') });
  const socketPath = join(base, 'nor-this-one', 'rpc.sock');
  expect(await daemon('current', { socketPath }).call('git.status', { path, baseRepo: base })).toMatch(
    /^-32603 mkdtemp .*no-such-folder\/holdfast-git-\w+: no such file or directory$/,
  );
});

describe('git.status in the later generation', () => {
  test('submodules are named and never looked into', async () => {
    const { base, path } = withWorktree();
    const inner = repository(join(scratchFolder(), 'inner'));
    git(path, '-c', 'protocol.file.allow=always', 'submodule', 'add', '-q', inner, 'sub');
    git(path, 'rm', '-q', '--cached', '.gitmodules');
    write(join(path, 'sub', 'untracked'));
    expect(await daemon('next').call('git.status', { path, baseRepo: base })).toBe(
      '{"isRepo":true,"clean":false,"changes":["?? .gitmodules",' +
        '" S \\"sub\\" (submodule present; contents not inspected)",' +
        '" S \\"sub\\" (submodule change staged; contents not inspected)"]}',
    );
    expect(await daemon('current').call('git.status', { path, baseRepo: base })).toBe(
      '{"isRepo":true,"clean":false,"changes":["?? .gitmodules"]}',
    );
  });

  test('more than a hundred submodules are counted, and a long name is cut at a character', async () => {
    const { base, path } = withWorktree();
    const id = git(path, 'rev-parse', 'HEAD');
    for (let index = 0; index < 101; index++) {
      git(path, 'update-index', '--add', '--cacheinfo', `160000,${id},m${String(index).padStart(3, '0')}`);
    }
    git(path, 'update-index', '--add', '--cacheinfo', `160000,${id},${'é'.repeat(101)}`);
    const { changes } = (await daemon('next').ask('git.status', { path, baseRepo: base })) as { changes: string[] };
    const submodules = changes.filter((entry) => entry.startsWith(' S '));
    expect(submodules).toHaveLength(101);
    expect(submodules[0]).toBe(' S "m000" (submodule change staged; contents not inspected)');
    expect(submodules[100]).toBe(' S … (+2 more submodule entries)');
    git(
      path,
      'rm',
      '-q',
      '--cached',
      '-r',
      '-f',
      ...Array.from({ length: 101 }, (_, index) => `m${String(index).padStart(3, '0')}`),
    );
    const cut = (await daemon('next').ask('git.status', { path, baseRepo: base })) as { changes: string[] };
    expect(cut.changes.at(-1)).toBe(` S "${'é'.repeat(100)}…" (submodule change staged; contents not inspected)`);
  });

  test('at most 10000 lines of at most 512 bytes are answered', async () => {
    const { base, path } = withWorktree();
    const deep = `${'d'.repeat(200)}/${'e'.repeat(200)}/${'f'.repeat(200)}`;
    write(join(path, deep));
    for (let index = 0; index < 10_001; index++) {
      writeFileSync(join(path, `z${index}`), '');
    }
    const { changes } = (await daemon('next').ask('git.status', { path, baseRepo: base })) as { changes: string[] };
    expect(changes).toHaveLength(10_000);
    expect(changes[0]).toBe(`${`?? ${deep}`.slice(0, 512)}…`);
  });

  test('a repository whose git directory cannot be trusted is refused with the reason', async () => {
    const { base, path } = withWorktree();
    writeFileSync(join(base, '.git', 'commondir'), '/elsewhere\n');
    expect(await daemon('next').call('git.status', { path, baseRepo: base })).toMatch(
      /^-32603 the repository's git directory could not be trusted; git not run: commondir not as git writes it: /,
    );
  });
});

function makeFifo(path: string): void {
  execFileSync('mkfifo', [path]);
}
