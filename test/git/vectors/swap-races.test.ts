/** Files and folders that somebody swaps while a method looks at them: what was looked at is what is used. */
import { spawn } from 'node:child_process';
import { closeSync, cpSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { removeStaleRegistration } from '../../../src/git/worktree/registration.ts';
import { byLength, limitMs } from '../../faults/support/length.ts';
import { linux, testNeeding } from '../../support/needs.ts';
import { commit, daemon, git, repository, scratchFolder, type TestDaemon, write } from '../support.ts';
import { contentOf, newTrap, plainly, profiles, type Trap, touch } from './trap.ts';

/**
 * Calls of a method while one thing is swapped. A full run makes 10,000 of them, with all that is swapped together;
 * `HOLDFAST_RACE_CALLS` says otherwise.
 */
const rounds = Number(process.env.HOLDFAST_RACE_CALLS ?? byLength(20, 910));
/** So many are made of one repository: sooner or later a race leaves one in which nothing can be done any more. */
const roundsEach = byLength(20, 5);
/** Removals of a registration that is left over. */
const staleRounds = 3 * rounds;

interface Race {
  readonly what: string;
  /** Whether it matters to changes more than to questions. */
  readonly isWritten?: boolean;
  /** @returns arguments of the program that swaps, and which program it is */
  prepare(base: string, trap: Trap): { readonly program: 'files' | 'link'; readonly args: readonly string[] };
}

const programs = {
  files: fileURLToPath(new URL('fixtures/swap-files.ts', import.meta.url)),
  link: fileURLToPath(new URL('../worktree/fixtures/swap-for-a-link.ts', import.meta.url)),
};

/** Settings that run a program in everything that anybody does. */
function evilSettings({ command }: Trap): string {
  const program = `"${command}; cat"`;
  return `[core]\n\tfsmonitor = "${command}; false"\n\tsshCommand = "${command}; false"\n[filter "evil"]\n\tclean = ${program}\n\tsmudge = ${program}\n[diff]\n\texternal = "${command}"\n`;
}

/** Two versions of a file beside it: as it is, and with more in it. @returns arguments of the swapping program */
function twoVersions(place: string, more: string): string[] {
  const good = existsSync(place) ? readFileSync(place, 'utf8') : '';
  return [place, write(`${place}-good`, good), write(`${place}-evil`, `${good}${more}`)];
}

const races: readonly Race[] = [
  {
    what: 'the configuration',
    prepare: (base, trap) => ({
      program: 'files',
      args: twoVersions(join(base, '.git', 'config'), evilSettings(trap)),
    }),
  },
  {
    what: 'the configuration of a worktree',
    prepare(base, trap) {
      git(base, 'config', 'extensions.worktreeConfig', 'true');
      const place = join(base, '.git', 'worktrees', 'there', 'config.worktree');
      return { program: 'files', args: twoVersions(place, evilSettings(trap)) };
    },
  },
  {
    what: 'the configuration of a submodule',
    prepare: (base, trap) => ({
      program: 'files',
      args: twoVersions(join(base, 'sub', '.git', 'config'), evilSettings(trap)),
    }),
  },
  {
    what: 'the .git file of a worktree',
    prepare(base, trap) {
      const place = join(base, '.claude', 'worktrees', 'there', '.git');
      const evil = evilRepository(base, trap);
      return {
        program: 'files',
        args: [place, write(`${place}-good`, readFileSync(place)), write(`${place}-evil`, `gitdir: ${evil}\n`)],
      };
    },
  },
  {
    what: 'the record of the common directory of a worktree',
    prepare(base, trap) {
      const place = join(base, '.git', 'worktrees', 'there', 'commondir');
      return {
        program: 'files',
        args: [place, write(`${place}-good`, '../..\n'), write(`${place}-evil`, `${evilRepository(base, trap)}\n`)],
      };
    },
  },
  {
    what: 'the folder of logs',
    isWritten: true,
    prepare: (base, { outside }) => ({ program: 'link', args: [join(base, '.git', 'logs', 'refs', 'heads'), outside] }),
  },
  ...(
    [
      ['the folder of worktrees', 'worktrees'],
      ['the folder of a team’s branches', 'refs/heads/team'],
      ['the folder of all branches', 'refs/heads'],
      ['the folder of all refs', 'refs'],
      ['the git directory itself', ''],
    ] as const
  ).map(([what, place]) => ({
    what,
    isWritten: true,
    prepare: (base: string, { outside }: Trap) => ({
      program: 'link' as const,
      args: [join(base, '.git', place), outside],
    }),
  })),
];

function evilRepository(base: string, trap: Trap): string {
  const evil = join(base, '..', 'evil.git');
  if (!existsSync(evil)) {
    cpSync(join(base, '.git'), evil, { recursive: true });
    write(join(evil, 'config'), `${readFileSync(join(base, '.git', 'config'), 'utf8')}${evilSettings(trap)}`);
  }
  return evil;
}

function prepare(): { base: string; there: string; trap: Trap } {
  const folder = scratchFolder();
  const base = repository(join(folder, 'w'));
  write(join(base, '.gitattributes'), '*.txt filter=evil\n');
  repository(join(base, 'sub'));
  write(join(base, 'sub', '.gitattributes'), '*.txt filter=evil\n');
  commit(join(base, 'sub'), 'attributes');
  commit(base, 'attributes and a submodule');
  git(base, 'branch', 'team/x');
  mkdirSync(join(base, '.git', 'refs', 'heads', 'team'), { recursive: true });
  const there = join(base, '.claude', 'worktrees', 'there');
  git(base, 'worktree', 'add', '-q', '-b', 'there', there);
  return { base, there, trap: newTrap(folder) };
}

async function swapping(program: string, args: readonly string[]): Promise<{ stop(): Promise<void> }> {
  const racer = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<void>((resolve) => racer.once('exit', () => resolve()));
  const stop = async () => {
    racer.kill('SIGKILL');
    await ended;
  };
  onTestFinished(stop);
  await new Promise((resolve) => racer.stdout.once('data', resolve));
  return { stop };
}

/**
 * One call after the other, of all methods and profiles in turn.
 * @returns whether it was done
 * @param daemons one for each profile; what they keep between questions is tried too
 */
async function call(
  { base, there }: { readonly base: string; readonly there: string },
  round: number,
  isWritten: boolean,
  daemons: readonly TestDaemon[],
): Promise<boolean> {
  const profile = profiles[round % profiles.length] ?? 'S';
  const asked = daemons[round % profiles.length] ?? daemon(profile);
  const worktreePath = join(base, '.claude', 'worktrees', 's');
  touch(base);
  touch(there);
  touch(join(base, 'sub'));
  const turn = Math.floor(round / profiles.length) % 4;
  const isDone = (reply: string) => /^\{"(?:success|isRepo)":true/.test(reply);
  switch (isWritten && turn < 2 ? 3 : turn) {
    case 0:
      return isDone(await asked.call('git.status', { path: profile === 'S' ? base : there, baseRepo: base }));
    case 1:
      return isDone(await asked.call('git.status', { path: there, baseRepo: base }));
    case 2:
      return isDone(await asked.call('git.info', { path: base }));
    default: {
      const created = await asked.call('git.worktree_create', { baseRepo: base, branchName: 'team/s', worktreePath });
      await asked.call('git.worktree_remove', { baseRepo: base, branchName: 'team/s', worktreePath });
      return isDone(created);
    }
  }
}

describe.each(races)('$what, swapped while a method runs', (race) => {
  test(
    `leads nowhere in ${rounds} calls`,
    async () => {
      const daemons = profiles.map((profile) => daemon(profile, { gitTimeoutMs: 10_000 }));
      let done = 0;
      for (let first = 0; first < rounds; first += roundsEach) {
        const { base, there, trap } = prepare();
        const { program, args } = race.prepare(base, trap);
        trap.arm();
        const racer = await swapping(programs[program], args);
        for (let round = first; round < Math.min(first + roundsEach, rounds); round++) {
          done += (await call({ base, there }, round, race.isWritten ?? false, daemons)) ? 1 : 0;
          expect(trap.harm(), `round ${round}`).toBe('');
        }
        await racer.stop();
      }
      if (rounds > roundsEach) {
        console.info(`${race.what}: ${done} of ${rounds} calls did what they were asked`);
      }
    },
    limitMs(120),
  );
});

/**
 * The registration that a removed worktree has left behind is taken away without a git, so its races are many and short. What
 * the link leads to has a registration of the same name for the same place, with more in it.
 */
describe.each([
  ['the folder of worktrees', 'worktrees'],
  ['the git directory itself', ''],
] as const)('%s, swapped while a stale registration is removed', (_what, swapped) => {
  testNeeding(linux)(
    `has nothing removed where the link leads in ${staleRounds} removals`,
    { timeout: limitMs(120) },
    async () => {
      const folder = scratchFolder();
      const base = repository(join(folder, 'w'));
      const worktree = join(base, '.claude', 'worktrees', 's');
      git(base, 'worktree', 'add', '-q', '-b', 's', worktree);
      const registrations = join(base, '.git', 'worktrees');
      const stale = join(folder, 'stale');
      cpSync(join(registrations, 's'), stale, { recursive: true });
      const outside = join(folder, 'outside');
      cpSync(join(base, '.git'), outside, { recursive: true });
      write(join(outside, 'worktrees', 's', 'deep', 'file'), 'mine\n');
      const before = contentOf(outside);
      rmSync(worktree, { recursive: true });
      // A folder that is held open is the same one, whatever its name is at the moment.
      const held = openSync(registrations, 'r');
      onTestFinished(() => closeSync(held));
      const entry = join('/proc/self/fd', String(held), 's');
      const racer = await swapping(programs.link, [join(base, '.git', swapped), join(outside, swapped)]);
      const { services } = daemon('next');
      let removed = 0;
      for (let round = 0; round < staleRounds || removed === 0; round++) {
        cpSync(stale, entry, { recursive: true });
        await removeStaleRegistration(worktree, join(base, '.git'), services);
        removed += existsSync(entry) ? 0 : 1;
        if (round % 100 === 0) {
          expect(contentOf(outside), `round ${round}`).toBe(before);
        }
      }
      await racer.stop();
      expect(contentOf(outside)).toBe(before);
    },
  );
});

test('plain git runs what the evil versions configure', async () => {
  const { base, there, trap } = prepare();
  for (const [directory, place] of [
    [base, join(base, '.git', 'config')],
    [there, join(base, '.git', 'config')],
    [join(base, 'sub'), join(base, 'sub', '.git', 'config')],
  ] as const) {
    const [, good = '', evil = ''] = twoVersions(place, evilSettings(trap));
    cpSync(evil, place);
    trap.arm();
    touch(directory);
    await plainly(directory, 'status');
    expect(trap.harm(), directory).not.toBe('');
    cpSync(good, place);
  }
  const [, , evil = ''] = races[3]?.prepare(base, trap).args ?? [];
  cpSync(evil, join(there, '.git'));
  trap.arm();
  await plainly(there, 'status');
  expect(trap.harm()).not.toBe('');
});
