/** What the git of a real daemon finds in its environment (spec git.md §2.2, wire.md §8). */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect } from 'vitest';
import { startDaemon } from '../../support/daemon.ts';
import { connectTo } from '../../support/host.ts';
import { linux, testNeeding } from '../../support/needs.ts';
import { recordEnvironments } from '../../support/recorded-environments.ts';
import { repository, scratchFolder, write } from '../support.ts';

const testOnLinux = testNeeding(linux);

for (const profile of ['S', 'current', 'next'] as const) {
  testOnLinux(
    `profile ${profile}: no git is given the token of the daemon, every git the variables of the user`,
    {},
    async () => {
      const recorder = recordEnvironments();
      const realGit = execFileSync('sh', ['-c', 'command -v git'], { encoding: 'utf8' }).trim();
      recorder.program('git', `exec '${realGit}' "$@"`);
      const repo = repository(join(scratchFolder(), 'repo'));
      const worktree = join(repo, '.claude', 'worktrees', 'w');
      write(join(repo, '.worktreeinclude'), '*.env\n');
      write(join(repo, 'some.env'));
      await using daemon = await startDaemon({
        profile,
        env: {
          CLAUDE_RPC_TOKEN: 'ambient-secret',
          PATH: `${recorder.bin}:${process.env.PATH}`,
          USERS_OWN: 'kept',
          GIT_AUTHOR_NAME: 'A',
        },
      });
      await using client = await connectTo(daemon);
      const asks = [
        ['git.info', { path: repo }],
        ['git.list_branches', { path: repo }],
        ['git.worktree_create', { baseRepo: repo, worktreePath: worktree, branchName: 'topic' }],
        ['git.status', { path: worktree, baseRepo: repo }],
        ['git.worktree_remove', { baseRepo: repo, worktreePath: worktree, branchName: 'topic' }],
      ] as const;
      for (const [method, params] of asks) {
        const result = await client.request(method as string, params);
        expect(result, method).toMatchObject(method.startsWith('git.worktree') ? { success: true } : { isRepo: true });
      }

      const runs = recorder.of('git');
      expect(runs.length).toBeGreaterThan(asks.length);
      for (const run of runs) {
        expect(run.filter((entry) => /CLAUDE_RPC_TOKEN|ambient-secret/.test(entry))).toEqual([]);
        expect(run.filter((entry) => entry.includes(daemon.token))).toEqual([]);
        expect(run).toContain('USERS_OWN=kept');
      }
    },
  );
}
