/** Texts and tests that came with the newest generation, and those of its predecessor that older pages lack (spec generation-n2.md §10.3). */
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { checkWayIsOpen } from '../../../src/git/worktree/open-way.ts';
import { checkRegistration } from '../../../src/git/worktree/registration.ts';
import { root, testNeeding } from '../../support/needs.ts';
import { daemon, git, platform, repository, scratchFolder, standInForGit } from '../support.ts';

function place(): { folder: string; baseRepo: string; worktreePath: string } {
  const folder = scratchFolder();
  const baseRepo = repository(join(folder, 'w'));
  return { folder, baseRepo, worktreePath: join(baseRepo, '.claude', 'worktrees', 's') };
}

const create = (params: object, profile: 'next' | 'latest' = 'latest') =>
  daemon(profile).ask('git.worktree_create', { branchName: 'b', ...params });
const remove = (params: object, profile: 'next' | 'latest' = 'latest') =>
  daemon(profile).ask('git.worktree_remove', params);
/** Something to do in place of the checkout, or beside it. */
const atCheckout = (script: string) => `for word; do [ "$word" = read-tree ] && { ${script}; }; done; exec "$GIT" "$@"`;
const undone = (path: string) => `; and the undo could not finish for ${path}: `;

describe('a new worktree whose .git names an old registration', () => {
  test('is refused when that registration was found stale before the add, and left', async () => {
    const { baseRepo, worktreePath } = place();
    git(baseRepo, 'worktree', 'add', '-q', '-b', 'b', worktreePath);
    const common = join(baseRepo, '.git');
    const entry = join(common, 'worktrees', 's');
    await expect(checkRegistration(worktreePath, common, [entry], platform.paths)).rejects.toThrow(
      `refusing to create worktree: ${worktreePath} carries a .git file naming an admin entry other than the one just created for it`,
    );
    expect(await checkRegistration(worktreePath, common, [], platform.paths)).toMatchObject({ entry });
  });

  test('is refused as foreign when its record cannot be read as a file', async () => {
    const { baseRepo, worktreePath } = place();
    git(baseRepo, 'worktree', 'add', '-q', '-b', 'b', worktreePath);
    const record = join(baseRepo, '.git', 'worktrees', 's', 'gitdir');
    rmSync(record);
    mkdirSync(record);
    await expect(checkRegistration(worktreePath, join(baseRepo, '.git'), [], platform.paths)).rejects.toThrow(
      "carries a .git file that does not name this repository's own worktree admin directory",
    );
  });
});

describe('the index of a checkout', () => {
  const failed = 'git worktree add failed (checkout): ';

  test('is placed as a new file, and what stands in its place is removed first', async () => {
    const { folder, baseRepo, worktreePath } = place();
    const index = join(baseRepo, '.git', 'worktrees', 's', 'index');
    symlinkSync('/nowhere', join(folder, 'link'));
    standInForGit(folder, atCheckout(`cp -P ${folder}/link ${index}`));
    expect(await create({ baseRepo, worktreePath })).toMatchObject({ success: true });
    expect(statSync(index).isFile()).toBe(true);
    expect(git(worktreePath, 'status', '--porcelain', '--branch')).toBe('## b');
  });

  test('that cannot be placed is a failed checkout; the text follows what git has written', async () => {
    const { folder, baseRepo, worktreePath } = place();
    const index = join(baseRepo, '.git', 'worktrees', 's', 'index');
    standInForGit(folder, atCheckout(`mkdir ${index}; echo noise >&2`));
    expect(await create({ baseRepo, worktreePath })).toEqual({
      success: false,
      error: `${failed}noise removeat s/index: is a directory`,
      errorCode: 'worktree_add_failed',
    });
    expect(existsSync(worktreePath)).toBe(false);
    expect(readdirSync(join(baseRepo, '.git', 'worktrees'))).toEqual([]);
    expect(git(baseRepo, 'branch', '--list', 'b')).toBe('');
  });

  test('is not placed in a folder that replaced the registration, and that folder stays', async () => {
    const { folder, baseRepo, worktreePath } = place();
    const entry = join(baseRepo, '.git', 'worktrees', 's');
    standInForGit(folder, atCheckout(`mv ${entry} ${folder}/moved; cp -a ${folder}/moved ${entry}`));
    const fault = `the registration ${entry} is not the folder that was tested after the add`;
    const reply = await create({ baseRepo, worktreePath });
    expect(reply.error).toContain(`${failed}${fault}${undone(worktreePath)}`);
    expect(reply.error).toContain(
      `the worktree registration and the branch remain; remove them by hand before retrying (${fault})`,
    );
    expect(existsSync(entry)).toBe(true);
    expect(existsSync(join(entry, 'index'))).toBe(false);
  });
});

describe('an undo that could not finish', () => {
  /** git's own calls before the folder of the worktree is removed put something into it. */
  const refilled = (path: string, more = '') =>
    `for word; do [ "$word" = read-tree ] && exit 3; [ "$word" = update-ref ] && { echo x > "${path}/back"; ${more} }; done; exec "$GIT" "$@"`;

  test('tells of the folder first, then of the branch, in one sentence', async () => {
    const { folder, baseRepo, worktreePath } = place();
    standInForGit(folder, refilled(worktreePath, 'echo no >&2; exit 4;'));
    expect((await create({ baseRepo, worktreePath })).error).toBe(
      `git worktree add failed (checkout): exit status 3${undone(worktreePath)}the worktree directory remains (re-populated while undoing?); remove it by hand before retrying (removeat s: directory not empty); branch b still exists; delete it by hand (for example: git branch -D b) before retrying this branch name: exit status 4`,
    );
  });

  test('tells of a lock that an interrupted delete has left', async () => {
    const { folder, baseRepo, worktreePath } = place();
    const lock = join(baseRepo, '.git', 'refs', 'heads', 'b.lock');
    standInForGit(folder, `for word; do [ "$word" = read-tree ] && { : >${lock}; exit 3; }; done; exec "$GIT" "$@"`);
    expect((await create({ baseRepo, worktreePath })).error).toMatch(
      /branch b still exists; delete it by hand \(for example: git branch -D b\) before retrying this branch name\. A lock refs\/heads\/b\.lock is also present: if another git process is running against this repository, the lock may be live and clears on its own; if none is, it is stale debris of the interrupted delete — remove the lock file by hand too: exit status \d+$/,
    );
  });

  test('leaves a branch whose name git could misread, and says so', async () => {
    const { folder, baseRepo, worktreePath } = place();
    standInForGit(folder, atCheckout('exit 3'));
    expect((await create({ baseRepo, worktreePath, branchName: '+b' })).error).toBe(
      `git worktree add failed (checkout): exit status 3${undone(worktreePath)}branch +b left in place (its name is unsafe to pass to update-ref); delete it by hand`,
    );
  });

  test('speaks of no branch where it had attached to one', async () => {
    const { folder, baseRepo, worktreePath } = place();
    git(baseRepo, 'branch', 'there');
    const reached = join(folder, 'reached');
    standInForGit(folder, atCheckout(`mkdir ${worktreePath}/mount; touch ${reached}; exit 3`));
    const failing = daemon('latest');
    const { files } = failing.services.platform;
    const openFolder = async (path: string) =>
      existsSync(reached) && path.endsWith('.git')
        ? Promise.reject(Object.assign(new Error('no'), { code: 'EACCES' }))
        : files.openFolder(path);
    Object.assign(failing.services.platform, { files: { ...files, openFolder } });
    const params = { baseRepo, branchName: 'b', existingBranch: 'there', worktreePath };
    expect(await failing.ask('git.worktree_create', params)).toMatchObject({
      error: `git worktree add failed (checkout): exit status 3${undone(worktreePath)}the worktree registration remains; remove it by hand before retrying (RemoveAll s: permission denied)`,
    });
    expect(existsSync(worktreePath)).toBe(false);
  });
});

describe('a root of worktrees', () => {
  test.each(['//', '/.'])('that is spelled %s is refused as it was sent, before any git runs', async (worktreeRoot) => {
    const { baseRepo } = place();
    const params = { baseRepo, worktreeRoot, worktreePath: '/p/s' };
    const text = `${worktreeRoot} is a filesystem root; choose the worktree location by its absolute path, without "..", beneath the filesystem root`;
    expect((await create(params)).error).toBe(`refusing to create worktree: ${text}`);
    const asked = daemon('latest');
    expect((await asked.ask('git.worktree_remove', params)).error).toBe(`refusing to remove worktree: ${text}`);
    expect(asked.started).toEqual([]);
  });

  test('that leads nowhere is told with the place where the way ends', async () => {
    const { folder, baseRepo } = place();
    const worktreeRoot = join(folder, 'ext');
    symlinkSync(join(folder, 'unmounted', 'disk'), worktreeRoot);
    const worktreePath = join(worktreeRoot, 'p', 's');
    expect((await remove({ baseRepo, worktreeRoot, worktreePath })).error).toBe(
      `failed to remove worktree: the worktree location ${worktreeRoot} is not reachable (lstat ${folder}/unmounted: no such file or directory); nothing was removed — retry once it is available, or remove the worktree by hand`,
    );
  });

  test.each<[which: string, form: string, answer: object]>([
    ['-z is not known', ' worktree list --porcelain -z ', { success: true }],
    [
      'there is none',
      ' worktree list --porcelain ',
      { success: false, error: "failed to remove worktree: cannot list the repository's worktrees: exit status 129" },
    ],
  ])('is judged by the list of worktrees where %s', async (_, form, answer) => {
    const { folder, baseRepo } = place();
    chmodSync(folder, 0o755);
    const worktreeRoot = join(folder, 'ext');
    const worktreePath = join(worktreeRoot, 'p', 's');
    await create({ baseRepo, worktreeRoot, worktreePath });
    standInForGit(folder, `case " $* " in *"${form}"*) exit 129;; esac; exec "$GIT" "$@"`);
    expect(await remove({ baseRepo, worktreeRoot, worktreePath })).toEqual(answer);
  });
});

describe.each(['next', 'latest'] as const)(
  'a folder that we may not read or search hides the worktree (%s)',
  (profile) => {
    const hidden = testNeeding(root);
    const rows: readonly (readonly [of: string, mode: number, error: string])[] = [
      ['', 0o000, 'open {base}: permission denied'],
      ['', 0o444, 'statat .claude: permission denied'],
      ['.claude', 0o000, 'openat .claude: permission denied'],
      ['.claude', 0o444, 'statat .: permission denied'],
    ];
    for (const [of, mode, error] of rows) {
      const what = `${of === '' ? 'the repository' : of} of mode ${mode.toString(8).padStart(3, '0')}`;
      hidden(`${what}: the text names it, and nothing is deleted, not even the registration`, {}, async () => {
        const { folder, baseRepo, worktreePath } = place();
        chmodSync(folder, 0o755);
        git(baseRepo, 'worktree', 'add', '-q', '-b', 'b', worktreePath);
        const path = join(baseRepo, of);
        chmodSync(path, mode);
        const { services } = daemon(profile);
        const removed = asNobody(() => checkWayIsOpen(baseRepo, worktreePath, services));
        await expect(removed).rejects.toThrow(`failed to remove worktree: ${error.replace('{base}', baseRepo)}`);
        chmodSync(path, 0o755);
        expect(readdirSync(join(baseRepo, '.git', 'worktrees'))).toEqual(['s']);
      });
    }

    test('a way that is open, or ends early, is no fault', async () => {
      const { baseRepo, worktreePath } = place();
      const { services } = daemon(profile);
      await checkWayIsOpen(baseRepo, worktreePath, services);
      mkdirSync(worktreePath, { recursive: true });
      await checkWayIsOpen(baseRepo, worktreePath, services);
    });
  },
);

/** Root may read everything, so the call is made as another user. */
async function asNobody<T>(work: () => Promise<T>): Promise<T> {
  process.seteuid?.(65_534);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
  }
}

describe('commondir in a git directory', () => {
  const info = (path: string) => daemon('latest').call('git.info', { path });

  test('that is a link to nothing inside counts as none', async () => {
    const { baseRepo } = place();
    symlinkSync('nothing', join(baseRepo, '.git', 'commondir'));
    expect(await info(baseRepo)).toContain('"isRepo":true');
    rmSync(join(baseRepo, '.git', 'HEAD'));
    expect(await info(baseRepo)).toContain('sits in a git directory git would not take as a repository');
  });

  test.each(['../elsewhere', '/etc/passwd', 'a/../../../b'])('that is a link to %s leaves it', async (target) => {
    const { baseRepo } = place();
    symlinkSync(target, join(baseRepo, '.git', 'commondir'));
    expect(await info(baseRepo)).toContain(
      'commondir" is not a small plain file (openat commondir: path escapes from parent)',
    );
  });
});
