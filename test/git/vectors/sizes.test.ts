/** Repositories with too much of something: they cost a bounded amount of memory, disk, descriptors and time, and a reply. */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setInterval } from 'node:timers';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { ProfileName } from '../../../src/wire/profile.ts';
import { byLength } from '../../faults/support/length.ts';
import { procFiles, testNeeding } from '../../support/needs.ts';
import { daemon, git, repository, scratchFolder, withVariables, write } from '../support.ts';
import { profiles } from './trap.ts';

const eightTerabytes = 8 * 2 ** 40;
/** More than are looked at. */
const registered = byLength(10_500, 25_000);
/** Far more than any of our temporary files, and far less than a copy of a huge file. */
const mostTemporaryBytes = 32 * 2 ** 20;

interface Huge {
  readonly base: string;
  /** A linked worktree, made by plain git. */
  readonly worktree: string;
  /**
   * Asks everything, and looks at the temporary folder meanwhile.
   * @param gitTimeoutMs long enough for a git that is not held up, unless its answers do not matter
   * @returns the replies by method
   */
  askAll(profile: ProfileName, gitTimeoutMs?: number): Promise<Record<string, string>>;
}

function prepare(): Huge {
  const folder = scratchFolder();
  const temporary = join(folder, 'tmp');
  mkdirSync(temporary);
  withVariables({ TMPDIR: temporary });
  const base = repository(join(folder, 'w'));
  const worktree = join(base, '.claude', 'worktrees', 'there');
  git(base, 'worktree', 'add', '-q', '-b', 'there', worktree);
  return {
    base,
    worktree,
    async askAll(profile, gitTimeoutMs = 1_500) {
      let most = 0;
      const watcher = setInterval(() => {
        most = Math.max(most, bytesIn(temporary));
      }, 5);
      onTestFinished(() => clearInterval(watcher));
      const { call, end } = daemon(profile, { gitTimeoutMs });
      const worktreePath = join(base, '.claude', 'worktrees', 's');
      const replies: Record<string, string> = {
        info: await call('git.info', { path: base }),
        branches: await call('git.list_branches', { path: base }),
        status: await call('git.status', { path: profile === 'S' ? base : worktree, baseRepo: base }),
        ofWorktree: await call('git.status', { path: worktree, baseRepo: base }),
        create: await call('git.worktree_create', { baseRepo: base, branchName: 's', worktreePath }),
        remove: await call('git.worktree_remove', { baseRepo: base, branchName: 's', worktreePath }),
      };
      clearInterval(watcher);
      expect(most).toBeLessThan(mostTemporaryBytes);
      await end();
      expect(readdirSync(temporary)).toEqual([]);
      return replies;
    },
  };
}

/** What the files in a folder take, or would take if they were not sparse. Links are not followed. */
function bytesIn(folder: string): number {
  let sum = 0;
  try {
    for (const found of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, found.name);
      if (found.isDirectory()) {
        sum += bytesIn(path);
      } else if (found.isFile()) {
        sum += lstatSync(path, { throwIfNoEntry: false })?.size ?? 0;
      }
    }
  } catch {
    // The folder has been removed meanwhile.
  }
  return sum;
}

/** Puts a file in the place that says to be huge and takes no room. */
function sparse(path: string, bytes = eightTerabytes): void {
  if (!existsSync(path)) {
    write(path, '');
  }
  truncateSync(path, bytes);
}

/** The profile `current` goes the ways of `next`. */
const tried = byLength<readonly ProfileName[]>(['S', 'next'], profiles);

describe.each(tried)('a repository with (%s)', (profile) => {
  test('a configuration of 2 MB is refused with the limit', async () => {
    const { base, askAll } = prepare();
    const lines = Array.from({ length: 60_000 }, (_, at) => `\tkey${at} = value of ${at} and more`);
    writeFileSync(
      join(base, '.git', 'config'),
      `${readFileSync(join(base, '.git', 'config'))}[x]\n${lines.join('\n')}\n`,
    );
    const replies = await askAll(profile);
    for (const method of ['info', 'branches', 'status', 'create']) {
      expect(replies[method], method).toMatch(/config is larger than 1048576 bytes, the most that is read/);
    }
  });

  test('20,000 settings is refused with the limit', async () => {
    const { base, askAll } = prepare();
    const lines = Array.from({ length: 20_000 }, (_, at) => `\ta = ${at}`);
    writeFileSync(
      join(base, '.git', 'config'),
      `${readFileSync(join(base, '.git', 'config'))}[x]\n${lines.join('\n')}\n`,
    );
    const { info } = await askAll(profile);
    expect(info).toMatch(/config has more than 10000 settings, the most that are read/);
  });

  test('a configuration that says to have 8 TB is refused with the limit', async () => {
    const { base, askAll } = prepare();
    sparse(join(base, '.git', 'config'));
    const { info } = await askAll(profile);
    expect(info).toMatch(/config is larger than 1048576 bytes/);
  });

  test('indexes that say to have 8 TB is told so, and its branches are listed', async () => {
    const { base, askAll } = prepare();
    sparse(join(base, '.git', 'index'));
    sparse(join(base, '.git', 'worktrees', 'there', 'index'));
    const { info, branches, status, ofWorktree } = await askAll(profile);
    expect(info).toMatch(/"branch":"main"/);
    expect(branches).toBe('{"isRepo":true,"branches":["main","there"]}');
    for (const reply of [status, ofWorktree]) {
      expect(reply).toMatch(/^(?:-32603 |\{"isRepo":false)/);
    }
  });

  test('a part of an index that says to have 2 GB costs no room for temporary files', async () => {
    const { base, worktree, askAll } = prepare();
    git(worktree, 'update-index', '--split-index');
    const entry = join(base, '.git', 'worktrees', 'there');
    const shared = readdirSync(entry).filter((name) => name.startsWith('sharedindex'));
    expect(shared).toHaveLength(1);
    sparse(join(entry, shared[0] ?? ''), 2 * 2 ** 30);
    sparse(join(entry, `sharedindex.${'0'.repeat(40)}`), 2 * 2 ** 30);
    expect((await askAll(profile)).branches).toBe('{"isRepo":true,"branches":["main","there"]}');
  });

  test.each([
    'info/exclude',
    'info/attributes',
    'info/sparse-checkout',
    'worktrees/there/gitdir',
    'worktrees/there/commondir',
    'worktrees/there/HEAD',
    'worktrees/there/config.worktree',
  ])('a file %s that says to have 8 TB has every question answered', async (name) => {
    const { base, askAll } = prepare();
    sparse(join(base, '.git', name));
    expect(Object.values(await askAll(profile))).toHaveLength(6);
  });

  test.each(['.gitmodules', '.gitattributes', '.gitignore', '.worktreeinclude'])(
    'a file %s in its work tree that says to have 8 TB has every question answered',
    async (name) => {
      const { base, worktree, askAll } = prepare();
      sparse(join(base, name));
      sparse(join(worktree, name));
      expect((await askAll(profile)).info).toMatch(/"branch":"main"/);
    },
  );

  test.each(['config', 'index', 'worktrees/there/HEAD', 'worktrees/there/gitdir'])(
    'a FIFO in the place of %s has every question answered',
    async (name) => {
      const { base, askAll } = prepare();
      rmSync(join(base, '.git', name), { force: true });
      execFileSync('mkfifo', [join(base, '.git', name)]);
      expect(Object.values(await askAll(profile))).toHaveLength(6);
    },
  );

  testNeeding(procFiles)(`${registered} registered worktrees takes a few descriptors at a time`, {}, async () => {
    const { base, worktree } = prepare();
    for (let at = 0; at < registered; at++) {
      const entry = join(base, '.git', 'worktrees', `w${at}`);
      mkdirSync(entry);
      writeFileSync(join(entry, 'gitdir'), `/nowhere/${at}/.git\n`);
    }
    let most = 0;
    const watcher = setInterval(() => {
      most = Math.max(most, readdirSync('/proc/self/fd').length);
    }, 5);
    onTestFinished(() => clearInterval(watcher));
    const before = readdirSync('/proc/self/fd').length;
    const { call } = daemon(profile);
    const status = await call('git.status', { path: worktree, baseRepo: base });
    const worktreePath = join(base, '.claude', 'worktrees', 's');
    const created = await call('git.worktree_create', { baseRepo: base, branchName: 's', worktreePath });
    await call('git.worktree_remove', { baseRepo: base, branchName: 's', worktreePath });
    expect(most - before).toBeLessThan(150);
    expect(status).toMatch(/^(?:\{"isRepo":true,"clean":true\}|-32603 .* more than 10000 entries)/);
    expect(created).toMatch(/more than 10000 entries, the most that are looked at/);
  });
});

// git reads the whole of it in every call, so each of them is ended at its limit.
test('refs that say to have 8 TB make git slow up to the limit, and every question is answered', async () => {
  const { base, askAll } = prepare();
  sparse(join(base, '.git', 'packed-refs'));
  expect(Object.values(await askAll('S', 300))).toHaveLength(6);
});
