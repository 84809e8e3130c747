/**
 * A clone that has fetched no files yet (`--filter=blob:none`): the checkout of a new worktree fetches what it lacks, with the
 * user's own ssh, and nothing else does.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { withEachGit } from '../each-git.ts';
import { commit, daemon, git, repository, scratchFolder, withVariables, write } from '../support.ts';
import { profiles } from '../vectors/trap.ts';

/** @returns a clone whose branch `lazy` lacks its file, and what tells how often ssh was started */
function blobless(): { readonly base: string; fetches(): number } {
  const folder = scratchFolder();
  const origin = repository(join(folder, 'origin'));
  git(origin, 'config', 'uploadpack.allowFilter', 'true');
  git(origin, 'config', 'uploadpack.allowAnySHA1InWant', 'true');
  git(origin, 'checkout', '-q', '-b', 'lazy');
  write(join(origin, 'lazy.txt'), 'only at origin\n'.repeat(40));
  commit(origin, 'lazy');
  git(origin, 'checkout', '-q', 'main');
  const log = join(folder, 'fetches');
  // In the place of ssh: the last word is what the other side is to run.
  const ssh = write(
    join(folder, 'ssh'),
    `#!/bin/sh\necho x >>${log}\nfor last; do :; done\nexec sh -c "$last"\n`,
    0o755,
  );
  const HOME = join(folder, 'home');
  write(join(HOME, '.gitconfig'), `[core]\n\tsshCommand = ${ssh}\n[safe]\n\tdirectory = *\n`);
  withVariables({ HOME, GIT_SSH_VARIANT: 'ssh' });
  const base = join(folder, 'w');
  git(folder, 'clone', '-q', '--filter=blob:none', `ssh://example.invalid${origin}`, base);
  git(base, 'branch', '-q', 'lazy', 'origin/lazy');
  return { base, fetches: () => (existsSync(log) ? readFileSync(log, 'utf8').split('\n').length - 1 : 0) };
}

withEachGit((test) => {
  describe.each(profiles)('profile %s', (profile) => {
    test('a new worktree has the files that were only at origin', {}, async () => {
      const { base, fetches } = blobless();
      const before = fetches();
      const worktreePath = join(base, '.claude', 'worktrees', 's');
      const { call, ask } = daemon(profile);
      expect(await call('git.list_branches', { path: base })).toBe('{"isRepo":true,"branches":["lazy","main"]}');
      expect(await ask('git.info', { path: base })).toMatchObject({
        isRepo: true,
        branch: 'main',
        defaultBranch: 'main',
      });
      expect(fetches()).toBe(before);
      const created = await ask('git.worktree_create', {
        ...{ baseRepo: base, branchName: 's', worktreePath, sourceBranch: 'lazy' },
      });
      expect(created).toMatchObject({ success: true, sourceBranch: 'lazy' });
      expect(readFileSync(join(worktreePath, 'lazy.txt'), 'utf8')).toBe('only at origin\n'.repeat(40));
      expect(fetches()).toBeGreaterThan(before);
      const after = fetches();
      expect(await call('git.status', { path: worktreePath, baseRepo: base })).toBe('{"isRepo":true,"clean":true}');
      expect(await ask('git.worktree_remove', { baseRepo: base, worktreePath, branchName: 's' })).toMatchObject({
        success: true,
      });
      expect(fetches()).toBe(after);
    });
  });

  test('a status that needs a missing file fails, and fetches nothing where plain git fetches it', {}, async () => {
    const { base, fetches } = blobless();
    // Whether the file was renamed can only be told from its content.
    git(base, 'symbolic-ref', 'HEAD', 'refs/heads/lazy');
    git(base, 'read-tree', 'lazy');
    git(base, 'rm', '-q', '--cached', 'lazy.txt');
    writeFileSync(join(base, 'other.txt'), `${'only at origin\n'.repeat(40)}and here\n`);
    git(base, 'add', 'other.txt');
    const before = fetches();
    expect(await daemon('S').call('git.status', { path: base })).toBe('-32603 exit status 128');
    expect(fetches()).toBe(before);
    expect(git(base, 'status', '--porcelain')).toContain('R  lazy.txt -> other.txt');
    expect(fetches()).toBeGreaterThan(before);
  });
});
