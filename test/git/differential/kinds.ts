/** Repositories of every kind that people have, each in a state that plain git has an answer for. */
import { execFileSync, spawnSync } from 'node:child_process';
import { appendFileSync, chmodSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { commit, commitAll, git, init, inShell, repository, write } from '../support.ts';

export interface Kind {
  readonly what: string;
  /** @returns the repository, or the folder in it that is asked about */
  make(folder: string): string;
  /** Also tried with the other git: the answer depends on the version, or the format is read by new code. */
  readonly both?: boolean;
  /** Only the newer git has it. */
  readonly isNew?: boolean;
}

/** Each repository has a user with a home of its own. */
const userHome = (): string => process.env.HOME ?? '';

/** A repository with some files, two commits and two branches. */
function usual(folder: string, name = 'w', ...initOptions: string[]): string {
  const base = join(folder, name);
  for (const file of ['a.txt', 'b.txt', 'dir/c.txt', 'dir/deep/d.txt', 'other/e.txt']) {
    write(join(base, file), `content of ${file}\nsecond line\n`);
  }
  write(join(base, 'run.sh'), '#!/bin/sh\n', 0o755);
  symlinkSync('a.txt', join(base, 'link'));
  inShell(
    base,
    `${init} "$@"
    ${commitAll} first
    git branch feature/x
    echo 'third line' >> b.txt
    ${commitAll} second`,
    ...initOptions,
  );
  return base;
}

/** Attributes from the first commit on, so that a checkout writes the files by them. */
function withAttributes(folder: string, attributes: string, settings: Record<string, string> = {}): string {
  const base = repository(join(folder, 'w'));
  const lines = Object.entries(settings)
    .map(([name, value]) => `git config ${name} ${value}\n`)
    .join('');
  write(join(base, '.gitattributes'), `${attributes}\n`);
  write(join(base, 'lines.txt'), 'one\ntwo\n');
  write(join(base, 'id.c'), '// $Id$\n');
  // The files are written again as a fresh clone has them.
  inShell(
    base,
    `${lines}
    ${commitAll} attributes
    rm lines.txt id.c
    git checkout -q -- .`,
  );
  return base;
}

/** A clone of a usual repository. */
function cloned(folder: string, ...options: string[]): string {
  const source = usual(folder, 'source');
  inShell(
    folder,
    'git -C source config uploadpack.allowFilter true; git clone -q "$@" w',
    ...options,
    `file://${source}`,
  );
  return join(folder, 'w');
}

function withSubmodule(folder: string): string {
  const inner = usual(folder, 'inner');
  const base = usual(folder);
  inShell(
    base,
    `git -c protocol.file.allow=always submodule --quiet add "$1" sub
    git commit -q -m sub`,
    inner,
  );
  return base;
}

function linked(base: string, name = 'linked'): string {
  const path = join(base, '..', name);
  git(base, 'worktree', 'add', '-q', '-b', name, path);
  return path;
}

export const kinds: readonly Kind[] = [
  { what: 'clean', make: (folder) => usual(folder), both: true },
  {
    what: 'changed, staged, removed and new files',
    make(folder) {
      const base = usual(folder);
      appendFileSync(join(base, 'a.txt'), 'changed\n');
      appendFileSync(join(base, 'b.txt'), 'staged\n');
      git(base, 'add', 'b.txt');
      rmSync(join(base, 'dir', 'c.txt'));
      write(join(base, 'new', 'one'));
      write(join(base, 'new', 'two'));
      git(base, 'rm', '-q', 'other/e.txt');
      return base;
    },
    both: true,
  },
  {
    what: 'renamed files',
    make(folder) {
      const base = usual(folder);
      git(base, 'mv', 'a.txt', 'moved.txt');
      git(base, 'mv', 'dir', 'folder');
      return base;
    },
  },
  {
    what: 'a conflict',
    make(folder) {
      const base = usual(folder);
      git(base, 'checkout', '-q', 'feature/x');
      write(join(base, 'b.txt'), 'theirs\n');
      commit(base, 'theirs');
      git(base, 'checkout', '-q', 'main');
      spawnSync('git', ['merge', '-q', 'feature/x'], { cwd: base, stdio: 'ignore' });
      return base;
    },
  },
  {
    what: 'modes and types that have changed',
    make(folder) {
      const base = usual(folder);
      chmodSync(join(base, 'run.sh'), 0o644);
      chmodSync(join(base, 'a.txt'), 0o755);
      rmSync(join(base, 'link'));
      write(join(base, 'link'), 'no link any more\n');
      rmSync(join(base, 'b.txt'));
      symlinkSync('a.txt', join(base, 'b.txt'));
      return base;
    },
  },
  {
    what: 'a file that is meant to be added',
    make(folder) {
      const base = usual(folder);
      write(join(base, 'later'));
      git(base, 'add', '-N', 'later');
      return base;
    },
  },
  {
    what: 'ignored files',
    make(folder) {
      const base = usual(folder);
      write(join(base, '.gitignore'), '*.log\nbuild/\n');
      commit(base, 'ignore');
      write(join(base, 'x.log'));
      write(join(base, 'build', 'x'));
      write(join(base, 'x.txt'));
      return base;
    },
  },
  {
    what: 'an exclude file and attributes of the repository alone',
    make(folder) {
      const base = usual(folder);
      write(join(base, '.git', 'info', 'exclude'), '*.tmp\n');
      write(join(base, '.git', 'info', 'attributes'), '*.txt eol=crlf\n');
      write(join(base, 'x.tmp'));
      write(join(base, 'x.txt'));
      return base;
    },
    both: true,
  },
  {
    what: 'files that the user always ignores',
    make(folder) {
      write(join(userHome(), '.config', 'git', 'ignore'), '*.users\n');
      const base = usual(folder);
      write(join(base, 'x.users'));
      write(join(base, 'x.txt'));
      return base;
    },
  },
  {
    what: 'a sparse checkout of folders',
    make(folder) {
      const base = usual(folder);
      git(base, 'sparse-checkout', 'set', '--cone', 'dir');
      appendFileSync(join(base, 'dir', 'c.txt'), 'changed\n');
      return base;
    },
    both: true,
  },
  {
    what: 'a sparse checkout of patterns',
    make(folder) {
      const base = usual(folder);
      git(base, 'sparse-checkout', 'set', '--no-cone', '/*', '!/other/');
      appendFileSync(join(base, 'a.txt'), 'changed\n');
      return base;
    },
    both: true,
  },
  {
    what: 'a sparse index',
    make(folder) {
      const base = usual(folder);
      git(base, 'sparse-checkout', 'set', '--cone', '--sparse-index', 'dir');
      write(join(base, 'dir', 'new'));
      return base;
    },
    both: true,
  },
  {
    what: 'a linked worktree',
    make(folder) {
      const path = linked(usual(folder));
      appendFileSync(join(path, 'a.txt'), 'changed\n');
      return path;
    },
    both: true,
  },
  {
    what: 'a sparse linked worktree',
    make(folder) {
      const path = linked(usual(folder));
      git(path, 'sparse-checkout', 'set', 'dir');
      appendFileSync(join(path, 'dir', 'c.txt'), 'changed\n');
      return path;
    },
    both: true,
  },
  {
    what: 'other linked worktrees, locked and with a branch of a long name',
    make(folder) {
      const base = usual(folder);
      linked(base, 'one');
      linked(base, 'two');
      git(base, 'worktree', 'lock', '--reason', 'kept', join(base, '..', 'one'));
      git(base, 'branch', `long/${'n'.repeat(150)}`);
      return base;
    },
  },
  { what: 'a submodule', make: withSubmodule, both: true },
  {
    what: 'a submodule with changed files',
    make(folder) {
      const base = withSubmodule(folder);
      appendFileSync(join(base, 'sub', 'a.txt'), 'changed\n');
      write(join(base, 'sub', 'new'));
      return base;
    },
    both: true,
  },
  {
    what: 'a submodule at another commit',
    make(folder) {
      const base = withSubmodule(folder);
      git(join(base, 'sub'), 'checkout', '-q', 'HEAD~1');
      return base;
    },
  },
  {
    what: 'a submodule that is staged at another commit',
    make(folder) {
      const base = withSubmodule(folder);
      git(join(base, 'sub'), 'checkout', '-q', 'HEAD~1');
      git(base, 'add', 'sub');
      return base;
    },
  },
  {
    what: 'a submodule that is not checked out',
    make(folder) {
      const base = withSubmodule(folder);
      git(base, 'submodule', '--quiet', 'deinit', '-f', 'sub');
      return base;
    },
  },
  {
    what: 'a submodule whose changes are ignored by the repository',
    make(folder) {
      const base = withSubmodule(folder);
      git(base, 'config', '-f', '.gitmodules', 'submodule.sub.ignore', 'dirty');
      commit(base, 'ignore');
      write(join(base, 'sub', 'new'));
      appendFileSync(join(base, 'sub', 'a.txt'), 'changed\n');
      return base;
    },
  },
  {
    what: 'a repository inside that is no submodule',
    make(folder) {
      const base = usual(folder);
      usual(base, 'nested');
      return base;
    },
  },
  {
    what: 'a reftable',
    make: (folder) => usual(folder, 'w', '--ref-format=reftable'),
    isNew: true,
  },
  {
    what: 'a reftable, changes, tags and a packed state',
    make(folder) {
      const base = usual(folder, 'w', '--ref-format=reftable');
      git(base, 'tag', 'v1');
      git(base, 'pack-refs', '--all');
      appendFileSync(join(base, 'a.txt'), 'changed\n');
      write(join(base, 'new'));
      return base;
    },
    isNew: true,
  },
  {
    what: 'a reftable and a linked worktree',
    make: (folder) => linked(usual(folder, 'w', '--ref-format=reftable')),
    isNew: true,
  },
  {
    what: 'SHA-256',
    make(folder) {
      const base = usual(folder, 'w', '--object-format=sha256');
      appendFileSync(join(base, 'a.txt'), 'changed\n');
      return base;
    },
    both: true,
  },
  {
    what: 'SHA-256 and no commit yet',
    make(folder) {
      const base = join(folder, 'w');
      git(folder, 'init', '-q', '-b', 'main', '--object-format=sha256', base);
      write(join(base, 'new'));
      git(base, 'add', 'new');
      return base;
    },
    both: true,
  },
  { what: 'line ends by attributes', make: (folder) => withAttributes(folder, '*.txt eol=crlf'), both: true },
  {
    what: 'line ends by configuration',
    make: (folder) => withAttributes(folder, '*.txt text=auto', { 'core.autocrlf': 'true' }),
    both: true,
  },
  {
    what: 'line ends by core.eol',
    make: (folder) => withAttributes(folder, '*.txt text', { 'core.eol': 'crlf', 'core.safecrlf': 'false' }),
  },
  { what: 'ident', make: (folder) => withAttributes(folder, '*.c ident'), both: true },
  {
    what: 'an encoding of the working tree',
    make: (folder) => withAttributes(folder, '*.txt working-tree-encoding=UTF-16LE-BOM eol=lf'),
    both: true,
  },
  {
    what: "a filter of the user's own",
    make(folder) {
      inShell(
        folder,
        `git config --global filter.lfs.clean 'tr a-z A-Z'
        git config --global filter.lfs.smudge 'tr A-Z a-z'
        git config --global filter.lfs.required true`,
      );
      const base = withAttributes(folder, '*.txt filter=lfs diff=lfs merge=lfs -text');
      // It was committed before there was a filter. As long as git has not looked at its content, by chance, it is unchanged.
      write(join(base, 'a.txt'), 'filtered\n');
      commit(base, 'filtered');
      return base;
    },
    both: true,
  },
  {
    what: 'attributes of the user',
    make(folder) {
      write(join(userHome(), '.config', 'git', 'attributes'), '*.txt eol=crlf\n');
      return withAttributes(folder, '*.none text');
    },
    both: true,
  },
  {
    what: 'a tag with the name of the branch',
    make(folder) {
      const base = usual(folder);
      git(base, 'tag', 'main', 'HEAD~1');
      return base;
    },
    both: true,
  },
  {
    what: 'a branch and a tag with the name of a remote branch',
    make(folder) {
      const base = cloned(folder);
      inShell(
        base,
        `git branch origin/main HEAD~1
        git tag origin/main HEAD~1
        git tag origin/HEAD HEAD~1`,
      );
      return base;
    },
    both: true,
  },
  {
    what: 'branches that are named like other things',
    make(folder) {
      const base = usual(folder);
      const names = ['heads/main', 'HEAD-1', 'tags/x', 'ünï☃', 'a.b', 'x/y/z'];
      inShell(base, 'for name; do git branch -- "$name"; done', ...names);
      return base;
    },
  },
  {
    what: 'packed refs and objects',
    make(folder) {
      const base = usual(folder);
      inShell(base, 'git gc -q; git commit-graph write; git multi-pack-index write');
      return base;
    },
  },
  {
    what: 'no commit yet',
    make(folder) {
      const base = join(folder, 'w');
      git(folder, 'init', '-q', '-b', 'trunk', base);
      write(join(base, 'new'));
      return base;
    },
    both: true,
  },
  {
    what: 'no commit yet and a staged file',
    make(folder) {
      const base = join(folder, 'w');
      git(folder, 'init', '-q', '-b', 'main', base);
      write(join(base, 'new'));
      git(base, 'add', 'new');
      return base;
    },
  },
  {
    what: 'a detached HEAD',
    make(folder) {
      const base = usual(folder);
      git(base, 'checkout', '-q', '--detach', 'HEAD~1');
      return base;
    },
    both: true,
  },
  {
    what: 'a detached HEAD and long abbreviations',
    make(folder) {
      const base = usual(folder);
      git(base, 'config', 'core.abbrev', '20');
      git(base, 'checkout', '-q', '--detach');
      return base;
    },
  },
  { what: 'a shallow clone', make: (folder) => cloned(folder, '--depth=1') },
  {
    what: 'objects that are borrowed',
    make(folder) {
      usual(folder, 'source');
      git(folder, 'clone', '-q', '--shared', 'source', 'w');
      return join(folder, 'w');
    },
  },
  { what: 'a partial clone', make: (folder) => cloned(folder, '--filter=blob:none'), both: true },
  {
    what: 'a clone with a remote on GitHub',
    make(folder) {
      const base = cloned(folder);
      git(base, 'remote', 'set-url', 'origin', 'git@github.com:owner/repo.git');
      git(base, 'branch', '--set-upstream-to=origin/main');
      return base;
    },
  },
  {
    what: "a remote whose address a rule of the user's completes",
    make(folder) {
      git(folder, 'config', '--global', 'url.https://github.com/.insteadOf', 'gh:');
      const base = cloned(folder);
      git(base, 'config', 'remote.origin.url', 'gh:owner/repo');
      return base;
    },
  },
  {
    what: 'a remote with another default branch',
    make(folder) {
      const base = cloned(folder);
      git(base, 'remote', 'set-head', 'origin', 'feature/x');
      return base;
    },
  },
  {
    what: 'file names with everything in them',
    make(folder) {
      const base = usual(folder);
      for (const name of [
        'sp ace',
        'quo"te',
        'back\\slash',
        'new\nline',
        'tab\t',
        'ünï☃',
        '-dash',
        ' lead',
        '*star',
        'r -> n',
      ]) {
        write(join(base, 'odd', name));
        write(join(base, `${name}.untracked`));
      }
      writeFileSync(Buffer.concat([Buffer.from(`${base}/latin`), Buffer.from([0xff])]), 'x');
      git(base, 'add', 'odd');
      git(base, 'commit', '-q', '-m', 'odd');
      appendFileSync(join(base, 'odd', 'sp ace'), 'changed\n');
      appendFileSync(join(base, 'odd', 'new\nline'), 'changed\n');
      git(base, 'mv', 'odd/quo"te', 'odd/moved "name"');
      return base;
    },
  },
  {
    what: 'file names that are not quoted',
    make(folder) {
      const base = usual(folder);
      git(base, 'config', 'core.quotePath', 'false');
      write(join(base, 'ünï☃'));
      return base;
    },
  },
  {
    what: 'a folder with a space and letters of other languages in its path',
    make: (folder) => usual(join(folder, 'ä ö', '语言')),
  },
  {
    what: 'a bare repository',
    make(folder) {
      git(folder, 'clone', '-q', '--bare', usual(folder, 'source'), 'bare.git');
      return join(folder, 'bare.git');
    },
  },
  {
    what: 'a worktree of a bare repository',
    make(folder) {
      git(folder, 'clone', '-q', '--bare', usual(folder, 'source'), 'bare.git');
      git(join(folder, 'bare.git'), 'worktree', 'add', '-q', join(folder, 'main'), 'main');
      return join(folder, 'main');
    },
    both: true,
  },
  {
    what: 'a configuration for each worktree',
    make(folder) {
      const base = usual(folder);
      git(base, 'config', 'extensions.worktreeConfig', 'true');
      git(base, 'config', '--worktree', 'core.sparseCheckout', 'false');
      return base;
    },
    both: true,
  },
  {
    what: 'a git directory in another place',
    make(folder) {
      const base = usual(folder);
      renameSync(join(base, '.git'), join(folder, 'elsewhere.git'));
      write(join(base, '.git'), `gitdir: ${join(folder, 'elsewhere.git')}\n`);
      return base;
    },
  },
  {
    what: 'a subfolder',
    make(folder) {
      const base = usual(folder);
      write(join(base, 'dir', 'new'));
      write(join(base, 'new'));
      return join(base, 'dir');
    },
  },
  {
    what: 'a path through a link',
    make(folder) {
      usual(folder);
      symlinkSync('w', join(folder, 'linked-to'));
      return join(folder, 'linked-to');
    },
  },
  {
    what: 'a split index',
    make(folder) {
      const base = usual(folder);
      git(base, 'update-index', '--split-index');
      appendFileSync(join(base, 'a.txt'), 'changed\n');
      git(base, 'add', 'a.txt');
      return base;
    },
  },
  {
    what: 'a linked worktree with a split index and an untracked cache',
    make(folder) {
      const path = linked(usual(folder));
      git(path, 'update-index', '--split-index', '--force-untracked-cache');
      git(path, 'status');
      write(join(path, 'new'));
      return path;
    },
  },
  {
    what: 'files that git is told not to look at',
    make(folder) {
      const base = usual(folder);
      git(base, 'update-index', '--assume-unchanged', 'a.txt');
      git(base, 'update-index', '--skip-worktree', 'b.txt');
      appendFileSync(join(base, 'a.txt'), 'changed\n');
      appendFileSync(join(base, 'b.txt'), 'changed\n');
      return base;
    },
  },
  {
    what: 'modes that do not count',
    make(folder) {
      const base = usual(folder);
      git(base, 'config', 'core.fileMode', 'false');
      chmodSync(join(base, 'a.txt'), 0o755);
      return base;
    },
  },
  {
    what: 'a file system without links',
    make(folder) {
      const base = usual(folder);
      git(base, 'config', 'core.symlinks', 'false');
      rmSync(join(base, 'link'));
      writeFileSync(join(base, 'link'), 'a.txt');
      return base;
    },
  },
  {
    what: 'letter case that does not count',
    make(folder) {
      const base = usual(folder);
      git(base, 'config', 'core.ignoreCase', 'true');
      renameSync(join(base, 'a.txt'), join(base, 'A.txt'));
      return base;
    },
  },
  {
    what: 'untracked files that are not to be shown',
    make(folder) {
      const base = usual(folder);
      git(base, 'config', 'status.showUntrackedFiles', 'no');
      write(join(base, 'new'));
      return base;
    },
  },
  {
    what: 'renames that are not to be found',
    make(folder) {
      const base = usual(folder);
      git(base, 'config', 'status.renames', 'false');
      git(base, 'mv', 'a.txt', 'moved.txt');
      return base;
    },
  },
  {
    what: 'a rebase that has stopped',
    make(folder) {
      const base = usual(folder);
      execFileSync('git', ['-c', 'sequence.editor=sed -i s/^pick/edit/', 'rebase', '-q', '-i', 'HEAD~1'], {
        cwd: base,
        stdio: 'ignore',
        timeout: 20_000,
      });
      return base;
    },
  },
  {
    what: 'files for new worktrees',
    make(folder) {
      const base = usual(folder);
      write(join(base, '.gitignore'), '.env\n');
      write(join(base, '.worktreeinclude'), '.env\n');
      commit(base, 'include');
      write(join(base, '.env'), 'A=1\n');
      return base;
    },
  },
  {
    what: 'many files',
    make(folder) {
      const base = usual(folder);
      for (let at = 0; at < 400; at++) {
        write(join(base, 'many', String(at % 20), String(at)), `${at}\n`);
      }
      commit(base, 'many');
      for (let at = 0; at < 400; at += 7) {
        appendFileSync(join(base, 'many', String(at % 20), String(at)), 'changed\n');
      }
      return base;
    },
  },
  {
    what: 'a plain folder',
    make(folder) {
      write(join(folder, 'w', 'x'));
      return join(folder, 'w');
    },
  },
];
