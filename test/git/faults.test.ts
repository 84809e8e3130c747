/** Fault 20: whatever git, the repository or its surroundings do, the client gets a reply, the index stays as it is, and no git is left running. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { findMarked, isRunning } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';
import { daemon, git, repository, scratchFolder, standInForGit, withVariables, write } from './support.ts';

function base(): string {
  return repository(join(scratchFolder(), 'w'));
}

/** Marks every process that is started from now on, so that those left behind can be found. */
function marked(): { noneLeft(): Promise<unknown> } {
  const value = `${process.pid}-${Math.random()}`;
  withVariables({ HFG_MARK: value });
  return {
    noneLeft: () =>
      waitUntil(() => !findMarked(`HFG_MARK=${value}`).some(isRunning), 'every git and what it started to be gone'),
  };
}

/** A git that hangs at a subcommand, deaf to TERM, with a child that hangs too. */
function hangingAt(subcommand: string): void {
  standInForGit(
    scratchFolder(),
    `for word; do [ "$word" = ${subcommand} ] && { trap "" TERM INT HUP; sleep 1000 & sleep 1000; }; done; exec "$GIT" "$@"`,
  );
}

describe('a git that hangs is ended with all it started, and the reply says so', () => {
  const ask = (profile: 'S' | 'current' | 'next', method: string, params: object) =>
    daemon(profile, { gitTimeoutMs: 1_500 }).call(method, params);

  test.each(['S', 'current', 'next'] as const)('git.list_branches (%s)', async (profile) => {
    const path = base();
    const { noneLeft } = marked();
    hangingAt('for-each-ref');
    expect(await ask(profile, 'git.list_branches', { path })).toBe('-32603 signal: killed');
    await noneLeft();
  });

  test.each(['S', 'current', 'next'] as const)('the test for a repository (%s)', async (profile) => {
    const path = base();
    const { noneLeft } = marked();
    hangingAt('rev-parse');
    expect(await ask(profile, 'git.info', { path })).toBe('{"isRepo":false,"repoSlug":"","defaultBranch":""}');
    // It is made only where there is no answer.
    expect(await ask(profile, 'git.list_branches', { path: scratchFolder() })).toBe('{"isRepo":false,"branches":[]}');
    expect(await ask(profile, 'git.list_branches', { path })).toBe('{"isRepo":true,"branches":["main"]}');
    await noneLeft();
  });

  test('git.status', async () => {
    const path = base();
    const { noneLeft } = marked();
    hangingAt('status');
    expect(await ask('S', 'git.status', { path })).toBe('-32603 signal: killed');
    await noneLeft();
  });

  test.each(['S', 'current', 'next'] as const)('git.worktree_create (%s)', async (profile) => {
    const baseRepo = base();
    const { noneLeft } = marked();
    standInForGit(
      scratchFolder(),
      'case " $* " in *" worktree add "*) echo working >&2; sleep 1000 & sleep 1000;; esac; exec "$GIT" "$@"',
    );
    expect(
      await ask(profile, 'git.worktree_create', { baseRepo, branchName: 'b', worktreePath: join(baseRepo, 'wt') }),
    ).toBe('{"success":false,"error":"git worktree add failed: working","errorCode":"worktree_add_failed"}');
    await noneLeft();
  });

  test('a listing of the configuration', async () => {
    const path = base();
    const { noneLeft } = marked();
    hangingAt('--list');
    expect(await ask('next', 'git.info', { path })).toBe(
      '-32603 config-defined hooks could not be pinned off; git not run: listing the configuration in force: signal: killed: ',
    );
    // The profile `current` does not require the listing, so the branches are told all the same.
    expect(await ask('current', 'git.list_branches', { path })).toBe('{"isRepo":true,"branches":["main"]}');
    await noneLeft();
  });

  test('no deadline is one: a slow git is waited for', async () => {
    const path = base();
    standInForGit(scratchFolder(), 'for word; do [ "$word" = for-each-ref ] && sleep 1; done; exec "$GIT" "$@"');
    expect(await daemon('S', { gitTimeoutMs: 0 }).call('git.list_branches', { path })).toBe(
      '{"isRepo":true,"branches":["main"]}',
    );
  });
});

test('a child of git that left the group holds the reply for a bounded time only', async () => {
  const path = base();
  const { noneLeft } = marked();
  standInForGit(
    scratchFolder(),
    'for word; do [ "$word" = for-each-ref ] && { setsid sleep 8 & sleep 1000; }; done; exec "$GIT" "$@"',
  );
  expect(await daemon('S', { gitTimeoutMs: 500 }).call('git.list_branches', { path })).toBe('-32603 signal: killed');
  await noneLeft();
});

test('a git that prints without end is stopped, with a line in the log', async () => {
  const path = base();
  const { noneLeft } = marked();
  standInForGit(scratchFolder(), 'for word; do [ "$word" = status ] && exec yes "?? name"; done; exec "$GIT" "$@"');
  const { call, warnings, services } = daemon('S');
  expect(await call('git.status', { path })).toBe(
    '-32603 git status printed more than 67108864 bytes, which is the limit; ignore what need not be listed (.gitignore)',
  );
  expect(warnings).toEqual([expect.stringContaining('git status printed more than 67108864 bytes')]);
  expect(services.counters.gitOutputsCapped).toBe(1);
  await noneLeft();
});

test.each(['S', 'current', 'next'] as const)(
  'a held index lock stops nobody, and the index stays as it is (%s)',
  async (profile) => {
    const baseRepo = base();
    // Files with changed times make git write the index, unless it is kept from doing so.
    writeFileSync(join(baseRepo, 'a.txt'), 'x\n');
    write(join(baseRepo, '.git', 'index.lock'), '');
    const index = readFileSync(join(baseRepo, '.git', 'index'));
    const { ask } = daemon(profile);
    const worktreePath = join(baseRepo, '.claude', 'worktrees', 's');
    await ask('git.status', { path: baseRepo, baseRepo });
    expect(await ask('git.worktree_create', { baseRepo, branchName: 's', worktreePath })).toMatchObject({
      success: true,
    });
    expect(await ask('git.worktree_remove', { baseRepo, worktreePath, branchName: 's' })).toEqual({ success: true });
    expect(readFileSync(join(baseRepo, '.git', 'index'))).toEqual(index);
  },
);

test('a monitor that hangs is not waited for', async () => {
  const path = base();
  const { noneLeft } = marked();
  git(path, 'config', 'core.fsmonitor', 'sleep 1000');
  expect(await daemon('S').call('git.status', { path })).toBe('{"isRepo":true,"clean":true}');
  await noneLeft();
});

test.each([
  ['a helper', 'credential.helper', '!sleep 1000'],
  ['a prompt', 'core.askPass', 'sleep 1000'],
])('%s that would ask for a password is not waited for', async (_what, key, value) => {
  const baseRepo = base();
  const { noneLeft } = marked();
  git(baseRepo, 'config', key, value);
  const blob = git(baseRepo, 'rev-parse', 'HEAD:a.txt');
  rmSync(join(baseRepo, '.git', 'objects', blob.slice(0, 2), blob.slice(2)));
  for (const [name, setting] of [
    ['core.repositoryFormatVersion', '1'],
    ['extensions.partialClone', 'origin'],
    ['remote.origin.url', 'https://127.0.0.1:9/o/r'],
    ['remote.origin.promisor', 'true'],
  ] as const) {
    git(baseRepo, 'config', name, setting);
  }
  expect(
    await daemon('S').ask('git.worktree_create', { baseRepo, branchName: 'b', worktreePath: join(baseRepo, 'wt') }),
  ).toMatchObject({ errorCode: 'worktree_add_failed' });
  await noneLeft();
});

test('a hundred thousand untracked files are listed', async () => {
  const baseRepo = base();
  const path = join(baseRepo, '.claude', 'worktrees', 's');
  git(baseRepo, 'worktree', 'add', '-q', '-b', 's', path);
  for (let index = 0; index < 100_000; index++) {
    writeFileSync(join(path, `f${String(index).padStart(6, '0')}`), '');
  }
  const reply = (await daemon('current').ask('git.status', { path, baseRepo })) as { changes: string[] };
  expect(reply.changes).toHaveLength(100_000);
  expect(reply.changes.at(-1)).toBe('?? f099999');
  expect(((await daemon('S').ask('git.status', { path })) as { changes: string[] }).changes).toHaveLength(100_000);
  expect(((await daemon('next').ask('git.status', { path, baseRepo })) as { changes: string[] }).changes).toHaveLength(
    10_000,
  );
}, 120_000);

test.each(['S', 'current', 'next'] as const)(
  'a repository that is removed during the call gets an answer (%s)',
  async (profile) => {
    for (const [method, step] of [
      ['git.info', 'symbolic-ref'],
      ['git.status', 'status'],
      ['git.list_branches', 'for-each-ref'],
      ['git.worktree_create', 'show-ref'],
      ['git.worktree_remove', 'branch'],
    ] as const) {
      const folder = scratchFolder();
      const baseRepo = repository(join(folder, 'w'));
      git(baseRepo, 'worktree', 'add', '-q', '-b', 's', join(baseRepo, 's'));
      standInForGit(folder, `for word; do [ "$word" = ${step} ] && rm -rf ${baseRepo}; done; exec "$GIT" "$@"`);
      const path = method === 'git.status' && profile !== 'S' ? join(baseRepo, 's') : baseRepo;
      const worktreePath = join(baseRepo, method === 'git.worktree_remove' ? 's' : 'new');
      const reply = await daemon(profile).call(method, { path, baseRepo, worktreePath, branchName: 'b' });
      expect(reply, method).toMatch(/^(\{"isRepo":|\{"success":|-32603 exit status 128$)/);
      expect(existsSync(join(folder, 'bin'))).toBe(true);
    }
  },
);
