/** "Could not look" is a refusal, and a limit is told: nothing is deleted and nothing is left out in silence. */
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { CopyBudget } from '../../../src/git/worktree/copy-budget.ts';
import { root, testNeeding } from '../../support/needs.ts';
import { daemon, git, repository, scratchFolder, standInForGit, withVariables, write } from '../support.ts';

const profiles = ['S', 'current', 'next'] as const;

function place(): { folder: string; baseRepo: string; worktreePath: string } {
  const folder = scratchFolder();
  const baseRepo = repository(join(folder, 'w'));
  return { folder, baseRepo, worktreePath: join(baseRepo, '.claude', 'worktrees', 's') };
}

describe('a registration that cannot be read', () => {
  for (const profile of profiles) {
    testNeeding(root)(`keeps the worktree, its branch and its record (${profile})`, {}, async () => {
      const { folder, baseRepo, worktreePath } = place();
      git(baseRepo, 'worktree', 'add', '-q', '-b', 's', worktreePath);
      write(join(worktreePath, 'unsaved.txt'));
      execFileSync('chown', ['-R', '65534:65534', folder]);
      const record = join(baseRepo, '.git', 'worktrees', 's', 'gitdir');
      execFileSync('chown', ['0:0', record]);
      chmodSync(record, 0o600);
      withVariables({ HOME: folder, XDG_CONFIG_HOME: join(folder, '.config') });
      const { ask } = daemon(profile);
      const reply = await asNobody(() => ask('git.worktree_remove', { baseRepo, worktreePath, branchName: 's' }));
      expect(reply).toMatchObject({ success: false });
      expect(reply.error).toContain(
        profile === 'next'
          ? `could not check whether ${worktreePath} is locked (its registrations could not be examined); retry`
          : `${record} could not be read: permission denied`,
      );
      expect(readFileSync(join(worktreePath, 'unsaved.txt'), 'utf8')).toBe('x\n');
      expect(readdirSync(join(baseRepo, '.claude', 'worktrees'))).toEqual(['s']);
      expect(readdirSync(join(baseRepo, '.git', 'worktrees'))).toEqual(['s']);
      expect(readdirSync(join(baseRepo, '.git', 'refs', 'heads')).sort()).toEqual(['main', 's']);
    });
  }
});

/** Root may read everything, so the call is made as another user. */
async function asNobody<T>(work: () => Promise<T>): Promise<T> {
  process.seteuid?.(65_534);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
  }
}

test.each(profiles)(
  'a git that is killed or cannot be started has nothing taken for its answer (%s)',
  async (profile) => {
    const { folder, baseRepo, worktreePath } = place();
    git(baseRepo, 'worktree', 'add', '-q', '-b', 's', worktreePath);
    write(join(worktreePath, 'unsaved.txt'));
    const { ask } = daemon(profile);
    const remove = () => ask('git.worktree_remove', { baseRepo, worktreePath, branchName: 's' });
    const isWhole = () => {
      expect(readFileSync(join(worktreePath, 'unsaved.txt'), 'utf8')).toBe('x\n');
      expect(readdirSync(join(baseRepo, '.git', 'worktrees'))).toEqual(['s']);
      expect(existsSync(join(baseRepo, '.git', 'refs', 'heads', 's'))).toBe(true);
    };
    // From the start, and only from the removal itself on.
    for (const script of [
      'kill -9 $$',
      'case " $* " in *" worktree remove "*|*" rev-parse --git-dir "*) kill -9 $$;; esac; exec $GIT "$@"',
    ]) {
      standInForGit(join(folder, String(script.length)), script);
      const reply = await remove();
      if (profile !== 'next' || script.startsWith('kill')) {
        expect(reply).toMatchObject({ success: false });
        isWhole();
      }
    }
    if (profile === 'next') {
      return;
    }
    const empty = join(folder, 'empty');
    mkdirSync(empty);
    withVariables({ PATH: empty });
    expect(await remove()).toMatchObject({ success: false });
    isWhole();
  },
);

describe('what is copied into a new worktree', () => {
  test('is bounded by count and by bytes, and the limit is known by its number', () => {
    const count = new CopyBudget();
    for (let entry = 0; entry < 200_000; entry++) {
      count.takeEntry();
    }
    expect(count.reached).toBe(undefined);
    expect(count.takeEntry()).toBe(false);
    expect(count.reached).toBe('200000 files');

    const bytes = new CopyBudget();
    expect(bytes.takeBytes(8_589_934_592)).toBe(true);
    expect(bytes.takeBytes(1)).toBe(false);
    expect(bytes.reached).toBe('8589934592 bytes');
    // What was reached first is what is told.
    expect(bytes.takeEntry()).toBe(false);
    expect(bytes.reached).toBe('8589934592 bytes');
  });

  test.each(profiles)(
    'is bounded by time: the worktree is there, and the limit is told and counted (%s)',
    async (profile) => {
      const { folder, baseRepo, worktreePath } = place();
      write(join(baseRepo, '.gitignore'), '*.env\n');
      write(join(baseRepo, '.worktreeinclude'), '*.env\n');
      write(join(baseRepo, 'a.env'), 'secret\n');
      const late = join(folder, 'late');
      standInForGit(folder, `case " $* " in *" ls-files "*) touch ${late};; esac; exec $GIT "$@"`);
      const now = performance.now.bind(performance);
      // Half an hour goes by while git lists the files.
      const clock = vi.spyOn(performance, 'now').mockImplementation(() => now() + (existsSync(late) ? 1_800_000 : 0));
      onTestFinished(() => clock.mockRestore());
      const { ask, services, warnings } = daemon(profile, { gitTimeoutMs: 0 });
      const reply = await ask('git.worktree_create', { baseRepo, branchName: 's', worktreePath });
      expect(reply).toMatchObject({ success: true });
      expect(existsSync(join(worktreePath, 'a.env'))).toBe(false);
      expect(warnings.join()).toContain(
        `not everything was copied into the worktree ${worktreePath}: 5 minutes is the limit; name less in .worktreeinclude or in .claude`,
      );
      expect(services.counters.gitLimitsReached).toBe(1);
    },
  );

  test.each(profiles)('leaves out a file that says to have 8 TB, and has all others (%s)', async (profile) => {
    const { baseRepo, worktreePath } = place();
    write(join(baseRepo, '.gitignore'), '*.env\n');
    write(join(baseRepo, '.worktreeinclude'), '*.env\n');
    write(join(baseRepo, 'a.env'), 'a\n');
    truncateSync(write(join(baseRepo, 'b.env')), 8 * 2 ** 40);
    write(join(baseRepo, 'c.env'), 'c\n');
    const reply = await daemon(profile).ask('git.worktree_create', { baseRepo, branchName: 's', worktreePath });
    expect(reply).toMatchObject({ success: true });
    const copied = readdirSync(worktreePath).filter((name) => name.endsWith('.env'));
    expect(copied.sort()).toEqual(['a.env', 'c.env']);
  });
});
