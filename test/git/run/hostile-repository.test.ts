/**
 * Threat 4: a repository that configures a program. Each vector is first shown to work with plain git, so that a test
 * cannot pass because its trap is broken; then every method is asked, in every profile, and the trap stays shut.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { ProfileName } from '../../../src/wire/profile.ts';
import { commit, daemon, git, home, repository, scratchFolder, withVariables, write } from '../support.ts';

interface Vector {
  readonly what: string;
  /**
   * Sets the trap.
   * @param trap a shell command that springs it
   */
  set(base: string, trap: string): void;
  /** What a user would do in a terminal. */
  plain(base: string): void;
  /** The path that git.info, git.status and git.list_branches are asked for; the repository unless given. */
  path?(base: string): string;
}

/** Runs git as a user would. It may fail; only the programs that it has started count. */
function plainly(directory: string, ...args: string[]): void {
  spawnSync('git', args, { cwd: directory, stdio: 'ignore' });
}

/** Makes git look at the content of a tracked file again, as an edit would. */
function touch(base: string, name = 'a.txt'): void {
  utimesSync(join(base, name), new Date(0), new Date(0));
}

const status = (base: string) => plainly(base, 'status');
const addWorktree = (base: string) => plainly(base, 'worktree', 'add', '-b', 'plain', join(base, 'plain'));

function attributes(base: string, line: string): void {
  write(join(base, '.gitattributes'), `${line}\n`);
  commit(base, 'attributes');
  touch(base);
}

/** A promisor remote at this address, and a commit whose file must be fetched from it. */
function lazyFetch(base: string, address: string): void {
  write(join(base, 'lazy.txt'), 'only at origin\n');
  commit(base, 'lazy');
  const blob = git(base, 'rev-parse', 'HEAD:lazy.txt');
  rmSync(join(base, '.git', 'objects', blob.slice(0, 2), blob.slice(2)));
  rmSync(join(base, 'lazy.txt'));
  git(base, 'config', 'core.repositoryFormatVersion', '1');
  git(base, 'config', 'extensions.partialClone', 'origin');
  git(base, 'config', 'remote.origin.url', address);
  git(base, 'config', 'remote.origin.promisor', 'true');
}

const vectors: Vector[] = [
  {
    what: 'core.fsmonitor',
    set: (base, trap) => git(base, 'config', 'core.fsmonitor', `${trap}; false`),
    plain: status,
  },
  {
    what: 'core.fsmonitor in an included file',
    set(base, trap) {
      write(join(base, '.git', 'more'), `[core]\n\tfsmonitor = "${trap}; false"\n`);
      git(base, 'config', 'include.path', 'more');
    },
    plain: status,
  },
  {
    what: 'a post-checkout hook',
    set: (base, trap) => hook(join(base, '.git', 'hooks'), 'post-checkout', trap),
    plain: addWorktree,
  },
  {
    what: 'core.hooksPath',
    set(base, trap) {
      hook(join(base, 'tracked-hooks'), 'post-checkout', trap);
      git(base, 'config', 'core.hooksPath', 'tracked-hooks');
    },
    plain: (base) => plainly(base, 'checkout', '-B', 'plain'),
  },
  {
    what: 'a reference-transaction hook',
    set: (base, trap) => hook(join(base, '.git', 'hooks'), 'reference-transaction', trap),
    plain: (base) => plainly(base, 'branch', 'plain'),
  },
  {
    what: 'a post-index-change hook',
    set(base, trap) {
      hook(join(base, '.git', 'hooks'), 'post-index-change', trap);
      touch(base);
    },
    plain: status,
  },
  {
    what: 'a clean filter',
    set(base, trap) {
      attributes(base, '*.txt filter=evil');
      git(base, 'config', 'filter.evil.clean', `${trap}; cat`);
    },
    plain: status,
  },
  {
    what: 'a required clean filter',
    set(base, trap) {
      attributes(base, '*.txt filter=evil');
      git(base, 'config', 'filter.evil.clean', `${trap}; cat`);
      git(base, 'config', 'filter.evil.required', 'true');
    },
    plain: status,
  },
  {
    what: 'a clean filter with a name full of separators',
    set(base, trap) {
      attributes(base, '*.txt filter=e.v=i;l');
      git(base, 'config', 'filter.e.v=i;l.clean', `${trap}; cat`);
    },
    plain: status,
  },
  {
    what: 'a smudge filter',
    set(base, trap) {
      attributes(base, '*.txt filter=evil');
      git(base, 'config', 'filter.evil.smudge', `${trap}; cat`);
    },
    plain: addWorktree,
  },
  {
    what: 'a filter process',
    set(base, trap) {
      attributes(base, '*.txt filter=evil');
      git(base, 'config', 'filter.evil.process', `${trap}; false`);
    },
    plain: status,
  },
  {
    what: 'a filter that replaces one the user has',
    set(base, trap) {
      git(base, 'config', '--global', 'filter.users.clean', 'cat');
      attributes(base, '*.txt filter=users');
      git(base, 'config', 'filter.users.clean', `${trap}; cat`);
    },
    plain: status,
  },
  {
    what: 'a filter in the configuration of one worktree',
    set(base, trap) {
      attributes(base, '*.txt filter=evil');
      git(base, 'config', 'extensions.worktreeConfig', 'true');
      git(base, 'config', '--worktree', 'filter.evil.clean', `${trap}; cat`);
    },
    plain: status,
  },
  {
    what: 'an attributes file outside the tree',
    set(base, trap) {
      write(join(base, '.git', 'attributes'), '*.txt filter=evil\n');
      git(base, 'config', 'core.attributesFile', join(base, '.git', 'attributes'));
      git(base, 'config', 'filter.evil.clean', `${trap}; cat`);
      touch(base);
    },
    plain: status,
  },
  {
    what: 'an external diff',
    set(base, trap) {
      git(base, 'config', 'diff.external', trap);
      appendFileSync(join(base, 'a.txt'), 'y');
    },
    plain: (base) => plainly(base, 'diff'),
  },
  {
    what: 'a diff driver and a text conversion',
    set(base, trap) {
      attributes(base, '*.txt diff=evil');
      git(base, 'config', 'diff.evil.textconv', `${trap}; cat`);
      appendFileSync(join(base, 'a.txt'), 'y');
    },
    plain: (base) => plainly(base, 'diff'),
  },
  {
    what: 'a credential helper',
    set: (base, trap) => git(base, 'config', 'credential.helper', `!${trap}`),
    plain(base) {
      spawnSync('git', ['credential', 'fill'], {
        cwd: base,
        input: 'protocol=https\nhost=example.com\n\n',
        env: { ...process.env, GIT_TERMINAL_PROMPT: '0' },
      });
    },
  },
  {
    what: 'a missing file and a remote that is a command',
    set(base, trap) {
      git(base, 'config', 'protocol.ext.allow', 'always');
      lazyFetch(base, `ext::sh -c ${trap.replaceAll(' ', '% ')}`);
    },
    plain: addWorktree,
  },
  {
    what: 'a missing file and a program at the remote end',
    set(base, trap) {
      lazyFetch(base, base);
      git(base, 'config', 'remote.origin.uploadpack', `${trap}; false`);
    },
    plain: addWorktree,
  },
  {
    what: 'a missing file and an ssh command',
    set(base, trap) {
      lazyFetch(base, 'ssh://localhost:9/o/r');
      git(base, 'config', 'core.sshCommand', `${trap}; false`);
    },
    plain: addWorktree,
  },
  {
    what: 'a bare repository inside the tree',
    set(base, trap) {
      git(base, 'init', '-q', '--bare', 'embedded');
      const configuration = `[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tworktree = ..\n\tfsmonitor = "${trap}; false"\n`;
      writeFileSync(join(base, 'embedded', 'config'), configuration);
    },
    path: (base) => join(base, 'embedded'),
    plain: (base) => plainly(join(base, 'embedded'), 'status'),
  },
  {
    what: 'a .git file that leads to another git directory',
    set(base, trap) {
      const evil = repository(join(base, 'evil'));
      git(evil, 'config', 'core.fsmonitor', `${trap}; false`);
      write(join(base, 'sub', '.git'), `gitdir: ${join(evil, '.git')}\n`);
    },
    path: (base) => join(base, 'sub'),
    plain: (base) => plainly(join(base, 'sub'), 'status'),
  },
  {
    what: "a submodule's monitor",
    set: (base, trap) => git(embedSubmodule(base), 'config', 'core.fsmonitor', `${trap}; false`),
    plain: status,
  },
  {
    what: "a submodule's filter",
    set(base, trap) {
      const sub = embedSubmodule(base);
      attributes(sub, '*.txt filter=evil');
      git(sub, 'config', 'filter.evil.clean', `${trap}; cat`);
    },
    plain: status,
  },
  {
    what: "a submodule's submodule's filter, with a split index",
    set(base, trap) {
      const sub = embedSubmodule(embedSubmodule(base));
      attributes(sub, '*.txt filter=deep');
      git(sub, 'config', 'filter.deep.clean', `${trap}; cat`);
      git(base, 'update-index', '--split-index');
    },
    plain: status,
  },
];

function hook(folder: string, name: string, trap: string): void {
  write(join(folder, name), `#!/bin/sh\n${trap}\n`, 0o755);
}

/** A repository in the tree that the index has as a submodule; no .gitmodules needed. */
function embedSubmodule(base: string): string {
  const sub = repository(join(base, 'sub'));
  git(base, 'add', 'sub');
  git(base, 'commit', '-q', '-m', 'sub');
  return sub;
}

/** A fresh repository with the trap set. */
function trapped(vector: Vector): { base: string; sprung: () => boolean } {
  const folder = scratchFolder();
  const base = repository(join(folder, 'w'));
  const sentinel = join(folder, 'sprung');
  vector.set(base, `touch ${sentinel}`);
  // Setting the trap may have sprung it already.
  rmSync(sentinel, { force: true });
  return { base, sprung: () => existsSync(sentinel) };
}

const profiles: ProfileName[] = ['S', 'current', 'next'];

describe.each(vectors)('$what', (vector) => {
  test('is run by plain git', () => {
    const { base, sprung } = trapped(vector);
    vector.plain(base);
    expect(sprung()).toBe(true);
  });

  test.each(profiles)('is not run by any method (%s)', async (profile) => {
    const { base, sprung } = trapped(vector);
    const { call, ask } = daemon(profile);
    const path = vector.path?.(base) ?? base;
    for (const method of ['git.info', 'git.status', 'git.list_branches']) {
      await call(method, { path, baseRepo: base });
      expect(sprung(), method).toBe(false);
    }
    const worktreePath = join(base, '.claude', 'worktrees', 's');
    await call('git.worktree_create', { baseRepo: base, branchName: 's', worktreePath, sourceBranch: 'main' });
    expect(sprung(), 'git.worktree_create').toBe(false);
    if (existsSync(join(worktreePath, 'a.txt'))) {
      touch(worktreePath);
      await call('git.status', { path: worktreePath, baseRepo: base });
      expect(sprung(), 'git.status of the worktree').toBe(false);
    }
    expect(await ask('git.worktree_remove', { baseRepo: base, worktreePath, branchName: 's' })).toMatchObject({
      success: true,
    });
    expect(sprung(), 'git.worktree_remove').toBe(false);
  });
});

test("the user's own filter stays in force", async () => {
  withVariables({ HOME: scratchFolder() });
  const base = repository(join(scratchFolder(), 'w'));
  git(base, 'config', '--global', 'filter.upper.clean', 'tr a-z A-Z');
  git(base, 'config', '--global', 'filter.upper.smudge', 'tr A-Z a-z');
  write(join(base, '.gitattributes'), '*.txt filter=upper\n');
  git(base, 'add', '--renormalize', '.');
  commit(base, 'upper');
  touch(base);
  expect(git(base, 'show', 'HEAD:a.txt')).toBe('X');
  expect(await daemon('S').call('git.status', { path: base })).toBe('{"isRepo":true,"clean":true}');
  for (const profile of profiles) {
    const worktreePath = join(base, '.claude', 'worktrees', profile);
    await daemon(profile).call('git.worktree_create', { baseRepo: base, branchName: profile, worktreePath });
    expect(execFileSync('cat', [join(worktreePath, 'a.txt')]).toString(), profile).toBe('x\n');
  }
});

test('a filter whose name is not UTF-8 is not run either', async () => {
  const base = repository(join(scratchFolder(), 'w'));
  appendFileSync(join(base, '.git', 'config'), Buffer.from('[filter "\xff"]\n\tclean = touch sprung; cat\n', 'latin1'));
  writeFileSync(join(base, '.gitattributes'), Buffer.from('*.txt filter=\xff\n', 'latin1'));
  touch(base);
  expect(await daemon('S').call('git.status', { path: base })).toBe(
    '{"isRepo":true,"clean":false,"changes":["?? .gitattributes"]}',
  );
  expect(existsSync(join(base, 'sprung'))).toBe(false);
});

test('a configuration too long to be read keeps git from running', async () => {
  const folder = scratchFolder();
  const base = repository(join(folder, 'w'));
  attributes(base, '*.txt filter=evil');
  git(base, 'config', 'filter.evil.clean', `touch ${join(folder, 'sprung')}; cat`);
  const value = 'x'.repeat(60_000);
  appendFileSync(join(base, '.git', 'config'), `[long]\n${`\tkey = ${value}\n`.repeat(1_200)}`);
  const reply = await daemon('S').call('git.status', { path: base });
  expect(reply).toBe(
    `-32603 git not run: ${base}/.git/config is larger than 1048576 bytes, the most that is read of a configuration; remove what is not needed from it`,
  );
  expect(existsSync(join(folder, 'sprung'))).toBe(false);
});

test('names with control characters and links out of the tree are listed, not followed', async () => {
  const folder = scratchFolder();
  const base = repository(join(folder, 'w'));
  write(join(folder, 'secret'), 'secret\n');
  execFileSync('ln', ['-s', '../secret', join(base, 'link')]);
  write(join(base, 'a\u001b]0;x\u0007b\nc'));
  expect(await daemon('S').call('git.status', { path: base })).toBe(
    '{"isRepo":true,"clean":false,"changes":["?? \\"a\\\\033]0;x\\\\ab\\\\nc\\"","?? link"]}',
  );
});

test('the traps were set in this repository only', () => {
  expect(readdirSync(home)).toEqual(['.gitconfig']);
});
