/** Links in places where git writes: no write, and no delete, leaves the repository through them. */
import { existsSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { git, repository, scratchFolder, withVariables, write } from '../support.ts';
import { askEveryMethod, declareVectors, newTrap, plainly, profiles, type Vector } from './trap.ts';

/** Replaces something in the git directory by a link. */
function link(base: string, place: string, target: string): void {
  const path = join(base, '.git', place);
  rmSync(path, { recursive: true, force: true });
  write(`${path}-sibling`);
  rmSync(`${path}-sibling`);
  symlinkSync(target, path);
}

const branchAndDelete = async (base: string) => {
  await plainly(base, 'branch', 's');
  await plainly(base, 'branch', '-D', 's');
};

const vectors: Vector[] = [
  {
    what: 'the log of a branch is a link to a file of the user',
    isHarmless: true,
    set: (base, { outside }) => link(base, 'logs/refs/heads/s', join(outside, 'victim')),
    plain: (base) => plainly(base, 'branch', 's'),
  },
  {
    what: 'the log of a branch is a link to a file that is not there yet',
    isHarmless: true,
    set: (base, { outside }) => link(base, 'logs/refs/heads/s', join(outside, 'new')),
    plain: (base) => plainly(base, 'branch', 's'),
  },
  {
    what: 'the folder of the logs of branches is a link to a folder of the user',
    isHarmless: true,
    set: (base, { outside }) => link(base, 'logs/refs/heads', outside),
    plain: branchAndDelete,
  },
  {
    what: 'the folder of all logs is a link to a folder of the user',
    isHarmless: true,
    set: (base, { outside }) => link(base, 'logs', outside),
    plain: branchAndDelete,
  },
  {
    what: 'the folder of branches is a link to a folder of the user',
    set(base, { outside }) {
      rmSync(join(outside, 's'));
      git(base, 'pack-refs', '--all');
      link(base, 'refs/heads', outside);
    },
    plain: (base) => plainly(base, 'branch', 's'),
  },
];

declareVectors(vectors);

// Plain git is no proof here: it notices that such a worktree leads nowhere and takes back what it has written.
test.each(profiles)(
  'nothing is left where the folder of worktrees is a link to a folder of the user (%s)',
  async (profile) => {
    const folder = scratchFolder();
    const base = repository(join(folder, 'w'));
    const trap = newTrap(folder);
    link(base, 'worktrees', trap.outside);
    trap.arm();
    await askEveryMethod(base, profile, (method) => expect(trap.harm(), method).toBe(''));
  },
);

describe('a repository whose work tree is said to be the home folder', () => {
  /** A home with something to keep to oneself, and a repository in it. */
  function homeWithSecret(): string {
    const home = scratchFolder();
    withVariables({ HOME: home });
    write(join(home, '.claude', 'credentials.json'), 'secret');
    write(join(home, '.worktreeinclude'), '*.json\n');
    write(join(home, '.gitignore'), '*.json\n');
    const base = repository(join(home, 'w'));
    write(join(base, '.worktreeinclude'), '*.json\n');
    git(base, 'config', 'core.worktree', home);
    return base;
  }

  test('is taken at its word by plain git', () => {
    const base = homeWithSecret();
    expect(git(join(base, '..'), '--git-dir=w/.git', 'ls-files', '--others', '--', '.claude')).toContain(
      '.claude/credentials.json',
    );
  });

  test.each(profiles)('gets nothing of it into a new worktree (%s)', async (profile) => {
    const base = homeWithSecret();
    await askEveryMethod(base, profile, (method) => {
      const found = readdirSync(base, { recursive: true, encoding: 'utf8' });
      expect(
        found.filter((name) => name.endsWith('credentials.json')),
        method,
      ).toEqual([]);
    });
    expect(existsSync(join(base, '..', '.claude', 'credentials.json'))).toBe(true);
  });
});
