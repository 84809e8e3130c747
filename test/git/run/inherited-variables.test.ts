/** Variables that the daemon was started with and that would lead git elsewhere (spec git.md §2.2). */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { withEachGit } from '../each-git.ts';
import { commit, daemon, git, repository, scratchFolder, withVariables, write } from '../support.ts';

/** These pairs are the user's configuration, which stays in force. */
const ofTheUser = ['GIT_CONFIG_COUNT', 'GIT_CONFIG_PARAMETERS', 'GIT_CONFIG'];
/** Not all of them are among those that git names, and some only in certain versions. */
const others = [
  ...['GIT_LITERAL_PATHSPECS', 'GIT_GLOB_PATHSPECS', 'GIT_NOGLOB_PATHSPECS', 'GIT_ICASE_PATHSPECS'],
  ...['GIT_QUARANTINE_PATH', 'GIT_INTERNAL_SUPER_PREFIX', 'GIT_NAMESPACE'],
];

withEachGit((test) => {
  for (const profile of ['S', 'current', 'next'] as const) {
    test(`none of them changes an answer or a copied file (${profile})`, {}, async () => {
      const folder = scratchFolder();
      const other = repository(join(folder, 'other'));
      const base = repository(join(folder, 'w'));
      write(join(base, '.gitignore'), '*.env\n');
      write(join(base, '.worktreeinclude'), '*.env\n');
      commit(base, 'include');
      write(join(base, 'some.env'), 'A=1\n');
      const worktreePath = join(base, '.claude', 'worktrees', 's');
      const answers = async () => {
        const { call } = daemon(profile);
        return [
          await call('git.info', { path: base }),
          await call('git.list_branches', { path: base }),
          await call('git.worktree_create', { baseRepo: base, branchName: 's', worktreePath, sourceBranch: 'main' }),
          readFileSync(join(worktreePath, 'some.env'), 'utf8'),
          await call('git.status', { path: worktreePath, baseRepo: base }),
          await call('git.worktree_remove', { baseRepo: base, branchName: 's', worktreePath }),
        ];
      };
      const before = await answers();
      expect(before[2]).toContain('"success":true');
      const names = [...git(base, 'rev-parse', '--local-env-vars').split('\n'), ...others];
      for (const name of names.filter((each) => !ofTheUser.includes(each))) {
        withVariables({ [name]: name.endsWith('PATHSPECS') ? '1' : join(other, '.git') });
      }
      expect(await answers()).toEqual(before);
    });
  }
});
