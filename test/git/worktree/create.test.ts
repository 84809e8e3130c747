import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { checkRegistration } from '../../../src/git/worktree/registration.ts';
import {
  commit,
  daemon,
  git,
  platform,
  repository,
  scratchFolder,
  standInForGit,
  withVariables,
  write,
} from '../support.ts';

function base(): string {
  return repository(join(scratchFolder(), 'w'));
}

function session(repo: string, name = 's'): string {
  return join(repo, '.claude', 'worktrees', name);
}

const advice = 'choose the session folder by its absolute path, without ".."';

describe('git.worktree_create (S)', () => {
  test('a worktree appears on a new branch from the current one', async () => {
    const baseRepo = base();
    const worktreePath = join(baseRepo, '..', 'wt');
    expect(await daemon('S').call('git.worktree_create', { baseRepo, branchName: 'b', worktreePath })).toBe(
      `{"success":true,"path":"${worktreePath}","sourceBranch":"main"}`,
    );
    expect(git(worktreePath, 'status', '--porcelain', '--branch')).toBe('## b');
  });

  test('a relative path counts from the repository', async () => {
    const baseRepo = base();
    expect(await daemon('S').call('git.worktree_create', { baseRepo, branchName: 'b', worktreePath: '../rel' })).toBe(
      '{"success":true,"path":"../rel","sourceBranch":"main"}',
    );
    expect(existsSync(join(baseRepo, '..', 'rel', 'a.txt'))).toBe(true);
  });

  test('a path that looks like an option is a path', async () => {
    const baseRepo = base();
    expect(await daemon('S').call('git.worktree_create', { baseRepo, branchName: 'b', worktreePath: '--detach' })).toBe(
      '{"success":true,"path":"--detach","sourceBranch":"main"}',
    );
    expect(existsSync(join(baseRepo, '--detach', 'a.txt'))).toBe(true);
  });

  test('a name with a NUL byte fails like any other bad name', async () => {
    const baseRepo = base();
    const reply = await daemon('S').ask('git.worktree_create', { baseRepo, branchName: 'a\0b', worktreePath: 'wt' });
    expect(reply).toMatchObject({ success: false, errorCode: 'worktree_add_failed' });
  });

  test('members of later generations are ignored whatever their type', async () => {
    const baseRepo = base();
    const reply = await daemon('S').ask('git.worktree_create', {
      baseRepo,
      branchName: 'b',
      worktreePath: '../wt',
      timeoutMs: 'soon',
      worktreeRoot: 7,
      existingBranch: [],
    });
    expect(reply.success).toBe(true);
  });
});

test.each([
  ['S', { path: 1 }],
  ['current', { worktreeRoot: 1 }],
  ['current', { timeoutMs: 1.5 }],
  ['current', { timeoutMs: '5' }],
  ['next', { existingBranch: true }],
] as const)('in profile %s every method refuses %j', async (profile, params) => {
  for (const method of ['git.info', 'git.status', 'git.list_branches', 'git.worktree_create', 'git.worktree_remove']) {
    expect(await daemon(profile).call(method, params), method).toBe('-32602 Invalid params');
    expect(await daemon(profile).call(method, undefined), method).toBe('-32602 Invalid params');
  }
});

describe.each(['current', 'next'] as const)('git.worktree_create inside the repository (%s)', (profile) => {
  const branch = (name: string) => (profile === 'next' ? `,"branch":"${name}"` : '');

  test('the worktree is clean, complete and on its branch', async () => {
    const baseRepo = base();
    write(join(baseRepo, 'dir', 'run.sh'), '#!/bin/sh\n', 0o755);
    symlinkSync('a.txt', join(baseRepo, 'link'));
    commit(baseRepo, 'more');
    const worktreePath = session(baseRepo);
    expect(await daemon(profile).call('git.worktree_create', { baseRepo, branchName: 'b', worktreePath })).toBe(
      `{"success":true,"path":"${worktreePath}","sourceBranch":"main"${branch('b')}}`,
    );
    expect(git(worktreePath, 'status', '--porcelain', '--branch')).toBe('## b');
    expect(lstatSync(join(worktreePath, 'dir', 'run.sh')).mode & 0o111).not.toBe(0);
    expect(lstatSync(join(worktreePath, 'link')).isSymbolicLink()).toBe(true);
    expect(await daemon(profile).call('git.status', { path: worktreePath, baseRepo })).toBe(
      '{"isRepo":true,"clean":true}',
    );
  });

  test('a sibling worktree and a subfolder of the repository will do as baseRepo', async () => {
    const baseRepo = base();
    git(baseRepo, 'worktree', 'add', '-q', '-b', 'side', join(baseRepo, '..', 'side'));
    const side = join(baseRepo, '..', 'side').replace('/w/..', '');
    mkdirSync(join(baseRepo, 'sub'));
    for (const repo of [side, join(baseRepo, 'sub')]) {
      const worktreePath = session(repo);
      const reply = await daemon(profile).ask('git.worktree_create', {
        baseRepo: repo,
        branchName: `b${repo.length}`,
        worktreePath,
      });
      expect(reply, repo).toMatchObject({ success: true });
      expect(git(worktreePath, 'status', '--porcelain')).toBe('');
    }
  });

  test.each([
    ['', 'mkdir_failed', () => 'failed to create parent directory: "" does not name a directory'],
    ['rel/wt', 'unsafe_path', () => `refusing to create worktree: rel/wt is a relative path; ${advice}`],
    [
      '$/x/../wt',
      'unsafe_path',
      (p: string) => `refusing to create worktree: ${p} contains a ".." component; ${advice}`,
    ],
    ['$/../wt', 'unsafe_path', (p: string) => `refusing to create worktree: ${p} contains a ".." component; ${advice}`],
    [
      '$',
      'unsafe_path',
      (p: string) =>
        `refusing to create worktree: ${p} is not inside the repository ${p}; session worktrees are only created and removed under <repository>/.claude/worktrees`,
    ],
    [
      '$-beside',
      'unsafe_path',
      (p: string) =>
        `refusing to create worktree: ${p} is not inside the repository ${p.slice(0, -7)}; session worktrees are only created and removed under <repository>/.claude/worktrees`,
    ],
    [
      '$/a.txt',
      'unsafe_path',
      (p: string) =>
        `refusing to create worktree: ${p} already exists, and a new worktree is only ever created in a fresh directory`,
    ],
    [
      '$/a.txt/wt',
      'mkdir_failed',
      (p: string) => `failed to create parent directory: ${p.slice(0, -3)} is not a directory`,
    ],
  ])('the path %j is refused with %s and nothing is made', async (template, errorCode, text) => {
    const baseRepo = base();
    const worktreePath = template.replace('$', baseRepo);
    const before = readdirSync(join(baseRepo, '..'));
    expect(await daemon(profile).ask('git.worktree_create', { baseRepo, branchName: 'b', worktreePath })).toEqual({
      success: false,
      error: text(worktreePath),
      errorCode,
    });
    expect(readdirSync(join(baseRepo, '..'))).toEqual(before);
    expect(git(baseRepo, 'branch', '--list', 'b')).toBe('');
  });

  test('a link on the way is refused, wherever it leads, and the other side stays as it is', async () => {
    const folder = scratchFolder();
    const baseRepo = repository(join(folder, 'w'));
    mkdirSync(join(folder, 'away'));
    symlinkSync(join(folder, 'away'), join(baseRepo, '.claude'));
    expect(
      await daemon(profile).ask('git.worktree_create', { baseRepo, branchName: 'b', worktreePath: session(baseRepo) }),
    ).toEqual({
      success: false,
      error: `refusing to create worktree: ${baseRepo}/.claude is a symbolic link; a symlinked .claude or .claude/worktrees inside the repository is not supported for SSH sessions, because a repository can plant such a link and a planted one cannot reliably be told apart from your own. Replace it with a real directory (or delete it and it will be recreated)`,
      errorCode: 'symlinked_component',
    });
    expect(readdirSync(join(folder, 'away'))).toEqual([]);
  });

  test('a dangling link in the place of the worktree counts as existing', async () => {
    const baseRepo = base();
    symlinkSync('/nowhere', join(baseRepo, 'wt'));
    expect(
      await daemon(profile).ask('git.worktree_create', {
        baseRepo,
        branchName: 'b',
        worktreePath: join(baseRepo, 'wt'),
      }),
    ).toMatchObject({ errorCode: 'unsafe_path', error: expect.stringContaining('already exists') });
  });

  test('a repository inside a managed folder, or one that leads nowhere, is refused', async () => {
    const folder = scratchFolder();
    const nested = repository(join(folder, '.claude', 'worktrees', 'x'));
    symlinkSync(join(folder, 'gone'), join(folder, 'dangling'));
    for (const baseRepo of [nested, join(folder, 'dangling')]) {
      expect(
        await daemon(profile).ask('git.worktree_create', {
          baseRepo,
          branchName: 'b',
          worktreePath: join(nested, 'y'),
        }),
      ).toEqual({
        success: false,
        error:
          'baseRepo is inside a managed worktrees directory (beneath .claude/worktrees, or beneath a directory holding a .claude-managed-worktrees marker), or could not be validated as a trust root',
        errorCode: 'nested_base_repo',
      });
    }
  });

  test('a worktree that is there already stays one', async () => {
    const baseRepo = base();
    const worktreePath = session(baseRepo);
    git(baseRepo, 'worktree', 'add', '-q', '-b', 'live', worktreePath);
    expect(await daemon(profile).ask('git.worktree_create', { baseRepo, branchName: 'b', worktreePath })).toMatchObject(
      { errorCode: 'unsafe_path', error: expect.stringContaining('already exists') },
    );
    expect(git(worktreePath, 'status', '--porcelain', '--branch')).toBe('## live');
    expect(git(baseRepo, 'worktree', 'list').split('\n')).toHaveLength(2);
  });

  test('what is no work tree is no repository', async () => {
    const folder = scratchFolder();
    git(folder, 'init', '-q', '--bare', 'bare.git');
    for (const baseRepo of [folder, join(folder, 'bare.git'), join(folder, 'missing')]) {
      expect(
        await daemon(profile).call('git.worktree_create', {
          baseRepo,
          branchName: 'b',
          worktreePath: join(baseRepo, 'x'),
        }),
      ).toBe('{"success":false,"error":"not a git repository","errorCode":"not_a_repo"}');
    }
  });

  test('an add that fails leaves the parents and no empty leaf', async () => {
    const baseRepo = base();
    git(baseRepo, 'branch', 'dup');
    const worktreePath = session(baseRepo);
    const separator = profile === 'next' ? ' ' : '\n';
    expect(await daemon(profile).ask('git.worktree_create', { baseRepo, branchName: 'dup', worktreePath })).toEqual({
      success: false,
      error: `git worktree add failed: Preparing worktree (new branch 'dup')${separator}fatal: a branch named 'dup' already exists`,
      errorCode: 'worktree_add_failed',
    });
    expect(readdirSync(join(baseRepo, '.claude'))).toEqual(['worktrees']);
    expect(existsSync(worktreePath)).toBe(false);
    expect(git(baseRepo, 'branch', '--list', 'dup')).toContain('dup');
  });

  test('a repository without a commit fails as git does', async () => {
    const baseRepo = join(scratchFolder(), 'w');
    mkdirSync(baseRepo);
    git(baseRepo, 'init', '-q');
    expect(
      await daemon(profile).ask('git.worktree_create', { baseRepo, branchName: 'b', worktreePath: session(baseRepo) }),
    ).toMatchObject({ success: false, errorCode: expect.stringMatching(/worktree_add_failed/) });
    expect(existsSync(session(baseRepo))).toBe(false);
  });

  test('a timeout during the checkout takes everything back', async () => {
    const baseRepo = base();
    const worktreePath = session(baseRepo);
    standInForGit(
      scratchFolder(),
      'for word; do [ "$word" = read-tree ] && { echo half > half; sleep 60 & wait; }; done; exec "$GIT" "$@"',
    );
    expect(
      await daemon(profile).ask('git.worktree_create', { baseRepo, branchName: 'b', worktreePath, timeoutMs: 6000 }),
    ).toEqual({
      success: false,
      error: 'git worktree add timed out after 6000ms (deadline expired during the checkout): signal: killed',
      errorCode: 'timeout',
    });
    expect(existsSync(worktreePath)).toBe(false);
    expect(git(baseRepo, 'branch', '--list', 'b')).toBe('');
    expect(readdirSync(join(baseRepo, '.git', 'worktrees'))).toEqual([]);
    expect(git(baseRepo, 'worktree', 'list').split('\n')).toHaveLength(1);
  });

  test('a checkout that fails takes everything back, the branch it made included', async () => {
    const baseRepo = base();
    standInForGit(
      scratchFolder(),
      'for word; do [ "$word" = read-tree ] && { echo half > half; echo "fatal: no" >&2; exit 3; }; done; exec "$GIT" "$@"',
    );
    expect(
      await daemon(profile).ask('git.worktree_create', { baseRepo, branchName: 'b', worktreePath: session(baseRepo) }),
    ).toEqual({
      success: false,
      error: 'git worktree add failed (checkout): fatal: no',
      errorCode: 'worktree_add_failed',
    });
    expect(existsSync(session(baseRepo))).toBe(false);
    expect(git(baseRepo, 'branch', '--list', 'b')).toBe('');
    expect(readdirSync(join(baseRepo, '.git', 'worktrees'))).toEqual([]);
  });

  test('a copy that comes too late takes everything back', async () => {
    const baseRepo = base();
    write(join(baseRepo, '.worktreeinclude'), 'x\n');
    standInForGit(scratchFolder(), 'for word; do [ "$word" = --others ] && sleep 7; done; exec "$GIT" "$@"');
    expect(
      await daemon(profile).ask('git.worktree_create', {
        baseRepo,
        branchName: 'b',
        worktreePath: session(baseRepo),
        timeoutMs: 6000,
      }),
    ).toEqual({
      success: false,
      error: 'git worktree add timed out after 6000ms (deadline expired after the checkout finished)',
      errorCode: 'timeout',
    });
    expect(existsSync(session(baseRepo))).toBe(false);
  });

  test('a descendant that keeps the pipe of the checkout open does not hold the reply for ever', async () => {
    const baseRepo = base();
    standInForGit(scratchFolder(), 'for word; do [ "$word" = read-tree ] && { sleep 1000 & }; done; exec "$GIT" "$@"');
    expect(
      await daemon(profile).ask('git.worktree_create', { baseRepo, branchName: 'b', worktreePath: session(baseRepo) }),
    ).toMatchObject({ success: true });
  });

  test('what stands in the way of the undo is named, and the code stays', async () => {
    const baseRepo = base();
    const worktreePath = session(baseRepo);
    // The undo deletes the branch after it has emptied the folder and before it removes it; a file is put there meanwhile.
    standInForGit(
      scratchFolder(),
      `for word; do [ "$word" = read-tree ] && exit 3; [ "$word" = update-ref ] && echo x > "${worktreePath}/back"; done; exec "$GIT" "$@"`,
    );
    const reply = await daemon(profile).ask('git.worktree_create', { baseRepo, branchName: 'b', worktreePath });
    expect(reply).toMatchObject({ success: false, errorCode: 'worktree_add_failed' });
    expect(reply.error).toBe(
      `git worktree add failed (checkout): ${profile === 'next' ? 'exit status 3' : ''}; and the undo could not finish for ${worktreePath}: the worktree directory remains (re-populated while undoing?); remove it by hand before retrying (removeat s: directory not empty)`,
    );
  });
});

describe('git.worktree_create in the earlier generation', () => {
  test('the deadline ends a running add and takes back what it made', async () => {
    const baseRepo = base();
    standInForGit(
      scratchFolder(),
      'case " $* " in *" worktree add "*) "$GIT" "$@"; sleep 60 & wait;; esac; exec "$GIT" "$@"',
    );
    expect(
      await daemon('current').ask('git.worktree_create', {
        baseRepo,
        branchName: 'b',
        worktreePath: session(baseRepo),
        timeoutMs: 2000,
      }),
    ).toEqual({
      success: false,
      error: 'git worktree add timed out after 2000ms (deadline expired before the checkout started)',
      errorCode: 'timeout',
    });
    expect(existsSync(session(baseRepo))).toBe(false);
    expect(git(baseRepo, 'branch', '--list', 'b')).toBe('');
    expect(git(baseRepo, 'worktree', 'list').split('\n')).toHaveLength(1);
  });

  test('a branch that was there before is not taken back', async () => {
    const baseRepo = base();
    git(baseRepo, 'branch', 'b');
    standInForGit(scratchFolder(), 'case " $* " in *" worktree add "*) sleep 60 & wait;; esac; exec "$GIT" "$@"');
    expect(
      await daemon('current').ask('git.worktree_create', {
        baseRepo,
        branchName: 'b',
        worktreePath: session(baseRepo),
        timeoutMs: 1000,
      }),
    ).toMatchObject({ errorCode: 'timeout' });
    expect(git(baseRepo, 'branch', '--list', 'b')).toContain('b');
  });
});

describe('git.worktree_create in the later generation', () => {
  const create = (params: object) => daemon('next').ask('git.worktree_create', params);

  test('the deadline never ends an add; it is looked at afterwards', async () => {
    const baseRepo = base();
    standInForGit(scratchFolder(), 'case " $* " in *" worktree add "*) sleep 2;; esac; exec "$GIT" "$@"');
    expect(await create({ baseRepo, branchName: 'b', worktreePath: session(baseRepo), timeoutMs: 200 })).toEqual({
      success: false,
      error: 'git worktree add timed out after 200ms (deadline expired before the checkout started)',
      errorCode: 'timeout',
    });
    git(baseRepo, 'branch', 'dup');
    expect(
      await create({ baseRepo, branchName: 'dup', worktreePath: session(baseRepo), timeoutMs: 200 }),
    ).toMatchObject({ errorCode: 'worktree_add_failed' });
  });

  test('a folder that exists is named by where it really is', async () => {
    const folder = scratchFolder();
    const baseRepo = repository(join(folder, 'w'));
    symlinkSync(baseRepo, join(folder, 'link'));
    const worktreePath = join(folder, 'link', 'a.txt');
    expect(await create({ baseRepo: join(folder, 'link'), branchName: 'b', worktreePath })).toMatchObject({
      error: `refusing to create worktree: ${baseRepo}/a.txt already exists, and a new worktree is only ever created in a fresh directory`,
    });
  });

  test('the place of a worktree that somebody deleted by hand can be used again, but not of a locked one', async () => {
    const baseRepo = base();
    const worktreePath = session(baseRepo);
    await create({ baseRepo, branchName: 'one', worktreePath });
    git(baseRepo, '-c', 'alias.rm-r=!rm -r', 'rm-r', worktreePath);
    expect(await create({ baseRepo, branchName: 'two', worktreePath })).toMatchObject({ success: true, branch: 'two' });
    git(baseRepo, 'worktree', 'lock', worktreePath);
    git(baseRepo, '-c', 'alias.rm-r=!rm -r', 'rm-r', worktreePath);
    expect(await create({ baseRepo, branchName: 'three', worktreePath })).toMatchObject({
      errorCode: 'worktree_add_failed',
    });
  });

  describe('the start commit', () => {
    /** The branch `topic` here and at origin; each has commits that the other has not. */
    function parted(local: () => void = () => {}): { baseRepo: string; local: string; remote: string } {
      const baseRepo = base();
      git(baseRepo, 'checkout', '-q', '-b', 'topic');
      write(join(baseRepo, 'remote.txt'));
      const remote = commit(baseRepo, 'remote');
      git(baseRepo, 'update-ref', 'refs/remotes/origin/topic', remote);
      git(baseRepo, 'reset', '-q', '--hard', 'main');
      write(join(baseRepo, 'local.txt'));
      withBase(baseRepo, local);
      const id = commit(baseRepo, 'local');
      git(baseRepo, 'checkout', '-q', 'main');
      return { baseRepo, local: id, remote };
    }
    function withBase(baseRepo: string, work: () => void): void {
      const before = process.cwd();
      process.chdir(baseRepo);
      try {
        work();
      } finally {
        process.chdir(before);
      }
    }
    const headOf = async (baseRepo: string, sourceBranch: string) => {
      const worktreePath = session(baseRepo);
      const reply = await create({ baseRepo, branchName: 'b', worktreePath, sourceBranch });
      return { sourceBranch: reply.sourceBranch, head: git(worktreePath, 'rev-parse', 'HEAD') };
    };

    test('is the local branch when origin has none', async () => {
      const baseRepo = base();
      git(baseRepo, 'branch', 'topic');
      expect(await headOf(baseRepo, 'topic')).toEqual({
        sourceBranch: 'topic',
        head: git(baseRepo, 'rev-parse', 'topic'),
      });
    });

    test('is the one at origin when there is no local branch', async () => {
      const { baseRepo, remote } = parted();
      git(baseRepo, 'branch', '-q', '-D', 'topic');
      expect(await headOf(baseRepo, 'topic')).toEqual({ sourceBranch: 'topic', head: remote });
      expect(git(session(baseRepo), 'config', '--default', '', '--get', 'branch.b.remote')).toBe('');
    });

    test('is the one at origin when it is ahead', async () => {
      const { baseRepo, remote } = parted();
      git(baseRepo, 'branch', '-q', '-f', 'topic', 'main');
      expect(await headOf(baseRepo, 'topic')).toEqual({ sourceBranch: 'topic', head: remote });
    });

    test("is the local branch when they parted and it did not touch the agent's settings", async () => {
      const { baseRepo, local } = parted();
      expect(await headOf(baseRepo, 'topic')).toEqual({ sourceBranch: 'topic', head: local });
    });

    test.each(['.claude/settings.json', '.CLAUDE/x', '.mcp.json', '.MCP.json'])(
      'is the one at origin when they parted and the local branch changed %s',
      async (name) => {
        const { baseRepo, remote } = parted(() => write(name));
        expect(await headOf(baseRepo, 'topic')).toEqual({ sourceBranch: 'topic', head: remote });
      },
    );

    test('is HEAD when neither is there, and the reply names the current branch', async () => {
      const baseRepo = base();
      expect(await headOf(baseRepo, 'nope')).toEqual({
        sourceBranch: 'main',
        head: git(baseRepo, 'rev-parse', 'HEAD'),
      });
    });

    test('of a detached repository is named by nothing', async () => {
      const baseRepo = base();
      git(baseRepo, 'checkout', '-q', '--detach');
      expect(await headOf(baseRepo, '')).toEqual({
        sourceBranch: undefined,
        head: git(baseRepo, 'rev-parse', 'HEAD'),
      });
    });
  });

  describe('an existing branch', () => {
    test('is attached to, from wherever it is', async () => {
      const baseRepo = base();
      git(baseRepo, 'branch', 'old');
      write(join(baseRepo, 'later.txt'));
      commit(baseRepo, 'later');
      const worktreePath = session(baseRepo);
      expect(
        await daemon('next').call('git.worktree_create', {
          baseRepo,
          branchName: 'b',
          worktreePath,
          existingBranch: 'old',
        }),
      ).toBe(`{"success":true,"path":"${worktreePath}","sourceBranch":"main","branch":"old"}`);
      expect(existsSync(join(worktreePath, 'later.txt'))).toBe(false);
      expect(git(worktreePath, 'status', '--porcelain', '--branch')).toBe('## old');
      expect(git(baseRepo, 'branch', '--list', 'b')).toBe('');
    });

    test('that is checked out elsewhere gives way to a new one', async () => {
      const baseRepo = base();
      const worktreePath = session(baseRepo);
      expect(await create({ baseRepo, branchName: 'b', worktreePath, existingBranch: 'main' })).toMatchObject({
        success: true,
        branch: 'b',
      });
    });

    test('is not deleted when the checkout fails', async () => {
      const baseRepo = base();
      git(baseRepo, 'branch', 'old');
      standInForGit(scratchFolder(), 'for word; do [ "$word" = read-tree ] && exit 3; done; exec "$GIT" "$@"');
      await create({ baseRepo, branchName: 'b', worktreePath: session(baseRepo), existingBranch: 'old' });
      expect(git(baseRepo, 'branch', '--list', 'old')).toContain('old');
      expect(existsSync(session(baseRepo))).toBe(false);
    });

    test('and a new one that both fail are both explained', async () => {
      const baseRepo = base();
      git(baseRepo, 'branch', 'dup');
      expect(
        await create({ baseRepo, branchName: 'dup', worktreePath: session(baseRepo), existingBranch: 'main' }),
      ).toMatchObject({
        error: expect.stringMatching(
          /^git worktree add failed: Preparing worktree \(new branch 'dup'\) fatal: a branch named 'dup' already exists \(attaching to the existing branch main was refused first: Preparing worktree \(checking out 'main'\) fatal: 'main' is already (?:checked out|used by worktree) at '.*'\)$/,
        ),
      });
    });
  });

  describe('the registration after the add', () => {
    test('is put right when somebody changes what git has just made', async () => {
      const tampers = [
        (_base: string, leaf: string) => `echo "gitdir: /elsewhere/.git/worktrees/s" > ${leaf}/.git`,
        (baseRepo: string) => `rm -rf ${baseRepo}/.git/worktrees`,
        (baseRepo: string) =>
          `mkdir -p ${baseRepo}/.git/worktrees/s; echo /o/.git > ${baseRepo}/.git/worktrees/s/gitdir`,
      ];
      for (const tamper of tampers) {
        const baseRepo = base();
        const worktreePath = session(baseRepo);
        standInForGit(
          scratchFolder(),
          `case " $* " in *" worktree add "*) "$GIT" "$@"; s=$?; ${tamper(baseRepo, worktreePath)}; exit $s;; esac; exec "$GIT" "$@"`,
        );
        expect(await create({ baseRepo, branchName: 'b', worktreePath })).toMatchObject({ success: true });
        expect(git(worktreePath, 'status', '--porcelain', '--branch')).toBe('## b');
        expect(git(baseRepo, 'worktree', 'list')).toContain(worktreePath);
      }
    });

    const doubted = async (tamper: (baseRepo: string, worktreePath: string) => void) => {
      const baseRepo = base();
      const worktreePath = session(baseRepo);
      git(baseRepo, 'worktree', 'add', '-q', '-b', 'b', worktreePath);
      tamper(baseRepo, worktreePath);
      const checked = checkRegistration(worktreePath, join(baseRepo, '.git'), [], platform.paths);
      await expect(checked).rejects.toMatchObject({ code: 'unsafe_path' });
      return checked.catch((error: Error) => error.message.replaceAll(worktreePath, '<leaf>'));
    };

    test('is doubted when .git names another place', async () => {
      expect(
        await doubted((_base, leaf) => writeFileSync(join(leaf, '.git'), 'gitdir: /elsewhere/.git/worktrees/s\n')),
      ).toBe(
        "refusing to create worktree: <leaf> carries a .git file that does not name this repository's own worktree admin directory",
      );
    });

    test('is doubted when there are no worktrees at all', async () => {
      expect(await doubted((baseRepo) => rmSync(join(baseRepo, '.git', 'worktrees'), { recursive: true }))).toBe(
        'refusing to create worktree: <leaf> was not populated by git worktree add',
      );
    });

    test('is doubted when it is of another worktree', async () => {
      expect(
        await doubted((baseRepo) => writeFileSync(join(baseRepo, '.git', 'worktrees', 's', 'gitdir'), '/other/.git\n')),
      ).toBe(
        'refusing to create worktree: <leaf> carries a .git file naming an admin directory whose own record is of a different worktree',
      );
    });
  });

  test('a rollback that would lose commits keeps the branch and says so', async () => {
    const baseRepo = base();
    const worktreePath = session(baseRepo);
    // While the checkout runs, the new branch moves on.
    standInForGit(
      scratchFolder(),
      `for word; do [ "$word" = read-tree ] && { exec 2>/dev/null; "$GIT" -C ${baseRepo} update-ref refs/heads/b $("$GIT" -C ${baseRepo} commit-tree -p main -m work main^{tree}); exit 3; }; done; exec "$GIT" "$@"`,
    );
    const reply = await create({ baseRepo, branchName: 'b', worktreePath });
    expect(reply).toEqual({
      success: false,
      error: `git worktree add failed (checkout): exit status 3; and the undo could not finish for ${worktreePath}: the worktree itself was removed, but branch b was left in place: it now has commits no other branch or remote-tracking ref reaches. To keep that work, push the branch or rename it. To discard it, run git branch -D b. This branch name cannot be reused until the branch is renamed or deleted`,
      errorCode: 'worktree_add_failed',
      branchKept: true,
    });
    expect(existsSync(worktreePath)).toBe(false);
    expect(git(baseRepo, 'branch', '--list', 'b')).toContain('b');
  });

  test('nothing that cannot be deleted is reported as undone', async () => {
    const baseRepo = base();
    const worktreePath = session(baseRepo);
    const reached = join(scratchFolder(), 'reached');
    standInForGit(
      scratchFolder(),
      `for word; do [ "$word" = read-tree ] && { mkdir ${worktreePath}/mount; touch ${reached}; exit 3; }; done; exec "$GIT" "$@"`,
    );
    const failing = daemon('next');
    const files = failing.services.platform.files;
    const openFolder = async (path: string) =>
      existsSync(reached) && path.endsWith('.git')
        ? Promise.reject(Object.assign(new Error('no'), { code: 'EACCES' }))
        : files.openFolder(path);
    Object.assign(failing.services.platform, { files: { ...files, openFolder } });
    expect(await failing.ask('git.worktree_create', { baseRepo, branchName: 'b', worktreePath })).toMatchObject({
      error: `git worktree add failed (checkout): exit status 3; and the undo could not finish for ${worktreePath}: the worktree registration and the branch remain; remove them by hand before retrying (RemoveAll s: permission denied)`,
    });
  });

  test('configuration the daemon inherited that git would not read as it stands keeps git from running', async () => {
    const baseRepo = base();
    const prefix = 'config-defined hooks could not be pinned off; git not run: ';
    withVariables({ GIT_CONFIG_COUNT: '1x' });
    expect(await create({ baseRepo, branchName: 'b', worktreePath: session(baseRepo) })).toEqual({
      success: false,
      error: `${prefix}inherited GIT_CONFIG_COUNT "1x" is not a count`,
      errorCode: 'worktree_add_failed',
    });
    withVariables({ GIT_CONFIG_COUNT: '1', GIT_CONFIG_KEY_0: 'user.name' });
    expect(await daemon('next').call('git.info', { path: baseRepo })).toBe(
      `-32603 ${prefix}inherited GIT_CONFIG pair 0 is incomplete`,
    );
  });
});

test.each(['S', 'current', 'next'] as const)(
  'a branch name that looks like an option deletes nothing (%s)',
  async (profile) => {
    const baseRepo = base();
    git(baseRepo, 'branch', 'feature');
    for (const branchName of ['-D', '-m', '--detach', '-']) {
      expect(
        await daemon(profile).ask('git.worktree_create', {
          baseRepo,
          branchName,
          worktreePath: session(baseRepo),
          sourceBranch: 'feature',
          existingBranch: '-',
        }),
      ).toEqual({
        success: false,
        error: `git worktree add failed: fatal: '${branchName}' is not a valid branch name`,
        errorCode: 'worktree_add_failed',
      });
    }
    expect(git(baseRepo, 'branch')).toBe('feature\n* main');
    expect(existsSync(session(baseRepo))).toBe(false);
  },
);

test('a new worktree obeys the umask and the modes of git', async () => {
  const baseRepo = base();
  const before = process.umask(0o027);
  try {
    for (const profile of ['current', 'next'] as const) {
      const worktreePath = join(baseRepo, 'deep', profile, 's');
      await daemon(profile).ask('git.worktree_create', { baseRepo, branchName: profile, worktreePath });
      expect(lstatSync(join(baseRepo, 'deep')).mode & 0o777).toBe(0o750);
      expect(lstatSync(worktreePath).mode & 0o777).toBe(0o750);
      expect(
        lstatSync(
          join(
            baseRepo,
            '.git',
            'worktrees',
            git(worktreePath, 'rev-parse', '--git-dir').split('/').at(-1) ?? '',
            'index',
          ),
        ).mode & 0o777,
      ).toBe(0o640);
    }
  } finally {
    process.umask(before);
  }
});

test('requests for one repository wait for each other, whichever way it is spelled', async () => {
  const folder = scratchFolder();
  const baseRepo = repository(join(folder, 'w'));
  symlinkSync(baseRepo, join(folder, 'link'));
  const { call } = daemon('current');
  const replies = await Promise.all(
    Array.from({ length: 6 }, (_, index) => {
      const repo = index % 2 === 0 ? baseRepo : join(folder, 'link');
      return call('git.worktree_create', {
        baseRepo: repo,
        branchName: `b${index}`,
        worktreePath: session(repo, `s${index}`),
      });
    }),
  );
  for (const reply of replies) {
    expect(reply).toMatch(/^\{"success":true/);
  }
  expect(git(baseRepo, 'worktree', 'list').split('\n')).toHaveLength(7);
});

test('creating and removing one worktree at the same time leaves it whole or gone', async () => {
  for (const profile of ['S', 'current', 'next'] as const) {
    const baseRepo = base();
    const { ask } = daemon(profile);
    const worktreePath = session(baseRepo);
    const work = Array.from({ length: 8 }, (_, index) =>
      index % 2 === 0
        ? ask('git.worktree_create', { baseRepo, branchName: `b${index}`, worktreePath })
        : ask('git.worktree_remove', { baseRepo, worktreePath, branchName: `b${index - 1}` }),
    );
    const replies = await Promise.all(work);
    // The replies show that the worktree was made, removed, made and removed, in the order of arrival.
    expect(
      replies.map(({ success }) => success),
      profile,
    ).toEqual(Array(8).fill(true));
    expect(existsSync(worktreePath)).toBe(false);
    expect(git(baseRepo, 'worktree', 'list').split('\n')).toHaveLength(1);
    expect(readdirSync(join(baseRepo, '.claude', 'worktrees'))).toEqual([]);
    expect(readFileSync(join(baseRepo, 'a.txt'), 'utf8')).toBe('x\n');
  }
});

test('a folder git may not enter is not deleted by the failure of the add', async () => {
  const baseRepo = base();
  const worktreePath = session(baseRepo);
  standInForGit(
    scratchFolder(),
    `case " $* " in *" worktree add "*) echo precious > ${worktreePath}/precious; exit 9;; esac; exec "$GIT" "$@"`,
  );
  await daemon('next').ask('git.worktree_create', { baseRepo, branchName: 'b', worktreePath });
  expect(readFileSync(join(worktreePath, 'precious'), 'utf8')).toBe('precious\n');
  chmodSync(worktreePath, 0o700);
  writeFileSync(join(worktreePath, 'more'), '');
});
