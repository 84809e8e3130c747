import {
  chmodSync,
  chownSync,
  existsSync,
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
import { describe, expect, test } from 'vitest';
import type { ProfileName } from '../../../src/wire/profile.ts';
import { root, testNeeding } from '../../support/needs.ts';
import { daemon, git, repository, scratchFolder, withVariables, write } from '../support.ts';

/** A repository, and beside it a place for its worktrees that does not exist yet. */
function place(): { folder: string; baseRepo: string; worktreeRoot: string; worktreePath: string } {
  const folder = scratchFolder();
  chmodSync(folder, 0o755);
  const worktreeRoot = join(folder, 'ext');
  return { folder, baseRepo: repository(join(folder, 'w')), worktreeRoot, worktreePath: join(worktreeRoot, 'p', 's') };
}

describe.each(['current', 'next'] as const)('worktrees outside their repository (%s)', (profile) => {
  const create = (params: object) => daemon(profile).ask('git.worktree_create', { branchName: 's', ...params });
  const remove = (params: object) => daemon(profile).ask('git.worktree_remove', params);
  const refused = async (params: object) => {
    const reply = await create(params);
    expect(reply).toMatchObject({ success: false, errorCode: 'unsafe_path' });
    return String(reply.error);
  };

  test('missing folders are made private and marked, the worktree is complete, and goes again', async () => {
    const { baseRepo, worktreeRoot, worktreePath } = place();
    expect(await create({ baseRepo, worktreeRoot, worktreePath })).toMatchObject({ success: true, path: worktreePath });
    expect(git(worktreePath, 'status', '--porcelain', '--branch')).toBe('## s');
    expect(lstatSync(worktreeRoot).mode & 0o777).toBe(0o700);
    expect(lstatSync(join(worktreeRoot, 'p')).mode & 0o777).toBe(0o700);
    expect(readFileSync(join(worktreeRoot, 'p', '.claude-managed-worktrees'), 'utf8')).toMatch(
      /^This directory holds git worktrees that a remote session daemon created for its sessions\.\n/,
    );
    const second = join(worktreeRoot, 'p', 't');
    expect(await create({ baseRepo, worktreeRoot, worktreePath: second, branchName: 't' })).toMatchObject({
      success: true,
    });
    writeFileSync(join(worktreePath, 'a.txt'), 'dirty');
    expect(await remove({ baseRepo, worktreeRoot, worktreePath })).toEqual({ success: true });
    expect(readdirSync(join(worktreeRoot, 'p')).sort()).toEqual(['.claude-managed-worktrees', 't']);
    expect(git(baseRepo, 'worktree', 'list').split('\n')).toHaveLength(2);
  });

  test('a repository below a marked folder is no place to work from', async () => {
    const { baseRepo, worktreeRoot, worktreePath } = place();
    await create({ baseRepo, worktreeRoot, worktreePath });
    const reply = await create({ baseRepo: worktreePath, worktreePath: join(worktreePath, 'x') });
    expect(reply).toMatchObject({ errorCode: 'nested_base_repo' });
  });

  test('root and path are absolute, free of .., and two levels apart', async () => {
    const { baseRepo, worktreeRoot: r } = place();
    const p = join(r, 'p', 's');
    const rootAdvice = 'choose the worktree location by its absolute path, without ".."';
    const pathAdvice = 'choose the session folder by its absolute path, without ".."';
    const at = (worktreeRoot: string, worktreePath: string) => refused({ baseRepo, worktreeRoot, worktreePath });
    expect(await at('ext', p)).toBe(`refusing to create worktree: ext is a relative path; ${rootAdvice}`);
    expect(await at(`${r}/../ext`, p)).toBe(
      `refusing to create worktree: ${r}/../ext contains a ".." component; ${rootAdvice}`,
    );
    expect(await at(r, 'p/s')).toBe(`refusing to create worktree: p/s is a relative path; ${pathAdvice}`);
    expect(await at(r, `${r}/p/../s`)).toBe(
      `refusing to create worktree: ${r}/p/../s contains a ".." component; ${pathAdvice}`,
    );
    for (const wrong of [r, `${r}/s`, `${r}/a/b/c`, `${r}-/p/s`, `${baseRepo}/p/s`]) {
      expect(await at(r, wrong)).toBe(
        `refusing to create worktree: ${wrong} is not <worktree location>/<directory>/<name> beneath ${r}`,
      );
    }
    expect(await at('/', '/p/s')).toBe(
      'refusing to create worktree: / is a filesystem root; choose the worktree location by its absolute path, without "..", beneath the filesystem root',
    );
    expect(existsSync(r)).toBe(false);
  });

  test.each([
    [0o777, '0777'],
    [0o702, '0702'],
    [0o1777, '1777'],
  ])('a root that everybody may write (%o) is refused', async (mode, shown) => {
    const { baseRepo, worktreeRoot, worktreePath } = place();
    mkdirSync(worktreeRoot);
    chmodSync(worktreeRoot, mode);
    const text = await refused({ baseRepo, worktreeRoot, worktreePath });
    // The text names the group only where other users are in it.
    expect(text.replace('its group and ', '')).toBe(
      `refusing to create worktree: ${worktreeRoot} is writable by every user on this host (mode ${shown}); choose a directory only you can write to, or remove the extra write permission (chmod go-w)`,
    );
    expect(readdirSync(worktreeRoot)).toEqual([]);
  });

  testNeeding(root)('a root of another user, or one a foreign group may write, is refused', {}, async () => {
    const { baseRepo, worktreeRoot, worktreePath } = place();
    mkdirSync(worktreeRoot);
    chownSync(worktreeRoot, 0, 54_321);
    chmodSync(worktreeRoot, 0o770);
    expect(await refused({ baseRepo, worktreeRoot, worktreePath })).toContain('is writable by its group (mode 0770)');
    chmodSync(worktreeRoot, 0o777);
    expect(await refused({ baseRepo, worktreeRoot, worktreePath })).toContain(
      'is writable by its group and every user on this host (mode 0777)',
    );
    chownSync(worktreeRoot, 54_321, 0);
    chmodSync(worktreeRoot, 0o700);
    expect(await refused({ baseRepo, worktreeRoot, worktreePath })).toBe(
      `refusing to create worktree: ${worktreeRoot} is owned by uid 54321, not by you (uid 0); choose a directory you own`,
    );
  });

  test('the folder below the root is a real one, and empty or marked', async () => {
    const { folder, baseRepo, worktreeRoot, worktreePath } = place();
    mkdirSync(worktreeRoot, { mode: 0o700 });
    mkdirSync(join(folder, 'away'));
    symlinkSync(join(folder, 'away'), join(worktreeRoot, 'p'));
    expect(await refused({ baseRepo, worktreeRoot, worktreePath })).toBe(
      `refusing to create worktree: ${worktreeRoot}/p is a symbolic link; the directory under the worktree location must be a real directory`,
    );
    rmSync(join(worktreeRoot, 'p'));
    write(join(worktreeRoot, 'p', 'b'));
    write(join(worktreeRoot, 'p', 'a'));
    expect(await refused({ baseRepo, worktreeRoot, worktreePath })).toBe(
      `refusing to create worktree: ${worktreeRoot}/p already exists, is not marked as a worktree directory, and holds other files (for example "a"); a worktree directory must start out empty or carry the marker`,
    );
    write(join(worktreeRoot, 'p', '.claude-managed-worktrees'), '');
    mkdirSync(worktreePath);
    expect(await refused({ baseRepo, worktreeRoot, worktreePath })).toContain(
      's already exists, and a new worktree is only ever created in a fresh directory',
    );
    expect(readdirSync(join(folder, 'away'))).toEqual([]);
  });

  test('a file in the place of a folder is reported as such', async () => {
    const { baseRepo, worktreeRoot, worktreePath } = place();
    mkdirSync(worktreeRoot, { mode: 0o700 });
    write(join(worktreeRoot, 'p'));
    expect(await create({ baseRepo, worktreeRoot, worktreePath })).toMatchObject({
      error: `failed to create parent directory: ${worktreeRoot}/p is not a directory`,
      errorCode: 'mkdir_failed',
    });
  });

  describe('on removal', () => {
    const text = async (params: object) => {
      const reply = await remove(params);
      expect(reply.success).toBe(false);
      return reply.error;
    };

    test('only a worktree of this very repository is taken', async () => {
      const { folder, baseRepo, worktreeRoot, worktreePath } = place();
      const refusal = (reason: string) =>
        `refusing to remove worktree: ${worktreePath} is not a worktree of ${baseRepo} (${worktreePath}${reason}), so it is left in place; remove it by hand if it is a leftover`;
      write(join(worktreePath, 'keep'));
      expect(await text({ baseRepo, worktreeRoot, worktreePath })).toBe(refusal(' has no .git file'));
      mkdirSync(join(worktreePath, '.git'));
      expect(await text({ baseRepo, worktreeRoot, worktreePath })).toBe(refusal('/.git is not a regular file'));
      rmSync(join(worktreePath, '.git'), { recursive: true });
      write(join(worktreePath, '.git'), 'hello\n');
      expect(await text({ baseRepo, worktreeRoot, worktreePath })).toBe(refusal('/.git does not name a git dir'));
      git(baseRepo, 'worktree', 'add', '-q', '-b', 'o', join(folder, 'o'));
      write(join(worktreePath, '.git'), `gitdir: ${baseRepo}/.git/worktrees/o\n`);
      expect(await text({ baseRepo, worktreeRoot, worktreePath })).toBe(
        refusal(' carries a .git file naming an admin directory whose own record is of a different worktree'),
      );
      const other = repository(join(folder, 'other'));
      git(other, 'worktree', 'add', '-q', '-b', 'x', join(worktreeRoot, 'p', 'x'));
      expect(await text({ baseRepo, worktreeRoot, worktreePath: join(worktreeRoot, 'p', 'x') })).toContain(
        "carries a .git file that does not name this repository's own worktree admin directory",
      );
      expect(existsSync(join(worktreePath, 'keep'))).toBe(true);
      expect(existsSync(join(worktreeRoot, 'p', 'x', 'a.txt'))).toBe(true);
    });

    test('an empty folder, one that lost its .git file, and one that is gone are taken', async () => {
      const { baseRepo, worktreeRoot, worktreePath } = place();
      mkdirSync(worktreePath, { recursive: true });
      expect(await remove({ baseRepo, worktreeRoot, worktreePath })).toEqual({ success: true });
      await create({ baseRepo, worktreeRoot, worktreePath });
      rmSync(join(worktreePath, '.git'));
      expect(await remove({ baseRepo, worktreeRoot, worktreePath })).toEqual({ success: true });
      expect(existsSync(worktreePath)).toBe(false);
      await create({ baseRepo, worktreeRoot, worktreePath, branchName: 't' });
      rmSync(worktreePath, { recursive: true });
      expect(await remove({ baseRepo, worktreeRoot, worktreePath })).toEqual({ success: true });
      expect(git(baseRepo, 'worktree', 'list').split('\n')).toHaveLength(1);
    });

    test('a root that is not there keeps the registration', async () => {
      const { folder, baseRepo, worktreeRoot, worktreePath } = place();
      await create({ baseRepo, worktreeRoot, worktreePath });
      renameSync(worktreeRoot, join(folder, 'unmounted'));
      expect(await text({ baseRepo, worktreeRoot, worktreePath })).toBe(
        `failed to remove worktree: the worktree location ${worktreeRoot} is not reachable (${worktreeRoot} does not exist); nothing was removed — retry once it is available, or remove the worktree by hand`,
      );
      expect(git(baseRepo, 'worktree', 'list').split('\n')).toHaveLength(2);
    });

    test('a link in the place of the folder or the worktree is refused', async () => {
      const { folder, baseRepo, worktreeRoot, worktreePath } = place();
      await create({ baseRepo, worktreeRoot, worktreePath });
      renameSync(worktreePath, join(folder, 'moved'));
      symlinkSync(join(folder, 'moved'), worktreePath);
      expect(await text({ baseRepo, worktreeRoot, worktreePath })).toBe(
        `refusing to remove worktree: ${worktreePath} is a symbolic link, not a worktree directory`,
      );
      renameSync(join(worktreeRoot, 'p'), join(folder, 'q'));
      symlinkSync(join(folder, 'q'), join(worktreeRoot, 'p'));
      expect(await text({ baseRepo, worktreeRoot, worktreePath })).toBe(
        `refusing to remove worktree: ${worktreeRoot}/p is a symbolic link; the directory under the worktree location must be a real directory`,
      );
      expect(existsSync(join(folder, 'moved', 'a.txt'))).toBe(true);
    });

    test('the home directory is safe here too', async () => {
      const { baseRepo, worktreeRoot, worktreePath } = place();
      await create({ baseRepo, worktreeRoot, worktreePath });
      withVariables({ HOME: worktreePath });
      expect(await text({ baseRepo, worktreeRoot, worktreePath })).toBe(
        `worktreePath must not be or contain the home directory: "${worktreePath}"`,
      );
    });

    test('without a work tree nothing is judged', async () => {
      const { folder, worktreeRoot, worktreePath } = place();
      expect(await text({ baseRepo: join(folder, 'none'), worktreeRoot, worktreePath })).toMatch(
        profile === 'next'
          ? /^failed to remove worktree: cannot determine the repository's work tree: exit status 128$/
          : /^failed to remove worktree: cannot determine the repository's work tree: chdir .*: no such file or directory$/,
      );
    });
  });
});

describe('the later generation looks at the way to the root', () => {
  const refused = async (params: object, profile: ProfileName = 'next') => {
    const reply = await daemon(profile).ask('git.worktree_create', { branchName: 's', ...params });
    expect(reply).toMatchObject({ success: false, errorCode: 'unsafe_path' });
    return String(reply.error);
  };

  test('baseRepo is absolute there, too', async () => {
    const { folder, worktreeRoot, worktreePath } = place();
    const before = process.cwd();
    process.chdir(folder);
    try {
      expect(await refused({ baseRepo: 'w', worktreeRoot, worktreePath })).toBe(
        'refusing to create worktree: w is a relative path; choose the session folder by its absolute path, without ".."',
      );
    } finally {
      process.chdir(before);
    }
  });

  test('the root is neither in the repository nor in one of its worktrees, whatever it is called', async () => {
    const { folder, baseRepo } = place();
    const inside = join(baseRepo, 'ext');
    expect(await refused({ baseRepo, worktreeRoot: inside, worktreePath: join(inside, 'p', 's') })).toBe(
      `refusing to create worktree: ${inside} is the repository ${baseRepo} or inside it; a worktree location must be outside the repository`,
    );
    symlinkSync(baseRepo, join(folder, 'link'));
    const linked = join(folder, 'link', 'ext');
    expect(await refused({ baseRepo, worktreeRoot: linked, worktreePath: join(linked, 'p', 's') })).toBe(
      `refusing to create worktree: ${linked} leads into the repository ${baseRepo} (at ${inside}); a worktree location must be outside the repository`,
    );
    git(baseRepo, 'worktree', 'add', '-q', '-b', 'o', join(folder, 'o'));
    const sibling = join(folder, 'o', 'ext');
    expect(await refused({ baseRepo, worktreeRoot: sibling, worktreePath: join(sibling, 'p', 's') })).toBe(
      `refusing to create worktree: ${sibling} leads into ${folder}/o, a worktree of the repository ${baseRepo} (at ${folder}/o); a worktree location must be outside the repository's checkouts`,
    );
  });

  test('the root is in no checkout at all, and the folder below it is none', async () => {
    const { folder, baseRepo, worktreeRoot } = place();
    const other = repository(join(folder, 'other'));
    const inside = join(other, 'ext');
    expect(await refused({ baseRepo, worktreeRoot: inside, worktreePath: join(inside, 'p', 's') })).toBe(
      `refusing to create worktree: ${inside} is inside a git checkout (${other} has a .git entry); a worktree location must be outside every checkout, so that no session working in one can reach it — choose a directory that is not part of any repository`,
    );
    mkdirSync(worktreeRoot, { mode: 0o700 });
    repository(join(worktreeRoot, 'p'));
    expect(await refused({ baseRepo, worktreeRoot, worktreePath: join(worktreeRoot, 'p', 's') })).toBe(
      `refusing to create worktree: ${worktreeRoot}/p is itself a git checkout (it has a .git entry); a worktree location must be outside every checkout`,
    );
  });

  test('a way in a circle is refused', async () => {
    const { folder, baseRepo } = place();
    symlinkSync(join(folder, 'loop'), join(folder, 'loop'));
    const root = join(folder, 'loop', 'ext');
    expect(await refused({ baseRepo, worktreeRoot: root, worktreePath: join(root, 'p', 's') })).toBe(
      `refusing to create worktree: ${root} passes through too many symbolic links (a loop?)`,
    );
  });

  test('a folder on the way that others could replace is refused, unless it is sticky', async () => {
    const { folder, baseRepo } = place();
    const open = join(folder, 'open');
    mkdirSync(open);
    const root = join(open, 'ext');
    const params = { baseRepo, worktreeRoot: root, worktreePath: join(root, 'p', 's') };
    chmodSync(open, 0o777);
    expect((await refused(params)).replace('its group and ', '')).toBe(
      `refusing to create worktree: ${root} passes through ${open}, which is writable by every user on this host without the sticky bit (mode 0777), so they could replace what is beneath it; choose a location under directories only you (or the system) control, or remove the extra write permission (chmod go-w)`,
    );
    chmodSync(open, 0o1777);
    expect(await daemon('next').ask('git.worktree_create', { branchName: 's', ...params })).toMatchObject({
      success: true,
    });
  });

  testNeeding(root)('a folder on the way that belongs to somebody else is refused', {}, async () => {
    const { folder, baseRepo } = place();
    const foreign = join(folder, 'foreign');
    mkdirSync(foreign);
    chownSync(foreign, 54_321, 0);
    const root = join(foreign, 'ext');
    expect(await refused({ baseRepo, worktreeRoot: root, worktreePath: join(root, 'p', 's') })).toBe(
      `refusing to create worktree: ${root} passes through ${foreign}, which is owned by uid 54321, neither you nor the system; choose a location you reach through your own directories`,
    );
  });
});
