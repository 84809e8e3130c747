/**
 * Traps that a repository sets (threat 4). Each is first shown to work with plain git, so that no test passes because its
 * trap is broken; then every method is asked, in every profile, and the trap stays shut.
 */
import { execFile } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import type { ProfileName } from '../../../src/wire/profile.ts';
import { byLength } from '../../faults/support/length.ts';
import { type Need, testNeeding } from '../../support/needs.ts';
import { daemon, repository, scratchFolder, write } from '../support.ts';

export const profiles: readonly ProfileName[] = ['S', 'current', 'next'];

/** Both ways of everything: `current` goes some of the ways of `S` and some of those of `next`. All three in a full run. */
const tried = byLength<readonly ProfileName[]>(['S', 'next'], profiles);

/** What must not be run and not be written. */
export interface Trap {
  /** A shell command that springs the trap. */
  readonly command: string;
  /** Springs the trap from within the test: a server that was asked, for example. */
  spring(what: string): void;
  /** A folder of the user that has nothing to do with the repository, with the files `victim` and `s`. */
  readonly outside: string;
  /** From now on every change outside counts. Before, the trap is being set. */
  arm(): void;
  /** What has happened; `''`: nothing. */
  harm(): string;
}

export interface Vector {
  readonly what: string;
  readonly need?: Need;
  /** Sets the trap in a fresh repository with one commit of `a.txt` on `main`. */
  set(base: string, trap: Trap): void | Promise<void>;
  /** What a user would do in a terminal. */
  plain(base: string, trap: Trap): unknown;
  /** The path that git.info, git.status and git.list_branches are asked for; the repository unless given. */
  path?(base: string): string;
  /** Whether the methods do what they are asked to in spite of the trap. */
  readonly isHarmless?: boolean;
  /** Where the other profiles never come near the trap. */
  readonly profiles?: readonly ProfileName[];
  /** Of git.worktree_create; `main` unless given. */
  readonly sourceBranch?: string;
}

export function newTrap(folder: string): Trap {
  const sentinel = join(folder, 'sprung');
  const outside = join(folder, 'outside');
  write(join(outside, 'victim'), 'what the user has written\n');
  // Of the name of the branch that the methods are asked to create and to remove.
  write(join(outside, 's'), 'what the user has written\n');
  let before = '';
  return {
    command: `touch ${sentinel}`,
    spring: (what) => writeFileSync(sentinel, what),
    outside,
    arm() {
      // Setting the trap may have sprung it already.
      rmSync(sentinel, { force: true });
      before = contentOf(outside);
    },
    harm() {
      if (existsSync(sentinel)) {
        return readFileSync(sentinel, 'utf8') || 'a program was run';
      }
      const now = contentOf(outside);
      return now === before ? '' : `files outside were changed: ${now}`;
    },
  };
}

/** Names and content of everything in a folder. */
export function contentOf(folder: string): string {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const status = lstatSync(join(folder, name));
      return `${name} ${status.isFile() ? readFileSync(join(folder, name), 'latin1') : status.mode}`;
    })
    .join('\n');
}

/** Runs git as a user would, without blocking the servers of the test. It may fail; only what it does counts. */
export function plainly(directory: string, ...args: string[]): Promise<void> {
  const environment = { ...process.env, GIT_TERMINAL_PROMPT: '0' };
  return new Promise((resolve) => {
    execFile('git', args, { cwd: directory, env: environment, timeout: 30_000 }, () => resolve()).stdin?.end();
  });
}

/** Makes git look at the content of a tracked file again, as an edit would. */
export function touch(base: string, name = 'a.txt'): void {
  utimesSync(join(base, name), new Date(0), new Date(0));
}

/** Asks all methods about the repository, with one worktree made and removed. `look` is called after each. */
export async function askEveryMethod(
  base: string,
  profile: ProfileName,
  look: (method: string) => void,
  options: { readonly path?: string; readonly sourceBranch?: string } = {},
): Promise<Record<string, string>> {
  const { call } = daemon(profile, { gitTimeoutMs: 30_000 });
  const replies: Record<string, string> = {};
  const ask = async (method: string, params: object, name = method) => {
    replies[name] = await call(method, params);
    look(name);
  };
  const { path = base, sourceBranch = 'main' } = options;
  for (const method of ['git.info', 'git.status', 'git.list_branches']) {
    await ask(method, { path, baseRepo: base });
  }
  const worktreePath = join(base, '.claude', 'worktrees', 's');
  await ask('git.worktree_create', { baseRepo: base, branchName: 's', worktreePath, sourceBranch });
  if (existsSync(join(worktreePath, 'a.txt'))) {
    touch(worktreePath);
  }
  await ask('git.status', { path: worktreePath, baseRepo: base }, 'git.status of the worktree');
  await ask('git.worktree_remove', { baseRepo: base, worktreePath, branchName: 's' });
  return replies;
}

/** A fresh repository with the trap set. */
async function trapped(vector: Vector): Promise<{ base: string; trap: Trap }> {
  const folder = scratchFolder();
  const base = repository(join(folder, 'w'));
  const trap = newTrap(folder);
  await vector.set(base, trap);
  trap.arm();
  return { base, trap };
}

/** For each vector the proof that plain git is caught, and that no method is. */
export function declareVectors(vectors: readonly Vector[]): void {
  describe.each(vectors)('$what', (vector) => {
    const test = testNeeding(vector.need);
    test('catches plain git', {}, async () => {
      const { base, trap } = await trapped(vector);
      await vector.plain(base, trap);
      expect(trap.harm()).not.toBe('');
    });
    for (const profile of vector.profiles ?? tried) {
      test(`catches no method (${profile})`, {}, async () => {
        const { base, trap } = await trapped(vector);
        const { sourceBranch } = vector;
        const path = vector.path?.(base) ?? base;
        const replies = await askEveryMethod(base, profile, (method) => expect(trap.harm(), method).toBe(''), {
          path,
          ...(sourceBranch === undefined ? {} : { sourceBranch }),
        });
        if (vector.isHarmless) {
          expect(replies['git.worktree_create']).toContain('"success":true');
          expect(replies['git.worktree_remove']).toBe('{"success":true}');
        }
      });
    }
  });
}
