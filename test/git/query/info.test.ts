import { existsSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { githubSlug } from '../../../src/git/query/github-slug.ts';
import type { ProfileName } from '../../../src/wire/profile.ts';
import { commit, daemon, git, repository, scratchFolder, withVariables, write } from '../support.ts';

const noRepository = '{"isRepo":false,"repoSlug":"","defaultBranch":""}';
const everyProfile: ProfileName[] = ['S', 'current', 'next'];

describe.each(everyProfile)('git.info in profile %s', (profile) => {
  test('a repository with a GitHub remote is named with branch, root, slug and default branch', async () => {
    const path = repository(join(scratchFolder(), 'w'));
    git(path, 'remote', 'add', 'origin', 'git@github.com:o/r.git');
    git(path, 'update-ref', 'refs/remotes/origin/main', 'HEAD');
    git(path, 'symbolic-ref', 'refs/remotes/origin/HEAD', 'refs/remotes/origin/main');
    expect(await daemon(profile).call('git.info', { path })).toBe(
      `{"isRepo":true,"repo":"w","branch":"main","root":"${path}","repoSlug":"o/r","defaultBranch":"main"}`,
    );
  });

  test('a detached HEAD is named by its short commit', async () => {
    const path = repository(join(scratchFolder(), 'w'));
    git(path, 'checkout', '-q', '--detach');
    const reply = await daemon(profile).ask('git.info', { path });
    expect(reply.branch).toBe(`detached:${git(path, 'rev-parse', '--short', 'HEAD')}`);
  });

  test('a repository without a commit has its first branch already', async () => {
    const path = join(scratchFolder(), 'w');
    mkdirSync(path);
    git(path, 'init', '-q', '-b', 'trunk');
    expect((await daemon(profile).ask('git.info', { path })).branch).toBe('trunk');
  });

  test('what is no work tree is no repository: a plain folder, a bare one, the inside of .git, nothing at all', async () => {
    const folder = scratchFolder();
    repository(join(folder, 'w'));
    git(folder, 'init', '-q', '--bare', 'bare.git');
    mkdirSync(join(folder, 'plain'));
    for (const name of ['plain', 'bare.git', 'w/.git', 'missing', 'a\0b']) {
      expect(await daemon(profile).call('git.info', { path: join(folder, name) }), name).toBe(noRepository);
    }
  });

  test('without git on the PATH there is no repository', async () => {
    const path = repository(join(scratchFolder(), 'w'));
    withVariables({ PATH: join(path, 'nothing-here') });
    expect(await daemon(profile).call('git.info', { path })).toBe(noRepository);
  });

  test('a git beside the repository is never run, even with the current folder on the PATH', async () => {
    const path = repository(join(scratchFolder(), 'w'));
    const sentinel = join(path, 'ran');
    write(join(path, 'git'), `#!/bin/sh\ntouch ${sentinel}\n`, 0o755);
    withVariables({ PATH: `.:${process.env.PATH}` });
    await daemon(profile).call('git.info', { path });
    expect(existsSync(sentinel)).toBe(false);
    // The trap works: a shell that looks for `git` there does find the program in the repository first.
    git(path, 'status');
    expect(existsSync(sentinel)).toBe(true);
  });
});

test('a home given as ~ is expanded, and only there', async () => {
  const folder = scratchFolder();
  repository(join(folder, 'w'));
  withVariables({ HOME: folder });
  expect((await daemon('S').ask('git.info', { path: '~/w' })).root).toBe(join(folder, 'w'));
  expect((await daemon('S').ask('git.info', { path: `${folder}/~/w` })).isRepo).toBe(false);
});

test('the later generation reports the folder where the walk found .git, links resolved', async () => {
  const folder = scratchFolder();
  const path = repository(join(folder, 'real'));
  mkdirSync(join(path, 'sub'));
  symlinkSync(path, join(folder, 'link'));
  expect((await daemon('next').ask('git.info', { path: join(folder, 'link', 'sub') })).root).toBe(path);
});

test('the later generation leaves out a repository name that looks like an option', async () => {
  const path = repository(join(scratchFolder(), '-w'));
  expect(await daemon('S').ask('git.info', { path })).toHaveProperty('repo', '-w');
  expect(await daemon('next').ask('git.info', { path })).not.toHaveProperty('repo');
});

test('the later generation names a default branch only when origin has it', async () => {
  const path = repository(join(scratchFolder(), 'w'));
  git(path, 'symbolic-ref', 'refs/remotes/origin/HEAD', 'refs/remotes/origin/gone');
  expect(await daemon('S').ask('git.info', { path })).toHaveProperty('defaultBranch', 'gone');
  expect(await daemon('next').ask('git.info', { path })).toHaveProperty('defaultBranch', '');
});

test("the later generation follows the user's url rewriting, the earlier ones read the remote as it is written", async () => {
  const path = repository(join(scratchFolder(), 'w'));
  git(path, 'remote', 'add', 'origin', 'gh:o/r');
  withVariables({ HOME: scratchFolder() });
  git(path, 'config', '--global', 'url.https://github.com/.insteadOf', 'gh:');
  expect(await daemon('S').ask('git.info', { path })).toHaveProperty('repoSlug', '');
  expect(await daemon('next').ask('git.info', { path })).toHaveProperty('repoSlug', 'o/r');
});

test('a linked worktree is a repository of its own folder', async () => {
  const folder = scratchFolder();
  const path = repository(join(folder, 'w'));
  commit(write(join(path, 'b.txt')) && path, 'more');
  git(path, 'worktree', 'add', '-q', '-b', 'side', join(folder, 'linked'));
  for (const profile of everyProfile) {
    expect(await daemon(profile).ask('git.info', { path: join(folder, 'linked') }), profile).toMatchObject({
      isRepo: true,
      root: join(folder, 'linked'),
      branch: 'side',
    });
  }
});

test.each([
  ['https://github.com/o/r', 'o/r'],
  ['https://github.com/o/r.git/', 'o/r'],
  ['HTTPS://GitHub.com/o/r', 'o/r'],
  ['ssh://git@github.com/o/r.git', 'o/r'],
  ['https://user:secret@github.com/o/r', 'o/r'],
  ['git@github.com:o/r', 'o/r'],
  ['github.com:o/r.git', 'o/r'],
  ['https://github.com/o/r.git.git', 'o/r.git'],
  ['https://github.com/o-p/r_.-', 'o-p/r_.-'],
  ['https://github.com/o/GIZMO.WIKI', 'o/GIZMO.WIKI'],
  ['https://github.com/o/x.wiki', ''],
  ['https://github.com/-o/r', ''],
  ['https://github.com/o-/r', ''],
  ['https://github.com/o/-r', ''],
  ['https://github.com/o/..', ''],
  ['https://github.com/o/.', ''],
  ['https://github.com/o/r/s', ''],
  ['https://github.com/o', ''],
  ['https://github.com//r', ''],
  ['https://github.com:443/o/r', ''],
  ['https://github.com./o/r', ''],
  ['https://www.github.com/o/r', ''],
  ['https://github.com.evil.example/o/r', ''],
  ['https://evil.example/github.com/o/r', ''],
  ['git+ssh://git@github.com/o/r', ''],
  ['file:///github.com/o/r', ''],
  ['/srv/github.com:o/r', ''],
  ['ext::sh -c evil github.com:o/r', ''],
  ['', ''],
])('the remote %j has the slug %j', (address, slug) => {
  expect(githubSlug(address)).toBe(slug);
});
