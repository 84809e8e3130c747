import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { SystemCallError } from '../../../platform/errors.ts';
import type { FolderHandle } from '../../../platform/files.ts';
import { commit, daemon, git, repository, scratchFolder, standInForGit, withVariables, write } from '../support.ts';

/** An open folder of which some operations are other ones. */
function heldFolder(folder: FolderHandle, others: Partial<FolderHandle>): FolderHandle {
  return new Proxy(folder, {
    get(target, key) {
      const own: unknown = Reflect.get(others, key) ?? Reflect.get(target, key, target);
      return typeof own === 'function' ? own.bind(target) : own;
    },
  });
}

const success = '{"success":true}';

function base(): string {
  return repository(join(scratchFolder(), 'w'));
}

/** A linked worktree of a fresh repository, on branch `s`. */
function withWorktree(where = ['.claude', 'worktrees', 's']): { baseRepo: string; worktreePath: string } {
  const baseRepo = base();
  const worktreePath = join(baseRepo, ...where);
  git(baseRepo, 'worktree', 'add', '-q', '-b', 's', worktreePath);
  return { baseRepo, worktreePath: where[0] === '..' ? realpathSync(worktreePath) : worktreePath };
}

const registered = (baseRepo: string) => git(baseRepo, 'worktree', 'list').split('\n').length - 1;

describe.each(['S', 'current', 'next'] as const)('git.worktree_remove (%s)', (profile) => {
  const remove = (params: object) => daemon(profile).call('git.worktree_remove', params);

  test('a worktree goes with its changes, its registration and nothing else', async () => {
    const { baseRepo, worktreePath } = withWorktree();
    write(join(worktreePath, 'untracked', 'f'));
    writeFileSync(join(worktreePath, 'a.txt'), 'dirty');
    symlinkSync(join(baseRepo, 'a.txt'), join(worktreePath, 'link'));
    expect(await remove({ baseRepo, worktreePath })).toBe(success);
    expect(existsSync(worktreePath)).toBe(false);
    expect(registered(baseRepo)).toBe(0);
    expect(readdirSync(join(baseRepo, '.claude', 'worktrees'))).toEqual([]);
    expect(git(baseRepo, 'branch', '--list', 's')).toContain('s');
    expect(readFileSync(join(baseRepo, 'a.txt'), 'utf8')).toBe('x\n');
  });

  test('the named branch goes too; one that does not exist is no failure', async () => {
    const { baseRepo, worktreePath } = withWorktree();
    expect(await remove({ baseRepo, worktreePath, branchName: 's' })).toBe(success);
    expect(git(baseRepo, 'branch', '--list', 's')).toBe('');
    expect(await remove({ baseRepo, worktreePath, branchName: 'ghost' })).toBe(success);
    expect(await remove({ baseRepo, worktreePath, branchName: '-D' })).toBe(success);
  });

  test('a worktree whose folder is gone loses its registration', async () => {
    const { baseRepo, worktreePath } = withWorktree();
    rmSync(worktreePath, { recursive: true });
    expect(await remove({ baseRepo, worktreePath })).toBe(success);
    expect(registered(baseRepo)).toBe(0);
  });

  test('a plain folder is removed as well', async () => {
    const baseRepo = base();
    write(join(baseRepo, 'plain', 'x'));
    expect(await remove({ baseRepo, worktreePath: join(baseRepo, 'plain') })).toBe(success);
    expect(existsSync(join(baseRepo, 'plain'))).toBe(false);
  });

  test('the home directory, and what holds it, is never removed', async () => {
    const folder = scratchFolder();
    const baseRepo = repository(join(folder, 'w'));
    const homeFolder = join(baseRepo, 'h', 'me');
    mkdirSync(homeFolder, { recursive: true });
    symlinkSync(join(baseRepo, 'h'), join(baseRepo, 'link'));
    withVariables({ HOME: join(homeFolder, '/') });
    for (const worktreePath of [homeFolder, join(baseRepo, 'h'), `${homeFolder}/.`, '~', '~/']) {
      const shown = worktreePath === '~' ? `${homeFolder}/` : worktreePath.replace('~/', homeFolder);
      expect(await remove({ baseRepo, worktreePath }), worktreePath).toBe(
        `{"success":false,"error":"worktreePath must not be or contain the home directory: \\"${shown}\\""}`,
      );
    }
    expect(existsSync(homeFolder)).toBe(true);
  });

  test('a branch checked out in the removed worktree with a strange name is left to git', async () => {
    const { baseRepo, worktreePath } = withWorktree();
    git(baseRepo, 'branch', 'other');
    expect(await remove({ baseRepo, worktreePath, branchName: 'other; touch x' })).toBe(success);
    expect(git(baseRepo, 'branch', '--list', 'other')).toContain('other');
  });
});

describe('git.worktree_remove in the seed generation', () => {
  const remove = (params: object, options?: { gitTimeoutMs: number }) =>
    daemon('S', options).call('git.worktree_remove', params);

  test('a root, or anything when the home is unknown but that, is refused', async () => {
    const baseRepo = base();
    withVariables({ HOME: '' });
    expect(await remove({ baseRepo, worktreePath: '/' })).toBe(
      '{"success":false,"error":"worktreePath must not be or contain the home directory: \\"/\\""}',
    );
    expect(await remove({ baseRepo, worktreePath: '/usr/..' })).toBe(
      '{"success":false,"error":"worktreePath must not be or contain the home directory: \\"/usr/..\\""}',
    );
  });

  test('a path that leads to the home through a link and .. is refused', async () => {
    const folder = scratchFolder();
    const baseRepo = repository(join(folder, 'w'));
    mkdirSync(join(folder, 'home', 'me', 'sub'), { recursive: true });
    symlinkSync(join(folder, 'home', 'me', 'sub'), join(folder, 'link'));
    symlinkSync(join(folder, 'home'), join(folder, 'homes'));
    withVariables({ HOME: join(folder, 'home', 'me') });
    expect(await remove({ baseRepo, worktreePath: join(folder, 'homes', 'me') })).toMatch(/home directory/);
    expect(existsSync(join(folder, 'home', 'me', 'sub'))).toBe(true);
  });

  test('a link is removed and what it leads to stays, even another worktree', async () => {
    const { baseRepo, worktreePath } = withWorktree(['..', 'wt']);
    const folder = join(baseRepo, '..');
    write(join(folder, 'away', 'f'));
    symlinkSync(join(folder, 'away'), join(folder, 'link'));
    symlinkSync(worktreePath, join(folder, 'other'));
    expect(await remove({ baseRepo, worktreePath: join(folder, 'link').replace('/w/..', '') })).toBe(success);
    expect(await remove({ baseRepo, worktreePath: join(folder, 'other').replace('/w/..', '') })).toBe(success);
    expect(existsSync(join(folder, 'link'))).toBe(false);
    expect(existsSync(join(folder, 'other'))).toBe(false);
    expect(existsSync(join(folder, 'away', 'f'))).toBe(true);
    expect(existsSync(join(worktreePath, 'a.txt'))).toBe(true);
    expect(registered(baseRepo)).toBe(1);
  });

  test('an unmerged branch goes', async () => {
    const { baseRepo, worktreePath } = withWorktree();
    write(join(worktreePath, 'b'));
    commit(worktreePath, 'work');
    expect(await remove({ baseRepo, worktreePath, branchName: 's' })).toBe(success);
    expect(git(baseRepo, 'branch', '--list', 's')).toBe('');
  });

  test('a locked worktree is deleted, its registration stays', async () => {
    const { baseRepo, worktreePath } = withWorktree();
    git(baseRepo, 'worktree', 'lock', worktreePath);
    expect(await remove({ baseRepo, worktreePath })).toBe(success);
    expect(existsSync(worktreePath)).toBe(false);
    expect(registered(baseRepo)).toBe(1);
  });

  test('a folder is deleted without any repository', async () => {
    const folder = scratchFolder();
    write(join(folder, 'x', 'f'));
    expect(await remove({ baseRepo: folder, worktreePath: join(folder, 'x') })).toBe(success);
    expect(existsSync(join(folder, 'x'))).toBe(false);
  });

  test('an empty path removes nothing', async () => {
    const baseRepo = base();
    expect(await remove({ baseRepo, worktreePath: '' })).toBe(success);
    expect(existsSync(join(baseRepo, 'a.txt'))).toBe(true);
  });

  test.each([
    [300, '300ms'],
    [1500, '1.5s'],
  ])('a deadline of %i ms deletes nothing and is named %s', async (gitTimeoutMs, shown) => {
    const { baseRepo, worktreePath } = withWorktree();
    standInForGit(scratchFolder(), 'case " $* " in *" worktree remove "*) exec sleep 60;; esac; exec "$GIT" "$@"');
    expect(await remove({ baseRepo, worktreePath, branchName: 's' }, { gitTimeoutMs })).toBe(
      `{"success":false,"error":"git worktree remove timed out after ${shown}; no cleanup was attempted, and git may have partially removed the worktree"}`,
    );
    expect(readFileSync(join(worktreePath, 'a.txt'), 'utf8')).toBe('x\n');
    expect(git(worktreePath, 'status', '--porcelain', '--branch')).toBe('## s');
    expect(readdirSync(join(baseRepo, '.claude', 'worktrees'))).toEqual(['s']);
    expect(git(baseRepo, 'branch', '--list', 's')).toContain('s');
  });

  test('what cannot be deleted is reported with both reasons and is where it was', async () => {
    const { baseRepo, worktreePath } = withWorktree();
    const stuck = daemon('S');
    const { files } = stuck.services.platform;
    const removeTree = async (path: string) =>
      Promise.reject(new SystemCallError(`unlinkat ${path}/x: permission denied`, 'EACCES'));
    const openFolder = async (path: string) =>
      heldFolder(await files.openFolder(path), { removeTree: (name) => removeTree(join(path, name.toString())) });
    Object.assign(stuck.services.platform, { files: { ...files, removeTree, openFolder } });
    expect(await stuck.call('git.worktree_remove', { baseRepo, worktreePath })).toBe(
      `{"success":false,"error":"failed to remove worktree: error: failed to delete '${worktreePath}': Permission denied; manual cleanup also failed: unlinkat ${worktreePath}/x: permission denied"}`,
    );
    expect(existsSync(join(worktreePath, 'a.txt'))).toBe(true);
    mkdirSync(join(baseRepo, 'plain'));
    const path = join(baseRepo, 'plain');
    expect(await stuck.call('git.worktree_remove', { baseRepo, worktreePath: path })).toBe(
      `{"success":false,"error":"failed to remove worktree: fatal: '${path}' is not a working tree; manual cleanup also failed: unlinkat ${path}/x: permission denied"}`,
    );
  });
});

describe.each(['current', 'next'] as const)('git.worktree_remove is contained (%s)', (profile) => {
  const remove = async (params: object) => {
    const reply = await daemon(profile).ask('git.worktree_remove', params);
    expect(reply.success).toBe(false);
    expect(reply).not.toHaveProperty('errorCode');
    return reply.error;
  };
  const advice = 'choose the session folder by its absolute path, without ".."';

  test('no path out of the repository is taken', async () => {
    const folder = scratchFolder();
    const baseRepo = repository(join(folder, 'w'));
    write(join(folder, 'out', 'keep'));
    mkdirSync(join(baseRepo, 'in'));
    symlinkSync(join(folder, 'out'), join(baseRepo, 'link'));
    const outside = (path: string) =>
      `refusing to remove worktree: ${path} is not inside the repository ${baseRepo}; session worktrees are only created and removed under <repository>/.claude/worktrees`;
    expect(await remove({ baseRepo, worktreePath: '' })).toBe(
      'failed to remove worktree: "" does not name a directory',
    );
    expect(await remove({ baseRepo, worktreePath: 'out' })).toBe(
      `refusing to remove worktree: out is a relative path; ${advice}`,
    );
    expect(await remove({ baseRepo, worktreePath: `${baseRepo}/in/../../out` })).toBe(
      `refusing to remove worktree: ${baseRepo}/in/../../out contains a ".." component; ${advice}`,
    );
    expect(await remove({ baseRepo, worktreePath: join(folder, 'out') })).toBe(outside(join(folder, 'out')));
    expect(await remove({ baseRepo, worktreePath: baseRepo })).toBe(outside(baseRepo));
    expect(await remove({ baseRepo, worktreePath: folder })).toBe(outside(folder));
    expect(await remove({ baseRepo, worktreePath: '/' })).toBe(outside('/'));
    expect(await remove({ baseRepo, worktreePath: join(baseRepo, 'link', 'keep') })).toMatch(
      /^refusing to remove worktree: .*\/link is a symbolic link; /,
    );
    expect(existsSync(join(folder, 'out', 'keep'))).toBe(true);
  });

  test('a repository inside a managed folder is refused', async () => {
    const nested = repository(join(scratchFolder(), '.claude', 'worktrees', 'x'));
    expect(await remove({ baseRepo: nested, worktreePath: join(nested, 'y') })).toMatch(
      /^baseRepo is inside a managed worktrees directory/,
    );
  });

  test('a locked worktree stays, with or without a reason', async () => {
    for (const reason of [[], ['--reason', 'mine']]) {
      const { baseRepo, worktreePath } = withWorktree();
      git(baseRepo, 'worktree', 'lock', ...reason, worktreePath);
      expect(await remove({ baseRepo, worktreePath, branchName: 's' })).toBe(
        `refusing to remove worktree: ${worktreePath} is locked (git worktree lock); unlock it to remove it`,
      );
      expect(git(worktreePath, 'status', '--porcelain', '--branch')).toBe('## s');
      expect(registered(baseRepo)).toBe(1);
    }
  });
});

describe('git.worktree_remove in the generation between', () => {
  const remove = (params: object) => daemon('current').call('git.worktree_remove', params);

  test('a link is removed and what it leads to stays', async () => {
    const folder = scratchFolder();
    const baseRepo = repository(join(folder, 'w'));
    write(join(folder, 'away', 'f'));
    symlinkSync(join(folder, 'away'), join(baseRepo, 'link'));
    expect(await remove({ baseRepo, worktreePath: join(baseRepo, 'link') })).toBe(success);
    expect(existsSync(join(baseRepo, 'link'))).toBe(false);
    expect(existsSync(join(folder, 'away', 'f'))).toBe(true);
  });

  test('a deletion that git refused takes the registration along', async () => {
    const { baseRepo, worktreePath } = withWorktree();
    standInForGit(scratchFolder(), 'case " $* " in *" worktree remove "*) exit 1;; esac; exec "$GIT" "$@"');
    expect(await remove({ baseRepo, worktreePath })).toBe(success);
    expect(registered(baseRepo)).toBe(0);
  });

  test('a locked worktree stays, whatever language git speaks', async () => {
    const { baseRepo, worktreePath } = withWorktree();
    git(baseRepo, 'worktree', 'lock', worktreePath);
    standInForGit(
      scratchFolder(),
      'case " $* " in *" worktree remove "*) [ "$LC_ALL" = C ] || { echo "fatal: gesperrt" >&2; exit 128; };; esac; exec "$GIT" "$@"',
    );
    expect(await remove({ baseRepo, worktreePath })).toContain(' is locked (git worktree lock)');
    expect(existsSync(join(worktreePath, 'a.txt'))).toBe(true);
  });

  test('there is no deadline unless one is set', async () => {
    const { baseRepo, worktreePath } = withWorktree();
    standInForGit(scratchFolder(), 'case " $* " in *" worktree remove "*) sleep 1;; esac; exec "$GIT" "$@"');
    expect(await remove({ baseRepo, worktreePath })).toBe(success);
  });
});

describe('git.worktree_remove in the later generation', () => {
  const remove = (params: object) => daemon('next').ask('git.worktree_remove', params);

  test('git worktree remove and prune are never run', async () => {
    const { baseRepo, worktreePath } = withWorktree();
    const { call, started } = daemon('next');
    expect(await call('git.worktree_remove', { baseRepo, worktreePath, branchName: 's' })).toBe(success);
    expect(started.filter((words) => words.includes('worktree'))).toEqual([]);
  });

  test('a link or a file in the place of the worktree is refused', async () => {
    const folder = scratchFolder();
    const baseRepo = repository(join(folder, 'w'));
    symlinkSync(folder, join(baseRepo, 'link'));
    symlinkSync(baseRepo, join(folder, 'alias'));
    expect((await remove({ baseRepo, worktreePath: join(baseRepo, 'link') })).error).toBe(
      `refusing to remove worktree: ${baseRepo}/link is a symbolic link, not a worktree directory`,
    );
    expect(
      (await remove({ baseRepo: join(folder, 'alias'), worktreePath: join(folder, 'alias', 'a.txt') })).error,
    ).toBe(`refusing to remove worktree: ${baseRepo}/a.txt is not a directory`);
    expect(lstatSync(join(baseRepo, 'link')).isSymbolicLink()).toBe(true);
  });

  test('a worktree that is gone but locked keeps registration and branch', async () => {
    const { baseRepo, worktreePath } = withWorktree();
    git(baseRepo, 'worktree', 'lock', worktreePath);
    rmSync(worktreePath, { recursive: true });
    expect((await remove({ baseRepo, worktreePath, branchName: 's' })).error).toBe(
      `refusing to remove worktree: ${worktreePath} is gone but its registration is locked (git worktree lock); unlock it to remove the registration and branch`,
    );
    expect(registered(baseRepo)).toBe(1);
  });

  test('a worktree that lost its .git file still counts as locked', async () => {
    const { baseRepo, worktreePath } = withWorktree();
    git(baseRepo, 'worktree', 'lock', worktreePath);
    rmSync(join(worktreePath, '.git'));
    expect((await remove({ baseRepo, worktreePath })).error).toMatch(/ is locked /);
    expect(existsSync(join(worktreePath, 'a.txt'))).toBe(true);
  });

  test('where nothing can be checked nothing is removed', async () => {
    const { baseRepo, worktreePath } = withWorktree();
    writeFileSync(join(baseRepo, '.git', 'commondir'), '/elsewhere');
    expect((await remove({ baseRepo, worktreePath })).error).toBe(
      `failed to remove worktree: could not check whether ${worktreePath} is locked (its registrations could not be examined); retry`,
    );
    expect(existsSync(worktreePath)).toBe(true);
    rmSync(worktreePath, { recursive: true });
    expect((await remove({ baseRepo, worktreePath })).error).toMatch(
      /could not check whether .* is locked \(the repository's git directory could not be trusted; .*\); retry$/s,
    );
  });

  test('where there is no repository a worktree that is gone is removed already', async () => {
    const folder = scratchFolder();
    expect(await remove({ baseRepo: folder, worktreePath: join(folder, 'gone') })).toEqual({ success: true });
    mkdirSync(join(folder, 'there'));
    expect((await remove({ baseRepo: folder, worktreePath: join(folder, 'there') })).error).toMatch(/could not check/);
  });

  test('a folder that cannot be emptied is reported with its entry, and stays a worktree', async () => {
    const { baseRepo, worktreePath } = withWorktree();
    const stuck = daemon('next');
    const { files } = stuck.services.platform;
    const openFolder = async (path: string) => {
      const folder = await files.openFolder(path);
      const removeTree = async (name: Buffer) =>
        name.toString() === 'a.txt'
          ? Promise.reject(Object.assign(new Error('no'), { code: 'EACCES' }))
          : folder.removeTree(name);
      return heldFolder(folder, { removeTree });
    };
    Object.assign(stuck.services.platform, { files: { ...files, openFolder } });
    expect((await stuck.ask('git.worktree_remove', { baseRepo, worktreePath })).error).toBe(
      'failed to remove worktree: RemoveAll a.txt: permission denied',
    );
    expect(existsSync(join(worktreePath, '.git'))).toBe(true);
    expect(registered(baseRepo)).toBe(1);
  });

  test('a registration that cannot be dropped is reported', async () => {
    const { baseRepo, worktreePath } = withWorktree();
    const stuck = daemon('next');
    const { files } = stuck.services.platform;
    const openFolder = async (path: string) =>
      path.endsWith('.git')
        ? Promise.reject(Object.assign(new Error('no'), { code: 'EACCES' }))
        : files.openFolder(path);
    Object.assign(stuck.services.platform, { files: { ...files, openFolder } });
    expect(await stuck.ask('git.worktree_remove', { baseRepo, worktreePath })).toEqual({
      success: false,
      error: 'removed the worktree but could not drop its registration (RemoveAll s: permission denied)',
    });
  });

  test('the worktree of another repository inside this one is a plain folder to it', async () => {
    const { baseRepo } = withWorktree();
    const other = base();
    const foreign = join(baseRepo, 'foreign');
    git(other, 'worktree', 'add', '-q', '-b', 'f', foreign);
    expect(await remove({ baseRepo, worktreePath: foreign })).toEqual({ success: true });
    expect(existsSync(foreign)).toBe(false);
    expect(registered(other)).toBe(1);
  });
});

describe('the branch of a removed worktree in the later generation', () => {
  const removed = async (prepare: (repo: { baseRepo: string; worktreePath: string }) => void) => {
    const repo = withWorktree();
    prepare(repo);
    const reply = await daemon('next').call('git.worktree_remove', { ...repo, branchName: 's' });
    expect(existsSync(repo.worktreePath)).toBe(false);
    return { reply, kept: git(repo.baseRepo, 'branch', '--list', 's') !== '' };
  };
  const work = ({ worktreePath }: { worktreePath: string }) => {
    write(join(worktreePath, 'work'));
    return commit(worktreePath, 'work');
  };
  const kept = { reply: '{"success":true,"branchKept":true}', kept: true };
  const gone = { reply: success, kept: false };

  test('goes when another branch has its commits', async () => {
    expect(await removed((repo) => git(repo.baseRepo, 'branch', 'other', work(repo)))).toEqual(gone);
  });

  test('goes when a remote-tracking ref has its commits', async () => {
    expect(await removed((repo) => git(repo.baseRepo, 'update-ref', 'refs/remotes/origin/s', work(repo)))).toEqual(
      gone,
    );
  });

  test('is kept with commits of its own', async () => {
    expect(await removed(work)).toEqual(kept);
  });

  test('is kept when only a tag has its commits', async () => {
    expect(await removed((repo) => git(repo.baseRepo, 'tag', 't', work(repo)))).toEqual(kept);
  });

  test('is kept when only a symbolic branch leads to it', async () => {
    expect(
      await removed((repo) => {
        work(repo);
        git(repo.baseRepo, 'symbolic-ref', 'refs/heads/alias', 'refs/heads/s');
      }),
    ).toEqual(kept);
  });

  test('is kept when another branch differs in case only', async () => {
    expect(await removed(({ baseRepo }) => git(baseRepo, 'branch', 'S'))).toEqual(kept);
  });

  test('is kept when there are more branches than can be looked at', async () => {
    expect(
      await removed(({ baseRepo }) => {
        const id = git(baseRepo, 'rev-parse', 'HEAD');
        const packed = Array.from(
          { length: 10_001 },
          (_, index) => `${id} refs/heads/n${String(index).padStart(5, '0')}\n`,
        );
        writeFileSync(
          join(baseRepo, '.git', 'packed-refs'),
          `# pack-refs with: peeled fully-peeled sorted \n${packed.join('')}`,
        );
      }),
    ).toEqual(kept);
  });

  test('is kept when it cannot be checked or deleted', async () => {
    for (const step of ['rev-list', 'update-ref', 'for-each-ref']) {
      standInForGit(scratchFolder(), `for word; do [ "$word" = ${step} ] && exit 1; done; exec "$GIT" "$@"`);
      expect(await removed(() => {}), step).toEqual(kept);
    }
  });
});
