/**
 * Branches come and go in refs of our own and are then taken to the repository: nothing is written through a link, other gits
 * are kept out meanwhile, and replies and outcome are those of plain git.
 */
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { byLength } from '../../faults/support/length.ts';
import { withEachGit } from '../each-git.ts';
import { daemon, git, repository, scratchFolder, standInForGit, write } from '../support.ts';
import { contentOf } from '../vectors/trap.ts';

const profiles = ['S', 'current', 'next'] as const;
type Profile = (typeof profiles)[number];

function place(prepare: (base: string) => void = () => {}): { folder: string; baseRepo: string; worktreePath: string } {
  const folder = scratchFolder();
  const baseRepo = repository(join(folder, 'w'));
  prepare(baseRepo);
  return { folder, baseRepo, worktreePath: join(baseRepo, '.claude', 'worktrees', 's') };
}

const create = (profile: Profile, baseRepo: string, worktreePath: string, branchName: string) =>
  daemon(profile).ask('git.worktree_create', { baseRepo, branchName, worktreePath });
const remove = (profile: Profile, baseRepo: string, worktreePath: string, branchName: string) =>
  daemon(profile).ask('git.worktree_remove', { baseRepo, worktreePath, branchName });

/** Both outputs of git as a user runs it, and whether it has failed. */
function said(directory: string, ...args: string[]): string {
  try {
    return execFileSync('sh', ['-c', 'git "$@" 2>&1', 'sh', ...args], { cwd: directory, encoding: 'utf8' });
  } catch (error) {
    return (error as { stdout: string }).stdout;
  }
}

const refsOf = (directory: string) => git(directory, 'for-each-ref', '--format=%(refname)');

/** Every lock file of the repository. */
function locksIn(baseRepo: string): string[] {
  return readdirSync(join(baseRepo, '.git'), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.lock'),
  );
}

describe.each([
  ['a team’s branches', 'refs/heads/team'],
  ['all branches', 'refs/heads'],
  ['all refs', 'refs'],
  ['the git directory', '.'],
])('the folder of %s becomes a link while git runs', (_what, name) => {
  test.each(byLength<readonly Profile[]>(['S', 'next'], profiles))(
    'nothing is written or deleted where it leads (%s)',
    async (profile) => {
      const { folder, baseRepo, worktreePath } = place((base) => {
        git(base, 'branch', 'team/x');
        git(base, 'pack-refs', '--all');
        mkdirSync(join(base, '.git', 'refs', 'heads', 'team'), { recursive: true });
      });
      const outside = join(folder, 'outside');
      const where = join(
        outside,
        { 'refs/heads/team': '', 'refs/heads': 'team', refs: 'heads/team' }[name] ?? 'refs/heads/team',
      );
      mkdirSync(where, { recursive: true });
      write(join(outside, 'config'), 'mine\n');
      if (name === '.') {
        cpSync(join(baseRepo, '.git', 'objects'), join(outside, 'objects'), { recursive: true });
      }
      const swapped = join(baseRepo, '.git', name);
      const swap = `mv ${swapped} ${folder}/aside && ln -s ${outside} ${swapped}`;
      const back = () => {
        if (existsSync(join(folder, 'aside'))) {
          rmSync(swapped);
          renameSync(join(folder, 'aside'), swapped);
        }
      };
      // Right when git has been started for the change: the look before is over, and its own write is still to come.
      standInForGit(
        folder,
        `case " $* " in *" worktree add "*|*" branch -D "*|*" update-ref "*)
        if [ -e ${folder}/armed ]; then rm ${folder}/armed; ${swap}; fi;;
      esac
      exec $GIT "$@"`,
      );
      let before = contentOf(outside);
      write(join(folder, 'armed'));
      await create(profile, baseRepo, worktreePath, 'team/b');
      expect(contentOf(outside)).toBe(before);
      expect(existsSync(join(folder, 'armed'))).toBe(false);
      back();
      expect(locksIn(baseRepo)).toEqual([]);

      rmSync(worktreePath, { recursive: true, force: true });
      git(baseRepo, 'worktree', 'prune');
      said(baseRepo, 'branch', '-D', 'team/b');
      git(baseRepo, 'worktree', 'add', '-q', '-b', 'team/b', worktreePath);
      write(join(where, 'b'), `${git(baseRepo, 'rev-parse', 'team/b')}\n`);
      before = contentOf(outside);
      write(join(folder, 'armed'));
      await remove(profile, baseRepo, worktreePath, 'team/b');
      expect(contentOf(outside)).toBe(before);
      expect(existsSync(join(folder, 'armed'))).toBe(false);
      back();
      expect(locksIn(baseRepo)).toEqual([]);
      expect(git(baseRepo, 'fsck')).toBe('');
    },
  );
});

interface Obstacle {
  readonly what: string;
  readonly branch: string;
  prepare(base: string): void;
}

const obstacles: readonly Obstacle[] = [
  {
    what: 'another process has the branch locked',
    branch: 'b',
    prepare: (base) => write(join(base, '.git/refs/heads/b.lock'), ''),
  },
  { what: 'a branch has the name of its folder', branch: 'team/b', prepare: (base) => git(base, 'branch', 'team') },
  { what: 'branches are below its name', branch: 'team', prepare: (base) => git(base, 'branch', 'team/b') },
  {
    what: 'packed branches are below its name',
    branch: 'team',
    prepare(base) {
      git(base, 'branch', 'team/b');
      git(base, 'pack-refs', '--all');
    },
  },
  { what: 'it is there already', branch: 'b', prepare: (base) => git(base, 'branch', 'b') },
  {
    what: 'its packed self is there already',
    branch: 'b',
    prepare(base) {
      git(base, 'branch', 'b');
      git(base, 'pack-refs', '--all');
    },
  },
  {
    what: 'empty folders have its name',
    branch: 'team',
    prepare: (base) => mkdirSync(join(base, '.git/refs/heads/team/empty/deep'), { recursive: true }),
  },
  { what: 'its name is none', branch: 'a..b', prepare: () => {} },
  { what: 'its name ends like a lock', branch: 'b.lock', prepare: () => {} },
  { what: 'its name leads out', branch: '../../../outside/b', prepare: () => {} },
  { what: 'its name is a full one', branch: 'refs/heads/main', prepare: () => {} },
  {
    what: 'another branch has its full name',
    branch: 'b',
    prepare: (base) => git(base, 'branch', 'refs/heads/main'),
  },
];

describe('a branch is made and deleted, or refused, as by plain git', () => {
  test.each(obstacles)('where $what', async ({ branch, prepare }) => {
    const { folder, baseRepo, worktreePath } = place(prepare);
    const plain = repository(join(folder, 'p'));
    prepare(plain);
    const asPlain = (text: string) => text.replaceAll(baseRepo, plain);
    const there = join(plain, '.claude', 'worktrees', 's');
    const text = said(plain, 'worktree', 'add', '-b', branch, there, 'main');
    const reply = await create('S', baseRepo, worktreePath, branch);
    expect(asPlain(String(reply.error ?? ''))).toBe(
      text.includes('fatal:') ? `git worktree add failed: ${text.trim()}` : '',
    );
    expect(refsOf(baseRepo)).toBe(refsOf(plain));
    expect(locksIn(baseRepo)).toEqual(locksIn(plain));

    said(plain, 'worktree', 'remove', '--force', there);
    said(plain, 'branch', '-D', branch);
    await remove('S', baseRepo, worktreePath, branch);
    expect(refsOf(baseRepo)).toBe(refsOf(plain));
    expect(locksIn(baseRepo)).toEqual(locksIn(plain));
    const folders = (base: string) => execFileSync('find', ['.git/refs', '-type', 'd'], { cwd: base }).toString();
    expect(folders(baseRepo)).toBe(folders(plain));
    expect(readdirSync(folder).sort()).toEqual(['p', 'w']);
  });
});

test('a branch that is named by when it was checked out is deleted, as by plain git', async () => {
  const { baseRepo, worktreePath } = place();
  git(baseRepo, 'checkout', '-q', '-b', 'before');
  git(baseRepo, 'checkout', '-q', 'main');
  git(baseRepo, 'worktree', 'add', '-q', '-b', 'b', worktreePath);
  await remove('S', baseRepo, worktreePath, '@{-1}');
  expect(refsOf(baseRepo)).toBe('refs/heads/b\nrefs/heads/main');
});

test.each(profiles)('a list of packed refs that another process has locked keeps the branch (%s)', async (profile) => {
  const { baseRepo, worktreePath } = place();
  await create(profile, baseRepo, worktreePath, 'b');
  git(baseRepo, 'pack-refs', '--all');
  write(join(baseRepo, '.git', 'packed-refs.lock'), '');
  const packed = readFileSync(join(baseRepo, '.git', 'packed-refs'), 'utf8');
  const reply = await remove(profile, baseRepo, worktreePath, 'b');
  expect(reply).toEqual(profile === 'next' ? { success: true, branchKept: true } : { success: true });
  expect(readFileSync(join(baseRepo, '.git', 'packed-refs'), 'utf8')).toBe(packed);
  expect(locksIn(baseRepo)).toEqual(['packed-refs.lock']);
});

test('a list of packed refs too long to be read keeps the branch, and the limit is told and counted', async () => {
  const { baseRepo, worktreePath } = place();
  const { ask, services, warnings } = daemon('S');
  await ask('git.worktree_create', { baseRepo, branchName: 'b', worktreePath });
  truncateSync(write(join(baseRepo, '.git', 'packed-refs'), ''), 2 ** 40);
  const reply = await ask('git.worktree_remove', { baseRepo, worktreePath, branchName: 'b' });
  expect(reply).toMatchObject({
    success: false,
    error: expect.stringContaining('packed-refs is larger than 268435456 bytes, the most that is read of it'),
  });
  expect(services.counters.gitLimitsReached).toBe(1);
  expect(warnings.join()).toContain('packed-refs');
  expect(existsSync(join(baseRepo, '.git', 'refs', 'heads', 'b'))).toBe(true);
  expect(locksIn(baseRepo)).toEqual([]);
});

test.each(profiles)('a git that is killed leaves neither a lock nor half a branch (%s)', async (profile) => {
  const { folder, baseRepo, worktreePath } = place();
  standInForGit(folder, 'case " $* " in *" worktree add "*) $GIT "$@"; kill -9 $$;; esac; exec $GIT "$@"');
  expect(await create(profile, baseRepo, worktreePath, 'team/b')).toMatchObject({ success: false });
  expect(locksIn(baseRepo)).toEqual([]);
  expect(refsOf(baseRepo)).toBe('refs/heads/main');
  expect(existsSync(join(baseRepo, '.git', 'refs', 'heads', 'team'))).toBe(false);
});

describe('refs kept in tables', () => {
  withEachGit((testWithGit, isNew) => {
    if (!isNew) {
      testWithGit('that are not there: git refuses the repository, and nothing is made in it', {}, async () => {
        const { baseRepo, worktreePath } = place();
        git(baseRepo, 'config', 'core.repositoryFormatVersion', '1');
        git(baseRepo, 'config', 'extensions.refStorage', 'reftable');
        expect(await create('S', baseRepo, worktreePath, 'b')).toMatchObject({ success: false });
        expect(readdirSync(join(baseRepo, '.git', 'refs', 'heads'))).toEqual(['main']);
      });
      return;
    }
    const inTables = (): ReturnType<typeof place> => {
      const found = place((base) => {
        rmSync(join(base, '.git'), { recursive: true });
        git(base, 'init', '-q', '-b', 'main', '--ref-format=reftable');
        git(base, 'add', '-A');
        git(base, 'commit', '-q', '-m', 'init');
      });
      return found;
    };
    for (const profile of profiles) {
      testWithGit(`many branches come and go, and git finds the tables whole (${profile})`, {}, async () => {
        const { baseRepo, worktreePath } = inTables();
        for (let round = 0; round < 4; round++) {
          expect(await create(profile, baseRepo, worktreePath, 'team/b')).toMatchObject({ success: true });
          expect(refsOf(baseRepo)).toBe('refs/heads/main\nrefs/heads/team/b');
          expect(await remove(profile, baseRepo, worktreePath, 'team/b')).toEqual({ success: true });
          expect(refsOf(baseRepo)).toBe('refs/heads/main');
        }
        git(baseRepo, 'branch', 'other');
        git(baseRepo, 'pack-refs');
        expect(git(baseRepo, 'fsck')).toBe('');
        expect(locksIn(baseRepo)).toEqual([]);
        const listed = readFileSync(join(baseRepo, '.git/reftable/tables.list'), 'utf8').trim().split('\n');
        expect(readdirSync(join(baseRepo, '.git/reftable')).sort()).toEqual([...listed, 'tables.list'].sort());
      });

      testWithGit(`a lock of another process is waited for and then told (${profile})`, {}, async () => {
        const { baseRepo, worktreePath } = inTables();
        write(join(baseRepo, '.git/reftable/tables.list.lock'), '');
        expect(await create(profile, baseRepo, worktreePath, 'b')).toMatchObject({ success: false });
        expect(refsOf(baseRepo)).toBe('refs/heads/main');
        expect(locksIn(baseRepo)).toEqual([join('reftable', 'tables.list.lock')]);
      });

      testWithGit(
        `a folder of tables that becomes a link gets nothing written elsewhere (${profile})`,
        {},
        async () => {
          const { folder, baseRepo, worktreePath } = inTables();
          const outside = join(folder, 'outside');
          mkdirSync(outside);
          for (const name of readdirSync(join(baseRepo, '.git/reftable'))) {
            writeFileSync(join(outside, name), readFileSync(join(baseRepo, '.git/reftable', name)));
          }
          const before = contentOf(outside);
          const link = join(baseRepo, '.git/reftable');
          standInForGit(
            folder,
            `case " $* " in *" worktree add "*) mv ${link} ${folder}/aside; ln -s ${outside} ${link};; esac; exec $GIT "$@"`,
          );
          await create(profile, baseRepo, worktreePath, 'b');
          expect(contentOf(outside)).toBe(before);
          expect(existsSync(join(folder, 'aside'))).toBe(true);
          // And a link that is there from the start is refused by its name.
          expect(await create(profile, baseRepo, join(worktreePath, '..', 't'), 'c')).toMatchObject({
            error: expect.stringContaining(`${link} is a symbolic link`),
          });
          expect(contentOf(outside)).toBe(before);
        },
      );
    }
  });
});
