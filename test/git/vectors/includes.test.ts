/** Conditional includes: a configuration that is another one where git runs than where somebody looked at it. */
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { commit, git, write } from '../support.ts';
import { declareVectors, plainly, touch, type Vector } from './trap.ts';

const status = (base: string) => plainly(base, 'status');

/** A filter and a monitor in a file that is read only under the condition. */
function includeUnder(base: string, condition: string, trap: string): void {
  write(join(base, '.gitattributes'), '*.txt filter=evil\n');
  commit(base, 'attributes');
  const settings = `[filter "evil"]\n\tclean = "${trap}; cat"\n\tsmudge = "${trap}; cat"\n[core]\n\tfsmonitor = "${trap}; false"\n`;
  write(join(base, '.git', 'more'), settings);
  git(base, 'config', `includeIf.${condition}.path`, join(base, '.git', 'more'));
  touch(base);
}

async function addWorktree(base: string): Promise<void> {
  await plainly(base, 'worktree', 'add', '-b', 's', join(base, 'plain'));
  await plainly(join(base, 'plain'), 'status');
}

const vectors: Vector[] = [
  {
    what: 'an include for the branch that is checked out',
    set: (base, { command }) => includeUnder(base, 'onbranch:main', command),
    plain: status,
  },
  {
    what: 'an include for the branch of a worktree',
    set: (base, { command }) => includeUnder(base, 'onbranch:s', command),
    plain: addWorktree,
  },
  {
    what: 'an include for the real git directory',
    set: (base, { command }) => includeUnder(base, `gitdir:${join(base, '.git')}`, command),
    plain: status,
  },
  {
    what: 'an include for the git directories of worktrees',
    set: (base, { command }) => includeUnder(base, 'gitdir:.git/worktrees/**', command),
    plain: addWorktree,
  },
  {
    what: 'an include for git directories in the folder of temporary files',
    set: (base, { command }) => includeUnder(base, 'gitdir:/tmp/**', command),
    plain: status,
  },
  {
    what: 'an include for private copies of a git directory',
    set: (base, { command }) => includeUnder(base, 'gitdir:**/holdfast-git-*/**', command),
    async plain(base) {
      const copy = join(base, '..', 'holdfast-git-copy', 'x');
      cpSync(join(base, '.git'), copy, { recursive: true });
      await plainly(base, `--git-dir=${copy}`, `--work-tree=${base}`, 'status');
    },
  },
  {
    what: 'an include for a remote that the configuration has',
    set(base, { command }) {
      git(base, 'config', 'remote.origin.url', 'https://example.invalid/o/r');
      includeUnder(base, 'hasconfig:remote.*.url:https://example.invalid/**', command);
    },
    plain: status,
  },
  {
    what: 'an include in the configuration of one worktree',
    set(base, { command }) {
      includeUnder(base, 'onbranch:none', command);
      git(base, 'config', 'extensions.worktreeConfig', 'true');
      git(base, 'config', '--worktree', 'includeIf.onbranch:main.path', join(base, '.git', 'more'));
    },
    plain: status,
  },
];

declareVectors(vectors);
