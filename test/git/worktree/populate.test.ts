import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { ProfileName } from '../../../src/wire/profile.ts';
import { commit, daemon, git, repository, scratchFolder, standInForGit, write } from '../support.ts';

/** Untracked files below a folder that `git worktree add` alone would not have made, sorted. */
function untracked(worktree: string): string[] {
  return git(worktree, 'ls-files', '--others', '-z')
    .split('\0')
    .filter((name) => name !== '')
    .sort();
}

async function create(
  profile: ProfileName,
  baseRepo: string,
  worktreePath = join(baseRepo, '.claude', 'worktrees', 's'),
) {
  const reply = await daemon(profile).ask('git.worktree_create', { baseRepo, branchName: 's', worktreePath });
  expect(reply).toMatchObject({ success: true });
  return worktreePath;
}

function base(): string {
  return repository(join(scratchFolder(), 'w'));
}

describe('population in the seed generation', () => {
  test('.claude is copied whole but for the worktrees, and tracked files in it are overwritten', async () => {
    const baseRepo = base();
    write(join(baseRepo, '.claude', 'tracked.json'), 'old');
    commit(baseRepo, 'claude');
    write(join(baseRepo, '.claude', 'tracked.json'), 'new');
    write(join(baseRepo, '.claude', 'sub', 'run.sh'), 'x', 0o755);
    write(join(baseRepo, '.claude', 'worktrees', 'other', 'f'));
    const worktree = await create('S', baseRepo);
    expect(readFileSync(join(worktree, '.claude', 'tracked.json'), 'utf8')).toBe('new');
    expect(readdirSync(join(worktree, '.claude')).sort()).toEqual(['sub', 'tracked.json']);
    expect(lstatSync(join(worktree, '.claude', 'sub', 'run.sh')).mode & 0o777).toBe(0o666 & ~process.umask());
  });

  test('a worktree inside .claude is not copied into itself', async () => {
    const baseRepo = base();
    write(join(baseRepo, '.claude', 'settings.json'));
    const worktree = await create('S', baseRepo, join(baseRepo, '.claude', 'here', 'wt'));
    expect(existsSync(join(worktree, '.claude', 'settings.json'))).toBe(true);
    expect(existsSync(join(worktree, '.claude', 'here', 'wt'))).toBe(false);
  });

  test('the manifest names untracked files, ignored or not; links and special files stay out', async () => {
    const baseRepo = base();
    write(join(baseRepo, '.gitignore'), '*.env\n');
    commit(baseRepo, 'ignore');
    write(join(baseRepo, '.worktreeinclude'), '*.env\nplain.txt\nlinked\npipe\n');
    write(join(baseRepo, 'deep', 'er', 'a.env'));
    write(join(baseRepo, 'plain.txt'));
    write(join(baseRepo, 'other.txt'));
    symlinkSync('/etc/passwd', join(baseRepo, 'linked'));
    execFileSync('mkfifo', [join(baseRepo, 'pipe')]);
    expect(untracked(await create('S', baseRepo))).toEqual(['deep/er/a.env', 'plain.txt']);
  });

  test('a repository asked for by a subfolder copies from its top', async () => {
    const baseRepo = base();
    write(join(baseRepo, '.claude', 'settings.json'));
    mkdirSync(join(baseRepo, 'sub'));
    const worktree = join(baseRepo, '..', 'wt');
    await daemon('S').ask('git.worktree_create', {
      baseRepo: join(baseRepo, 'sub'),
      branchName: 's',
      worktreePath: worktree,
    });
    expect(existsSync(join(worktree, '.claude', 'settings.json'))).toBe(true);
  });
});

describe('population in the generation between', () => {
  test('only what the manifest names and git ignores is copied, and .claude is not', async () => {
    const baseRepo = base();
    write(join(baseRepo, '.gitignore'), '*.env\n.claude/\n');
    commit(baseRepo, 'ignore');
    write(join(baseRepo, '.worktreeinclude'), 'a.env\nplain.txt\n');
    write(join(baseRepo, 'a.env'));
    write(join(baseRepo, 'b.env'));
    write(join(baseRepo, 'plain.txt'));
    write(join(baseRepo, '.claude', 'settings.json'));
    expect(untracked(await create('current', baseRepo))).toEqual(['a.env']);
  });

  test('names git puts in quotes stay out', async () => {
    const baseRepo = base();
    write(join(baseRepo, '.gitignore'), '*.env\n');
    commit(baseRepo, 'ignore');
    write(join(baseRepo, '.worktreeinclude'), '*.env\n');
    write(join(baseRepo, 'é.env'));
    write(join(baseRepo, 'e.env'));
    expect(untracked(await create('current', baseRepo))).toEqual(['e.env']);
  });
});

describe('population in the later generation', () => {
  /** A repository that ignores `*.env` and `.claude/`, with files of both kinds. */
  function filled(): string {
    const baseRepo = base();
    write(join(baseRepo, '.gitignore'), '*.env\n.claude/\n');
    commit(baseRepo, 'ignore');
    write(join(baseRepo, 'a.env'));
    write(join(baseRepo, '.claude', 'settings.local.json'));
    return baseRepo;
  }

  test('odd names are copied byte by byte', async () => {
    const baseRepo = filled();
    write(join(baseRepo, '.worktreeinclude'), '*.env\n');
    const odd = Buffer.from('q"\xff\n.env', 'latin1');
    writeFileSync(Buffer.concat([Buffer.from(`${baseRepo}/`), odd]), 'odd');
    const worktree = await create('next', baseRepo);
    expect(readFileSync(Buffer.concat([Buffer.from(`${worktree}/`), odd]), 'utf8')).toBe('odd');
  });

  test('without a manifest the ignored files of .claude come along, and nothing else', async () => {
    const baseRepo = filled();
    write(join(baseRepo, '.claude', 'agents', 'one.md'));
    expect(untracked(await create('next', baseRepo))).toEqual(['.claude/agents/one.md', '.claude/settings.local.json']);
  });

  test('what a running agent keeps in .claude stays where it is, whatever its case', async () => {
    const baseRepo = filled();
    write(join(baseRepo, '.worktreeinclude'), '.claude/\n');
    for (const name of [
      'scheduled_tasks.json',
      'Scheduled_Tasks.LOCK',
      'routines/.state/x',
      'checkpoints/x',
      'Mailbox/x',
      'agent-registry.json',
      'first-run',
      'assistant-daemon-state.json',
      'worktrees/old/x',
      'Worktrees/old/x',
    ]) {
      write(join(baseRepo, '.claude', name));
    }
    write(join(baseRepo, '.claude', 'routines', 'kept'));
    write(join(baseRepo, '.claude', 'deeper', 'first-run'));
    expect(untracked(await create('next', baseRepo))).toEqual([
      '.claude/deeper/first-run',
      '.claude/routines/kept',
      '.claude/settings.local.json',
    ]);
  });

  test('nested repositories are not copied', async () => {
    const baseRepo = filled();
    write(join(baseRepo, '.worktreeinclude'), '*.env\nnested.env/\n');
    repository(join(baseRepo, 'nested.env'));
    write(join(baseRepo, 'nested.env', 'x.env'));
    repository(join(baseRepo, '.claude', 'plugin'));
    const worktree = await create('next', baseRepo);
    expect(existsSync(join(worktree, 'nested.env'))).toBe(false);
    expect(existsSync(join(worktree, '.claude', 'plugin'))).toBe(false);
    expect(existsSync(join(worktree, 'a.env'))).toBe(true);
  });

  test.each([
    ['a link', (path: string) => symlinkSync('/etc/hostname', path)],
    ['a FIFO', (path: string) => execFileSync('mkfifo', [path])],
    ['a folder', (path: string) => mkdirSync(path)],
  ])('a manifest that is %s is none', async (_what, make) => {
    const baseRepo = filled();
    make(join(baseRepo, '.worktreeinclude'));
    expect(untracked(await create('next', baseRepo))).not.toContain('a.env');
  });
});

test.each(['S', 'current', 'next'] as const)(
  'nothing is written through a link that the new branch brings (%s)',
  async (profile) => {
    const folder = scratchFolder();
    const baseRepo = repository(join(folder, 'w'));
    mkdirSync(join(folder, 'away'));
    write(join(baseRepo, '.gitignore'), '*.env\n');
    symlinkSync(join(folder, 'away'), join(baseRepo, 'dir'));
    symlinkSync(join(folder, 'away'), join(baseRepo, '.claude'));
    commit(baseRepo, 'links');
    // They are folders in the repository from now on, and will be links in the worktree.
    execFileSync('rm', [join(baseRepo, 'dir'), join(baseRepo, '.claude')]);
    write(join(baseRepo, 'dir', 'a.env'));
    write(join(baseRepo, '.claude', 'b.env'));
    write(join(baseRepo, '.worktreeinclude'), '*.env\n');
    await create(profile, baseRepo, join(baseRepo, 'wt'));
    expect(readdirSync(join(folder, 'away'))).toEqual([]);
  },
);

test.each(['S', 'current', 'next'] as const)(
  'a listing that fails costs the copies and not the worktree (%s)',
  async (profile) => {
    const baseRepo = base();
    write(join(baseRepo, '.worktreeinclude'), '*\n');
    write(join(baseRepo, 'x'));
    standInForGit(scratchFolder(), 'for word; do [ "$word" = ls-files ] && exit 1; done; exec "$GIT" "$@"');
    const worktree = await create(profile, baseRepo);
    expect(existsSync(join(worktree, 'a.txt'))).toBe(true);
    expect(existsSync(join(worktree, 'x'))).toBe(false);
  },
);
