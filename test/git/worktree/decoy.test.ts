/** Threat 17: nothing outside the named target is ever deleted, even when folders are swapped for links meanwhile. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { daemon, git, repository, scratchFolder, standInForGit, write } from '../support.ts';

/** A tree that no request names, so no file of it may change. */
function decoy(folder: string): { path: string; fingerprint(): string } {
  const path = join(folder, 'decoy');
  for (let index = 0; index < 40; index++) {
    write(join(path, `d${index % 4}`, `f${index}`), `content ${index}`);
    write(join(path, `f${index}`), `content ${index}`);
  }
  return {
    path,
    fingerprint() {
      const hash = createHash('sha256');
      for (const name of readdirSync(path, { recursive: true, encoding: 'utf8' }).sort()) {
        const status = lstatSync(join(path, name));
        hash.update(`${name} ${status.mode} ${status.ino}\n`);
        if (status.isFile()) {
          hash.update(readFileSync(join(path, name)));
        }
      }
      return hash.digest('hex');
    },
  };
}

/** Starts the racer and waits until it is at work. */
async function swapping(folder: string, target: string): Promise<{ stop(): Promise<void> }> {
  const program = fileURLToPath(new URL('fixtures/swap-for-a-link.ts', import.meta.url));
  const racer = spawn(process.execPath, [program, folder, target], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<void>((resolve) => racer.once('exit', () => resolve()));
  const stop = async () => {
    racer.kill('SIGKILL');
    await ended;
  };
  onTestFinished(stop);
  await new Promise((resolve) => racer.stdout.once('data', resolve));
  return { stop };
}

test.each(['S', 'current', 'next'] as const)(
  'a folder that is swapped for a link while a worktree is removed leads nowhere (%s)',
  async (profile) => {
    const folder = scratchFolder();
    const outside = decoy(folder);
    const before = outside.fingerprint();
    const baseRepo = repository(join(folder, 'w'));
    const { ask } = daemon(profile);
    for (let round = 0; round < 12; round++) {
      const worktreePath = join(baseRepo, '.claude', 'worktrees', `s${round}`);
      git(baseRepo, 'worktree', 'add', '-q', '-b', `s${round}`, worktreePath);
      for (let index = 0; index < 60; index++) {
        write(join(worktreePath, 'x', `d${index % 6}`, `f${index}`));
      }
      const racer = await swapping(join(worktreePath, 'x'), outside.path);
      // The removal may fail, because the racer puts folders back. Only the decoy counts.
      await ask('git.worktree_remove', { baseRepo, worktreePath, branchName: `s${round}` });
      await racer.stop();
      expect(outside.fingerprint()).toBe(before);
    }
  },
  120_000,
);

test.each(['S', 'current', 'next'] as const)(
  'a folder that is swapped for a link while a checkout is taken back leads nowhere (%s)',
  async (profile) => {
    const folder = scratchFolder();
    const outside = decoy(folder);
    const before = outside.fingerprint();
    const baseRepo = repository(join(folder, 'w'));
    standInForGit(
      folder,
      `for word; do [ "$word" = read-tree ] && { "$GIT" "$@"; for tree; do case $tree in --work-tree=*) cd "\${tree#*=}";; esac; done; for d in 1 2 3 4 5 6; do mkdir -p y/$d; touch y/$d/a y/$d/b y/$d/c; done; until mv -T y x; do :; done 2>/dev/null; sleep 0.3; exit 3; }; done; exec "$GIT" "$@"`,
    );
    for (let round = 0; round < 4; round++) {
      const worktreePath = join(baseRepo, `s${round}`);
      const racer = await swapping(join(worktreePath, 'x'), outside.path);
      await daemon(profile).ask('git.worktree_create', { baseRepo, branchName: `s${round}`, worktreePath });
      await racer.stop();
      expect(outside.fingerprint()).toBe(before);
    }
  },
  120_000,
);

test.each(['S', 'current'] as const)(
  'git never gets to see the files it would delete by path (%s)',
  async (profile) => {
    const folder = scratchFolder();
    const baseRepo = repository(join(folder, 'w'));
    const worktreePath = join(baseRepo, '.claude', 'worktrees', 's');
    git(baseRepo, 'worktree', 'add', '-q', '-b', 's', worktreePath);
    standInForGit(
      folder,
      `case " $* " in *" worktree remove "*) ls -a ${worktreePath} > ${folder}/seen 2>/dev/null;; esac; exec "$GIT" "$@"`,
    );
    expect(await daemon(profile).ask('git.worktree_remove', { baseRepo, worktreePath })).toEqual({ success: true });
    expect(readFileSync(join(folder, 'seen'), 'utf8')).toBe('');
    expect(existsSync(worktreePath)).toBe(false);
    expect(git(baseRepo, 'worktree', 'list').split('\n')).toHaveLength(1);
  },
);
