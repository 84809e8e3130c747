/**
 * What git writes when a worktree comes and goes: registration, branch, log and settings are where plain git puts them, and
 * no link in the repository leads a write elsewhere.
 */
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { commit, daemon, git, repository, scratchFolder, standInForGit, withVariables, write } from '../support.ts';

const profiles = ['S', 'current', 'next'] as const;

function base(): { folder: string; baseRepo: string; worktreePath: string } {
  const folder = scratchFolder();
  const baseRepo = repository(join(folder, 'w'));
  return { folder, baseRepo, worktreePath: join(baseRepo, '.claude', 'worktrees', 's') };
}

describe.each(profiles)('profile %s', (profile) => {
  const create = (baseRepo: string, worktreePath: string, branchName = 'b') =>
    daemon(profile).ask('git.worktree_create', { baseRepo, branchName, worktreePath });
  const remove = (baseRepo: string, worktreePath: string, branchName = 'b') =>
    daemon(profile).ask('git.worktree_remove', { baseRepo, worktreePath, branchName });

  test('a new worktree is recorded as plain git records it, and leaves with all its records', async () => {
    const { folder, baseRepo, worktreePath } = base();
    const plain = repository(join(folder, 'plain'));
    git(plain, 'worktree', 'add', '-q', '-b', 'b', join(plain, '.claude', 'worktrees', 's'));
    expect(await create(baseRepo, worktreePath)).toMatchObject({ success: true });
    const listed = (path: string) => execFileSync('find', ['.git/worktrees', '.git/logs', '.git/refs'], { cwd: path });
    const names = (path: string) =>
      listed(path)
        .toString()
        .split('\n')
        // Where the files are checked out in a step of its own, no ORIG_HEAD is made.
        .filter((name) => !/ORIG_HEAD|\/refs$|logs\/HEAD$/.test(name))
        .sort();
    expect(names(baseRepo)).toEqual(names(plain));
    for (const file of ['gitdir', 'commondir', 'HEAD']) {
      const at = join('.git', 'worktrees', 's', file);
      expect(readFileSync(join(baseRepo, at), 'utf8').replaceAll(baseRepo, plain)).toBe(
        readFileSync(join(plain, at), 'utf8'),
      );
    }
    expect(readFileSync(join(worktreePath, '.git'), 'utf8')).toBe(`gitdir: ${baseRepo}/.git/worktrees/s\n`);
    expect(git(baseRepo, 'reflog', 'show', 'b')).toContain('branch: Created from');
    expect(git(baseRepo, 'fsck')).toBe('');

    expect(await remove(baseRepo, worktreePath)).toMatchObject({ success: true });
    expect(git(baseRepo, 'worktree', 'list').split('\n')).toHaveLength(1);
    expect(existsSync(join(baseRepo, '.git', 'logs', 'refs', 'heads', 'b'))).toBe(false);
    expect(git(baseRepo, 'branch', '--list', 'b')).toBe('');
    expect(await create(baseRepo, worktreePath)).toMatchObject({ success: true });
  });

  test('a packed branch is deleted as well, and the others stay packed', async () => {
    const { baseRepo, worktreePath } = base();
    git(baseRepo, 'branch', 'other');
    await create(baseRepo, worktreePath);
    git(baseRepo, 'pack-refs', '--all');
    await remove(baseRepo, worktreePath);
    expect(git(baseRepo, 'for-each-ref', '--format=%(refname)')).toBe('refs/heads/main\nrefs/heads/other');
    expect(lstatSync(join(baseRepo, '.git', 'packed-refs')).isFile()).toBe(true);
    expect(existsSync(join(baseRepo, '.git', 'packed-refs.lock'))).toBe(false);
  });

  test.each([
    ['the log of the branch', 'logs/refs/heads/b', 'file'],
    ['the folder of the logs', 'logs/refs/heads', 'folder'],
    ['all logs', 'logs', 'folder'],
  ] as const)('%s being a link gets nothing written outside', async (_what, name, kind) => {
    const { folder, baseRepo, worktreePath } = base();
    const outside = join(folder, 'outside');
    if (kind === 'file') {
      write(outside, 'mine\n');
    } else {
      mkdirSync(outside);
    }
    const link = join(baseRepo, '.git', name);
    rmSync(link, { recursive: true, force: true });
    mkdirSync(join(link, '..'), { recursive: true });
    symlinkSync(outside, link);
    expect(await create(baseRepo, worktreePath)).toMatchObject({ success: true });
    expect(await remove(baseRepo, worktreePath)).toMatchObject({ success: true });
    if (kind === 'file') {
      expect(readFileSync(outside, 'utf8')).toBe('mine\n');
    } else {
      expect(readdirSync(outside)).toEqual([]);
    }
    // The trap would have worked: plain git writes there.
    if (lstatSync(link, { throwIfNoEntry: false }) === undefined) {
      symlinkSync(outside, link);
    }
    git(baseRepo, 'branch', 'b');
    expect(kind === 'file' ? readFileSync(outside, 'utf8') : readdirSync(outside).join()).not.toBe(
      kind === 'file' ? 'mine\n' : '',
    );
  });

  test('a list of packed refs that is a link gets nothing overwritten outside', async () => {
    const { folder, baseRepo, worktreePath } = base();
    await create(baseRepo, worktreePath);
    git(baseRepo, 'pack-refs', '--all');
    const outside = join(folder, 'outside');
    const packed = join(baseRepo, '.git', 'packed-refs');
    renameSync(packed, outside);
    symlinkSync(outside, packed);
    const before = readFileSync(outside, 'utf8');
    await remove(baseRepo, worktreePath);
    expect(readFileSync(outside, 'utf8')).toBe(before);
    expect(readdirSync(folder).filter((name) => name.startsWith('outside'))).toEqual(['outside']);
  });

  test.each(['refs/heads', 'refs/heads/dir', 'worktrees'])('%s being a link is refused by its name', async (name) => {
    const { folder, baseRepo, worktreePath } = base();
    const outside = join(folder, 'outside');
    const link = join(baseRepo, '.git', name);
    if (existsSync(link)) {
      renameSync(link, outside);
    } else {
      mkdirSync(outside);
    }
    symlinkSync(outside, link);
    const before = readdirSync(outside);
    const reply = await create(baseRepo, worktreePath, 'dir/b');
    expect(reply).toMatchObject({ success: false, errorCode: 'worktree_add_failed' });
    expect(reply.error).toContain(`${link} is a symbolic link`);
    expect(readdirSync(outside)).toEqual(before);
    expect(existsSync(worktreePath)).toBe(false);
  });

  test('what the user lets git set for a new branch is set in the repository, and goes with the branch', async () => {
    const { baseRepo, worktreePath } = base();
    git(baseRepo, 'branch', 'other');
    git(baseRepo, 'config', 'branch.other.remote', 'kept');
    withVariables({ HOME: scratchFolder() });
    git(baseRepo, 'config', '--global', 'branch.autoSetupMerge', 'always');
    await create(baseRepo, worktreePath);
    const settings = () => git(baseRepo, 'config', '--local', '--list');
    if (profile === 'S') {
      expect(settings()).toContain('branch.b.merge=refs/heads/main');
    }
    await remove(baseRepo, worktreePath);
    if (profile === 'S' || profile === 'current') {
      expect(settings()).not.toContain('branch.b.');
    }
    expect(settings()).toContain('branch.other.remote=kept');
    expect(readdirSync(join(baseRepo, '.git')).filter((name) => name.endsWith('.lock'))).toEqual([]);
  });

  test('a worktree of a sparse repository is sparse, clean, and shows a change', async () => {
    const { baseRepo, worktreePath } = base();
    write(join(baseRepo, 'in', 'a.txt'));
    write(join(baseRepo, 'out', 'b.txt'));
    commit(baseRepo, 'folders');
    git(baseRepo, 'sparse-checkout', 'set', 'in');
    expect(await create(baseRepo, worktreePath)).toMatchObject({ success: true });
    expect(existsSync(join(worktreePath, 'in', 'a.txt'))).toBe(true);
    expect(existsSync(join(worktreePath, 'out'))).toBe(false);
    expect(git(worktreePath, 'status', '--porcelain')).toBe('');
    const status = () => daemon(profile).ask('git.status', { path: worktreePath, baseRepo });
    expect(await status()).toEqual({ isRepo: true, clean: true });
    writeFileSync(join(worktreePath, 'in', 'a.txt'), 'changed\n');
    expect((await status()).changes).toEqual([profile === 'S' ? 'M in/a.txt' : ' M in/a.txt']);
  });

  test('a git that is killed or cannot be started has nothing deleted', async () => {
    const { folder, baseRepo, worktreePath } = base();
    await create(baseRepo, worktreePath);
    write(join(worktreePath, 'unsaved.txt'));
    git(baseRepo, 'worktree', 'lock', worktreePath);
    standInForGit(folder, 'kill -9 $$');
    expect(await remove(baseRepo, worktreePath)).toMatchObject({ success: false });
    expect(readFileSync(join(worktreePath, 'unsaved.txt'), 'utf8')).toBe('x\n');
    const empty = join(folder, 'empty');
    mkdirSync(empty);
    withVariables({ PATH: empty });
    expect(await remove(baseRepo, worktreePath)).toMatchObject({ success: false });
    expect(readFileSync(join(worktreePath, 'unsaved.txt'), 'utf8')).toBe('x\n');
    expect(readdirSync(join(worktreePath, '..'))).toEqual(['s']);
  });

  test('a removal from inside the worktree works', async () => {
    const { baseRepo } = base();
    const worktreePath = join(baseRepo, '..', 'aside');
    git(baseRepo, 'worktree', 'add', '-q', '-b', 'b', worktreePath);
    const reply = await daemon(profile).ask('git.worktree_remove', { baseRepo: worktreePath, worktreePath });
    if (profile === 'S') {
      expect(reply).toEqual({ success: true });
      expect(existsSync(worktreePath)).toBe(false);
      expect(git(baseRepo, 'worktree', 'list').split('\n')).toHaveLength(1);
    } else {
      expect(reply).toMatchObject({ success: false });
    }
  });
});

describe('what is looked at in a repository', () => {
  test('an index of 8 TB on paper is refused with the number, not read', async () => {
    const { baseRepo } = base();
    truncateSync(join(baseRepo, '.git', 'index'), 8 * 2 ** 40);
    const s = daemon('S');
    expect(await s.call('git.status', { path: baseRepo })).toBe(
      `-32603 git not run: ${baseRepo}/.git/index is larger than 1073741824 bytes, the most that is read of an index; make it anew (git read-tree HEAD)`,
    );
    expect(s.services.counters.gitLimitsReached).toBe(1);
  });

  test('more registrations than are looked at are refused with the number, and nothing is deleted', async () => {
    const { baseRepo, worktreePath } = base();
    git(baseRepo, 'worktree', 'add', '-q', '-b', 'b', worktreePath);
    for (let number = 0; number < 10_000; number++) {
      mkdirSync(join(baseRepo, '.git', 'worktrees', `e${number}`));
    }
    for (const profile of profiles) {
      const { ask, services, warnings } = daemon(profile);
      expect(await ask('git.worktree_remove', { baseRepo, worktreePath, branchName: 'b' })).toMatchObject({
        success: false,
      });
      expect(existsSync(join(worktreePath, 'a.txt'))).toBe(true);
      expect(services.counters.gitLimitsReached, profile).toBe(1);
      expect(warnings.join()).toContain('more than 10000 entries');
      const other = join(worktreePath, '..', 'c');
      expect(await ask('git.worktree_create', { baseRepo, branchName: 'c', worktreePath: other })).toMatchObject({
        success: false,
        error: expect.stringContaining('more than 10000 entries'),
      });
      expect(existsSync(other)).toBe(false);
    }
  });

  test.each(profiles)('a configuration with too many settings is refused by every method (%s)', async (profile) => {
    const { baseRepo, worktreePath } = base();
    git(baseRepo, 'worktree', 'add', '-q', '-b', 's', worktreePath);
    appendFileSync(join(baseRepo, '.git', 'config'), `[x]\n${'\ty = 1\n'.repeat(10_000)}`);
    const refusal = `git not run: ${baseRepo}/.git/config has more than 10000 settings, the most that are read; remove what is not needed from it`;
    const { call, ask } = daemon(profile);
    for (const method of ['git.info', 'git.list_branches', 'git.status']) {
      expect(await call(method, { path: baseRepo, baseRepo }), method).toBe(`-32603 ${refusal}`);
    }
    const other = join(worktreePath, '..', 'c');
    expect(await ask('git.worktree_create', { baseRepo, branchName: 'c', worktreePath: other })).toMatchObject({
      error: refusal,
      errorCode: 'worktree_add_failed',
    });
    const removed = await ask('git.worktree_remove', { baseRepo, worktreePath });
    expect(removed).toMatchObject({ success: false });
    expect(existsSync(join(worktreePath, 'a.txt'))).toBe(true);
  });

  test.each(profiles)('files come from the work tree that was found, not from core.worktree (%s)', async (profile) => {
    const { folder, baseRepo, worktreePath } = base();
    const elsewhere = join(folder, 'home');
    write(join(elsewhere, '.claude', 'credentials'), 'secret\n');
    write(join(elsewhere, 'secret.env'), 'secret\n');
    write(join(elsewhere, '.worktreeinclude'), '*\n');
    write(join(baseRepo, '.git', 'info', 'exclude'), '*.env\n.claude\n');
    git(baseRepo, 'config', 'core.worktree', elsewhere);
    const reply = await daemon(profile).ask('git.worktree_create', { baseRepo, branchName: 'b', worktreePath });
    expect(reply).toMatchObject({ success: true });
    expect(readdirSync(worktreePath).sort()).toEqual(['.git', 'a.txt']);
  });
});
