/**
 * Every method, on a repository of every kind, against what plain git says there: whatever keeps a repository from running
 * programs, a user sees what git would have told.
 */
import { appendFileSync, existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import type { ProfileName } from '../../../src/wire/profile.ts';
import { byLength } from '../../faults/support/length.ts';
import { newGit, testNeeding } from '../../support/needs.ts';
import { withEachGit } from '../each-git.ts';
import { daemon, scratchFolder, withVariables, write } from '../support.ts';
import { type Kind, kinds } from './kinds.ts';
import {
  addWorktree,
  afterwards,
  askPlainGit,
  expectedStatus,
  type PlainAnswers,
  removeWorktree,
  worktreeState,
} from './plain-git.ts';

/** The profile `current` goes the ways of the others; it is compared too in a full run. */
const profiles = byLength<readonly ProfileName[]>(['S', 'next'], ['S', 'current', 'next']);

/** Making and removing a worktree takes long, so each kind of repository has it in one of the profiles, by turns. */
const profilesOfWorktrees = (turn: number): readonly ProfileName[] =>
  byLength(profiles.slice(turn % profiles.length, (turn % profiles.length) + 1), profiles);
const noRepository = { isRepo: false, clean: false };

/** The reply as a value; the text of an error as it is. */
const parsed = (reply: string): unknown => (reply.startsWith('{') ? JSON.parse(reply) : reply);

async function compareQuestions(path: string, plain: PlainAnswers, profile: ProfileName): Promise<void> {
  const { call } = daemon(profile);
  const ask = async (method: string, params: object) => parsed(await call(method, params));
  expect.soft(await ask('git.info', { path }), `${profile}: git.info`).toEqual(plain.info(profile));
  expect.soft(await ask('git.list_branches', { path }), `${profile}: git.list_branches`).toEqual(plain.branches);
  if (profile === 'S') {
    expect.soft(await ask('git.status', { path }), `${profile}: git.status`).toEqual(plain.status(profile));
    return;
  }
  // Only of worktrees of a session.
  expect
    .soft(await ask('git.status', { path, baseRepo: path }), `${profile}: git.status of a repository`)
    .toEqual(noRepository);
  const baseRepo = plain.repository;
  if (baseRepo !== undefined) {
    expect.soft(await ask('git.status', { path, baseRepo }), `${profile}: git.status`).toEqual(plain.status(profile));
  }
}

async function compareWorktrees(
  path: string,
  folder: string,
  plain: PlainAnswers,
  profile: ProfileName,
): Promise<void> {
  const { call } = daemon(profile);
  const ask = async (method: string, params: object) => parsed(await call(method, params));
  const { start, repository } = plain;
  // Without a commit there is no branch yet, only its name.
  const branch = start === undefined ? undefined : plain.branch;
  const worktreePath = join(path, '.claude', 'worktrees', 's');
  const created = await ask('git.worktree_create', {
    baseRepo: path,
    branchName: 's',
    worktreePath,
    ...(branch === undefined ? {} : { sourceBranch: branch }),
  });
  if (!plain.isInWorkTree) {
    expect(created).toEqual({ success: false, error: 'not a git repository', errorCode: 'not_a_repo' });
    return;
  }
  const plainPath = join(folder, `plain-${profile}`);
  // Newer versions of git make a worktree without a commit, but only together with its checkout.
  if (!addWorktree(path, plainPath, start) || (start === undefined && profile !== 'S')) {
    expect(created).toMatchObject({ success: false, errorCode: 'worktree_add_failed' });
    expect(existsSync(worktreePath)).toBe(false);
    return;
  }
  expect.soft(created, `${profile}: git.worktree_create`).toEqual({
    success: true,
    path: worktreePath,
    ...(branch === undefined ? {} : { sourceBranch: branch }),
    ...(profile === 'next' ? { branch: 's' } : {}),
  });
  // What only the method copies.
  rmSync(join(worktreePath, '.env'), { force: true });
  const made = worktreeState(worktreePath);
  expect(made.branch).toBe('s');
  expect.soft(made.state, `${profile}: the new worktree`).toEqual(worktreeState(plainPath).state);

  const status = { path: worktreePath, baseRepo: repository ?? path };
  expect
    .soft(await ask('git.status', status), `${profile}: git.status of the new worktree`)
    .toEqual({ isRepo: true, clean: true });
  if (existsSync(join(worktreePath, 'a.txt'))) {
    appendFileSync(join(worktreePath, 'a.txt'), 'changed\n');
  }
  rmSync(join(worktreePath, 'b.txt'), { force: true });
  write(join(worktreePath, 'more', 'new one'));
  expect
    .soft(await ask('git.status', status), `${profile}: git.status of the changed worktree`)
    .toEqual(expectedStatus(worktreePath, profile));

  removeWorktree(path, plainPath);
  const removed = await ask('git.worktree_remove', { baseRepo: path, worktreePath, branchName: 's' });
  expect.soft(removed, `${profile}: git.worktree_remove`).toEqual({ success: true });
  expect(existsSync(worktreePath)).toBe(false);
  const { worktrees, ...after } = afterwards(path);
  expect(worktrees).not.toContain(worktreePath);
  expect(after).toEqual({ branches: plain.branches, status: plain.status('S') });
}

withEachGit((_test, isNewGit) => {
  const ofThisGit = ({ isNew = false, both = false }: Kind) => (isNewGit ? isNew || both : !isNew);
  const ofTurn = kinds.filter(ofThisGit).map((kind, turn) => ({ ...kind, turn }));
  describe.each(ofTurn)('a repository with $what', ({ make, turn }) => {
    testNeeding(isNewGit ? newGit : undefined)('is answered for as plain git does', {}, async () => {
      const home = scratchFolder();
      withVariables({ HOME: home, XDG_CONFIG_HOME: join(home, '.config') });
      const folder = scratchFolder();
      const path = make(folder);
      const plain = askPlainGit(path);
      for (const profile of profiles) {
        await compareQuestions(path, plain, profile);
      }
      for (const profile of profilesOfWorktrees(turn)) {
        await compareWorktrees(path, folder, plain, profile);
      }
    });
  });
});
