/** Programs in the configuration of submodules, however deep they lie and whoever owns them. */
import { execFileSync } from 'node:child_process';
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../../support/needs.ts';
import { git, repository, scratchFolder, write } from '../support.ts';
import { declareVectors, plainly, touch, type Vector } from './trap.ts';

/** A chain of submodules, each in the one before, all of the name `sub`. @returns the path of the deepest */
function chain(base: string, depth: number): string {
  const deepest = join(base, ...Array<string>(depth).fill('sub'));
  // A repository in the tree is a submodule as soon as the index names it; no .gitmodules is needed for a status.
  repository(deepest);
  write(join(deepest, '.gitattributes'), '*.txt filter=evil\n');
  git(deepest, 'add', '-A');
  git(deepest, 'commit', '-q', '-m', 'attributes');
  for (let at = depth - 1; at >= 0; at--) {
    const above = join(base, ...Array<string>(at).fill('sub'));
    if (at > 0) {
      git(above, 'init', '-q', '-b', 'main');
      write(join(above, 'a.txt'));
    }
    git(above, '-c', 'advice.addEmbeddedRepo=false', 'add', '-A');
    git(above, 'commit', '-q', '-m', 'sub');
  }
  return deepest;
}

function filterAt(base: string, depth: number, trap: string): void {
  const deepest = chain(base, depth);
  git(deepest, 'config', 'filter.evil.clean', `${trap}; cat`);
  git(deepest, 'config', 'core.fsmonitor', `${trap}; false`);
  touch(deepest);
}

const status = (base: string) => plainly(base, 'status');

const vectors: Vector[] = [
  ...[1, 16, 17].map((depth) => ({
    what: `a filter in the submodule at depth ${depth}`,
    // The status of the later profiles is that of a worktree without its submodules.
    profiles: ['S'] as const,
    set: (base: string, { command }: { command: string }) => filterAt(base, depth, command),
    plain: status,
  })),
  {
    what: 'a filter in a submodule of another owner',
    need: root,
    set(base, { command }) {
      filterAt(base, 1, command);
      execFileSync('chown', ['-R', '65534:65534', join(base, 'sub')]);
    },
    plain: status,
  },
  {
    what: 'a filter in a submodule whose git directory is elsewhere',
    set(base, { command }) {
      const elsewhere = join(scratchFolder(), 'git');
      filterAt(base, 1, command);
      cpSync(join(base, 'sub', '.git'), elsewhere, { recursive: true });
      rmSync(join(base, 'sub', '.git'), { recursive: true });
      write(join(base, 'sub', '.git'), `gitdir: ${elsewhere}\n`);
      touch(join(base, 'sub'));
    },
    plain: status,
  },
  {
    what: 'an include of the configuration of a submodule for its own git directory',
    set(base, { command }) {
      const deepest = chain(base, 1);
      write(join(base, 'more'), `[filter "evil"]\n\tclean = "${command}; cat"\n`);
      git(deepest, 'config', 'includeIf.gitdir:**/sub/.git.path', join(base, 'more'));
      touch(deepest);
    },
    plain: status,
  },
];

declareVectors(vectors);
