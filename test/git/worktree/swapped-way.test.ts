/**
 * The folder above a session's worktree becomes a link after it was looked at. What the link leads to is the user's own, and
 * keeps its files: the checkout, the copies and the removal work in folders that are held open and in their place.
 */
import { existsSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { linux, testNeeding } from '../../support/needs.ts';
import { commit, daemon, git, repository, scratchFolder, standInForGit, write } from '../support.ts';
import { contentOf } from '../vectors/trap.ts';

interface Swapped {
  readonly baseRepo: string;
  readonly worktreePath: string;
  /** A folder of the user, with one `s` in it. */
  readonly outside: string;
  /** The swap takes place right before the next git that is started with these words. */
  arm(words: string): void;
  readonly hasSwapped: () => boolean;
  /** Puts everything back. */
  undo(): void;
}

function place(): Swapped {
  const folder = scratchFolder();
  const baseRepo = repository(join(folder, 'w'));
  write(join(baseRepo, '.gitignore'), '*.env\n.claude\n');
  write(join(baseRepo, '.worktreeinclude'), '*.env\n');
  write(join(baseRepo, 'authorized_keys'), 'of the repository\n');
  commit(baseRepo, 'files');
  write(join(baseRepo, 'a.env'), 'of the repository\n');
  const above = join(baseRepo, '.claude', 'worktrees');
  write(join(above, 'other', 'file'));
  const outside = join(folder, 'outside');
  write(join(outside, 's', 'authorized_keys'), 'mine\n');
  write(join(outside, 's', 'sub', 'file'), 'mine\n');
  const [armed, aside] = [join(folder, 'armed'), join(folder, 'aside')];
  standInForGit(
    folder,
    `if [ -e ${armed} ]; then case " $* " in *" $(cat ${armed}) "*)
       rm ${armed}; mv ${above} ${aside}; ln -s ${outside} ${above};; esac; fi
     exec $GIT "$@"`,
  );
  return {
    baseRepo,
    worktreePath: join(above, 's'),
    outside,
    arm: (words) => write(armed, words),
    hasSwapped: () => existsSync(aside),
    undo() {
      rmSync(above);
      renameSync(aside, above);
    },
  };
}

const onLinux = testNeeding(linux);

describe.each(['current', 'next'] as const)('the folder above a worktree becomes a link (profile %s)', (profile) => {
  onLinux('during its checkout: no file of the repository is written where it leads', {}, async () => {
    const { baseRepo, worktreePath, outside, arm, hasSwapped, undo } = place();
    const before = contentOf(outside);
    arm('read-tree');
    await daemon(profile).call('git.worktree_create', { baseRepo, branchName: 'b', worktreePath });
    expect(hasSwapped()).toBe(true);
    expect(contentOf(outside)).toBe(before);
    undo();
    // They are in the folder that was made for them.
    expect(readFileSync(join(worktreePath, 'authorized_keys'), 'utf8')).toBe('of the repository\n');
    expect(existsSync(join(worktreePath, 'a.env'))).toBe(false);
  });

  onLinux('before its checkout: it is refused, and what is there keeps its files', {}, async () => {
    const { baseRepo, worktreePath, outside, arm, hasSwapped } = place();
    const before = contentOf(outside);
    arm('worktree add');
    const reply = await daemon(profile).ask('git.worktree_create', { baseRepo, branchName: 'b', worktreePath });
    expect(hasSwapped()).toBe(true);
    expect(reply).toMatchObject({ success: false, errorCode: 'worktree_add_failed' });
    expect(contentOf(outside)).toBe(before);
  });

  onLinux('before its removal: nothing is removed where it leads', {}, async () => {
    const { baseRepo, worktreePath, outside, arm, hasSwapped, undo } = place();
    git(baseRepo, 'worktree', 'add', '-q', '-b', 'b', worktreePath);
    write(join(outside, 's', '.git'), readFileSync(join(worktreePath, '.git')));
    const before = contentOf(outside);
    arm('rev-parse --absolute-git-dir');
    const { ask } = daemon(profile);
    const reply = await ask('git.worktree_remove', { baseRepo, worktreePath, branchName: 'b' });
    expect(hasSwapped()).toBe(true);
    expect(reply).toMatchObject({ success: false });
    expect(contentOf(outside)).toBe(before);
    undo();
    expect(readdirSync(join(baseRepo, '.git', 'worktrees'))).toEqual(['s']);
    expect(await ask('git.worktree_remove', { baseRepo, worktreePath, branchName: 'b' })).toEqual({ success: true });
    expect(existsSync(worktreePath)).toBe(false);
    expect(contentOf(outside)).toBe(before);
  });
});

test('a place for worktrees that is a link from the start is followed in profile S, as by plain git', async () => {
  const { baseRepo, worktreePath, outside, arm } = place();
  arm('status');
  git(baseRepo, 'status');
  rmSync(join(outside, 's'), { recursive: true });
  const { ask } = daemon('S');
  expect(await ask('git.worktree_create', { baseRepo, branchName: 'b', worktreePath })).toMatchObject({
    success: true,
  });
  expect(readFileSync(join(outside, 's', 'authorized_keys'), 'utf8')).toBe('of the repository\n');
  expect(await ask('git.worktree_remove', { baseRepo, worktreePath, branchName: 'b' })).toEqual({ success: true });
  expect(readdirSync(outside)).toEqual([]);
});
