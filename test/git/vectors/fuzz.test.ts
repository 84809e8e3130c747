/**
 * Random repositories around a canary program and a canary file: whatever a repository looks like, no method runs the one or
 * writes the other. A failure names its seed; `HOLDFAST_FUZZ_SEED=<n>` repeats it from there.
 */
import { cpSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { byLength } from '../../faults/support/length.ts';
import { gitIsAtLeast } from '../each-git.ts';
import { daemon, scratchFolder, type TestDaemon, withVariables, write } from '../support.ts';
import { RandomLayout, randomNumbers, startingPoint } from './random-layout.ts';
import { newTrap, plainly, profiles, type Trap, touch } from './trap.ts';

/** An hour in a full run; `HOLDFAST_FUZZ_SECONDS` says otherwise. */
const seconds = Number(process.env.HOLDFAST_FUZZ_SECONDS ?? byLength(30, 3600));

/** @param daemons live as long as the test, so that what they keep between questions is tried too */
async function askEverything(base: string, seed: number, trap: Trap, daemons: readonly TestDaemon[]): Promise<void> {
  const profile = profiles[seed % profiles.length] ?? 'S';
  const { call } = daemons[seed % profiles.length] ?? daemon(profile);
  const there = join(base, '.claude', 'worktrees', 'there');
  const worktreePath = join(base, '.claude', 'worktrees', 's');
  for (const path of [base, there, join(base, 'sub')]) {
    if (existsSync(join(path, 'a.txt'))) {
      touch(path);
    }
  }
  const paths = [base, there, join(base, 'dir'), join(base, 'embedded'), join(base, 'sub')];
  const asks: [method: string, params: object][] = [
    ['git.status', { path: profile === 'S' ? base : there, baseRepo: base }],
    ['git.info', { path: paths[seed % paths.length] }],
    ['git.status', { path: paths[(seed + 1) % paths.length], baseRepo: base }],
    ['git.list_branches', { path: paths[(seed + 2) % paths.length] }],
    ['git.worktree_create', { baseRepo: base, branchName: 's', worktreePath, sourceBranch: 'main' }],
    ['git.status', { path: worktreePath, baseRepo: base }],
    ['git.worktree_remove', { baseRepo: base, worktreePath, branchName: 's' }],
  ];
  for (const [method, params] of asks) {
    await call(method, params);
    expect(trap.harm(), `${profile} ${method} ${JSON.stringify(params)}`).toBe('');
  }
}

test(
  `no random repository has a program run or a file written in ${seconds} s`,
  async () => {
    const given = process.env.HOLDFAST_FUZZ_SEED;
    const first = given === undefined ? Date.now() % 2 ** 31 : Number(given);
    console.log(`random repositories from seed ${first}, git ${gitIsAtLeast(2, 47) ? 'new' : 'old'}`);
    const folder = scratchFolder();
    withVariables({ HOME: join(folder, 'home'), XDG_CONFIG_HOME: join(folder, 'home', '.config') });
    mkdirSync(join(folder, 'home'));
    const start = startingPoint(join(folder, 'start'));
    const daemons = profiles.map((profile) => daemon(profile, { gitTimeoutMs: 5_000 }));
    const deadline = performance.now() + seconds * 1000;
    let round = 0;
    for (; performance.now() < deadline; round++) {
      const seed = first + round;
      // Worktrees name their repository by its path, so each round's is at the same one.
      const place = join(folder, 'start');
      const kept = join(folder, 'kept');
      if (round === 0) {
        cpSync(place, kept, { recursive: true, verbatimSymlinks: true });
      } else {
        rmSync(place, { recursive: true, force: true });
        cpSync(kept, place, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
      }
      const around = join(folder, `round-${round}`);
      mkdirSync(around);
      const trap = newTrap(around);
      const program = write(join(around, 'program'), `#!/bin/sh\n${trap.command}\n`, 0o755);
      const { outside, command } = trap;
      const canaries = { command, program, outside, victim: join(outside, 'victim') };
      const layout = new RandomLayout(randomNumbers(seed), start, canaries);
      layout.scramble();
      trap.arm();
      try {
        await askEverything(start, seed, trap, daemons);
      } catch (error) {
        throw new Error(`seed ${seed}, round ${round}: ${(error as Error).message}\n${layout.steps.join('\n')}`);
      }
      rmSync(around, { recursive: true, force: true });
    }
    console.log(`${round} random repositories`);
    expect(round).toBeGreaterThan(0);
  },
  (seconds + 60) * 1000,
);

test('random repositories catch plain git', async () => {
  // So the layouts bite. Some have nothing in them that the commands of this user meet.
  let caught = 0;
  for (let seed = 1; seed <= 12; seed++) {
    const folder = scratchFolder();
    const base = startingPoint(join(folder, 'start'));
    const trap = newTrap(folder);
    const program = write(join(folder, 'program'), `#!/bin/sh\n${trap.command}\n`, 0o755);
    const { outside, command } = trap;
    new RandomLayout(randomNumbers(seed), base, {
      command,
      program,
      outside,
      victim: join(outside, 'victim'),
    }).scramble();
    trap.arm();
    touch(base);
    await plainly(base, 'status');
    await plainly(base, 'worktree', 'add', '-b', 's', join(folder, 'plain'));
    await plainly(base, 'branch', '-D', 'there');
    caught += trap.harm() === '' ? 0 : 1;
  }
  expect(caught).toBeGreaterThan(0);
});
