/** What is read of a symbolic ref without git is what git says of it, or it is left to git. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readHead, readSharedRef, type SymbolicRef } from '../../../src/git/query/symbolic-refs.ts';
import { GitProgram } from '../../../src/git/run/git-program.ts';
import { withTrustedRepository } from '../../../src/git/run/open-repository.ts';
import { daemon, git, repository, scratchFolder, write } from '../support.ts';

const id = '0123456789abcdef0123456789abcdef01234567';

const contents: readonly string[] = [
  ...['refs/heads/main', 'refs/heads/feature/x-1', 'refs/heads/v1.2', 'refs/heads/unborn', 'refs/heads/packed'],
  ...[
    'refs/heads/sym',
    'refs/heads/loop',
    'refs/heads/empty',
    'refs/heads/broken',
    'refs/heads/folder',
    'refs/heads/link',
  ],
  ...['refs/heads/linkout', 'refs/heads/main/below', 'refs/heads/-x', 'refs/heads/ü', 'refs/heads/a b', 'refs/heads/@'],
  ...[
    'refs/heads/a..b',
    'refs/heads/../heads/main',
    'refs/heads/./main',
    'refs/heads/a//b',
    'refs/heads/a/',
    'refs/heads/.a',
  ],
  ...['refs/heads/a/.b', 'refs/heads/a.lock', 'refs/heads/a.lock/b', 'refs/heads/a.', 'refs/heads/a~1', 'refs/heads/'],
  ...['refs/remotes/origin/main', 'refs/tags/main', 'refs/main', 'HEAD', '/etc/passwd', ''],
]
  .map((ref) => `ref: ${ref}\n`)
  .concat(
    ...['ref: refs/heads/main', 'ref:refs/heads/main\n', 'ref:  refs/heads/main\n', 'ref:\trefs/heads/main\n'],
    ...[
      'ref: refs/heads/main \n',
      'ref: refs/heads/main\r\n',
      'ref: refs/heads/main\nmore\n',
      ' ref: refs/heads/main\n',
    ],
    ...[`${id}\n`, id, `${id} \n`, `${id}\tmore\n`, `${id.toUpperCase()}\n`, `${id.slice(1)}\n`, `${id}0\n`],
    ...['', '\n', 'garbage\n', `ref: refs/heads/${'x'.repeat(300)}\n`, `ref: refs/heads/${'x/'.repeat(800)}x\n`],
  );

function prepare(): string {
  const path = repository(join(scratchFolder(), 'w'));
  const heads = join(path, '.git', 'refs', 'heads');
  for (const name of ['feature/x-1', 'v1.2', 'packed']) {
    git(path, 'branch', name);
  }
  git(path, 'update-ref', 'refs/remotes/origin/main', 'HEAD');
  git(path, 'pack-refs', '--all');
  git(path, 'branch', '-f', 'v1.2');
  write(join(heads, 'sym'), 'ref: refs/heads/main\n');
  write(join(heads, 'loop'), 'ref: refs/heads/loop\n');
  write(join(heads, 'empty'), '');
  write(join(heads, 'broken'), 'no id\n');
  mkdirSync(join(heads, 'folder', 'inner'), { recursive: true });
  symlinkSync('refs/heads/main', join(heads, 'link'));
  symlinkSync('/etc/hostname', join(heads, 'linkout'));
  return path;
}

const ask = (path: string, read: (repository: Parameters<typeof readHead>[0]) => Promise<SymbolicRef>) =>
  withTrustedRepository(new GitProgram(daemon('S').services), path, read);

function byGit(path: string, name: string): string {
  const { status, stdout } = spawnSync('git', ['symbolic-ref', name], { cwd: path, encoding: 'utf8' });
  return status === 0 ? stdout : 'none';
}

/** What it is said to be, in git's words; `undefined`: it is left to git. */
function told(read: SymbolicRef): string | undefined {
  if (read === 'unclear') {
    return undefined;
  }
  return read === 'none' ? 'none' : `${read.ref}\n`;
}

test('HEAD is read as git reads it, or left to git', async () => {
  const path = prepare();
  const left: string[] = [];
  for (const content of contents) {
    writeFileSync(join(path, '.git', 'HEAD'), content);
    const read = told(await ask(path, readHead));
    if (read === undefined) {
      left.push(content);
    } else {
      expect(read, JSON.stringify(content)).toBe(byGit(path, 'HEAD'));
    }
  }
  // What people have is not left to git.
  for (const name of ['main', 'feature/x-1', 'v1.2', 'unborn', 'packed']) {
    expect(left).not.toContain(`ref: refs/heads/${name}\n`);
  }
  expect(left).not.toContain(`${id}\n`);
});

test('the default branch of a remote is read as git reads it, or left to git', async () => {
  const path = prepare();
  const name = 'refs/remotes/origin/HEAD';
  const read = async () => told(await ask(path, (found) => readSharedRef(found, name)));
  expect(await read()).toBe('none');
  expect(byGit(path, name)).toBe('none');
  for (const content of contents) {
    write(join(path, '.git', name), content);
    const said = await read();
    if (said !== undefined) {
      expect(said, JSON.stringify(content)).toBe(byGit(path, name));
    }
  }
  writeFileSync(join(path, '.git', name), 'ref: refs/remotes/origin/main\n');
  expect(await read()).toBe('refs/remotes/origin/main\n');
  // A packed ref of the name is no symbolic one.
  rmSync(join(path, '.git', name));
  git(path, 'update-ref', '--no-deref', name, 'HEAD');
  git(path, 'pack-refs', '--all');
  expect(await read()).toBe(byGit(path, name));
});

test('a linked worktree has a HEAD of its own, and shares the refs', async () => {
  const path = prepare();
  const worktree = join(path, '..', 'there');
  git(path, 'worktree', 'add', '-q', '-b', 'there', worktree);
  git(path, 'symbolic-ref', 'refs/remotes/origin/HEAD', 'refs/remotes/origin/main');
  expect(told(await ask(worktree, readHead))).toBe('refs/heads/there\n');
  expect(told(await ask(worktree, (found) => readSharedRef(found, 'refs/remotes/origin/HEAD')))).toBe(
    'refs/remotes/origin/main\n',
  );
});
