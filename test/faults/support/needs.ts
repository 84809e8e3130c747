/** Fault tests that need more than a plain user's machine: they run where they can, skip loudly elsewhere, never in CI. */
import { accessSync, constants, existsSync } from 'node:fs';
import { join } from 'node:path';
import { type TestFunction, test } from 'vitest';

/** What a test needs: `undefined` when it is there, otherwise what is missing and how to get it. */
export type Need = string | undefined;

export const root: Need =
  process.geteuid?.() === 0 ? undefined : 'root (other users, mounts and namespaces); run the suite with sudo';

export const linux: Need = process.platform === 'linux' ? undefined : 'Linux (/proc, namespaces, strace)';

/** @param packageName of Debian */
export function installed(program: string, packageName: string): Need {
  const found = (process.env.PATH ?? '').split(':').some((folder) => isExecutable(join(folder, program)));
  return found ? undefined : `the program ${program}; get it with "apt-get install ${packageName}"`;
}

/** libfaketime, which shifts the wall clock of one program. */
export const faketimeLibrary = ['x86_64-linux-gnu', 'aarch64-linux-gnu']
  .map((triplet) => `/usr/lib/${triplet}/faketime/libfaketimeMT.so.1`)
  .find((path) => existsSync(path));

export const faketime: Need =
  faketimeLibrary === undefined ? 'libfaketime; get it with "apt-get install libfaketime"' : undefined;

interface Options {
  readonly timeout?: number;
}

/** `test` where everything needed is there; elsewhere a skip that says what to do, and in CI (`CI=true`) a failure. */
export function testNeeding(...needs: readonly Need[]): (title: string, options: Options, body: TestFunction) => void {
  const missing = needs.filter((need) => need !== undefined);
  if (missing.length === 0) {
    return (title, options, body) => test(title, options, body);
  }
  if (process.env.CI === 'true') {
    return (title) =>
      test(title, () => {
        throw new Error(`this machine lacks ${missing.join('; ')}`);
      });
  }
  return (title) => {
    console.warn(`SKIPPED "${title}": it needs ${missing.join('; ')}`);
    test.skip(title, () => {});
  };
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
