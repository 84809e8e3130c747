/** Groups of tests that must hold with the git of this machine and with a newer one. */
import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe } from 'vitest';
import { type Need, newGit, newGitFolder, testNeeding } from '../support/needs.ts';

interface TestedGit {
  readonly name: string;
  /** Put in front of `PATH`. */
  readonly folder: string | undefined;
  readonly need: Need;
}

const gits: readonly TestedGit[] = [
  { name: 'the git of this machine', folder: undefined, need: undefined },
  { name: 'the git of the next release', folder: newGitFolder, need: newGit },
];

/** @returns whether the git that is found on `PATH` is at least of this version */
export function gitIsAtLeast(major: number, minor: number): boolean {
  const [, ours = '0', next = '0'] = /(\d+)\.(\d+)/.exec(execFileSync('git', ['version'], { encoding: 'utf8' })) ?? [];
  return Number(ours) > major || (Number(ours) === major && Number(next) >= minor);
}

export type TestWithGit = ReturnType<typeof testNeeding>;

/**
 * Declares the tests once for each git, which is the one on `PATH` while they run.
 * @param declare given `test`, which skips or fails where that git is missing, and whether it is the new one
 */
export function withEachGit(declare: (test: TestWithGit, isNew: boolean) => void): void {
  for (const { name, folder, need } of gits) {
    describe(name, () => {
      const before = process.env.PATH;
      beforeAll(() => {
        if (folder !== undefined) {
          process.env.PATH = `${folder}:${before}`;
        }
      });
      afterAll(() => {
        process.env.PATH = before;
      });
      declare(testNeeding(need), folder !== undefined);
    });
  }
}
