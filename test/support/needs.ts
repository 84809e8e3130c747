/**
 * Tests that need more than a plain user's machine. What a package brings must be there in CI, where `.ci/run` installs it.
 * What the kernel or the place forbids (a container, a chroot, a plain user) is skipped everywhere, with the reason.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type TestFunction, test } from 'vitest';

interface Lack {
  /** What is missing, and how to get it. */
  readonly what: string;
  /** `package`: installed by a command, so its absence fails in CI. `place`: no command on this machine brings it. */
  readonly from: 'package' | 'place';
}

/** What a test needs: `undefined` when it is there. */
export type Need = Lack | undefined;

/** A need that no package brings. */
export const ofThePlace = (isThere: boolean, what: string): Need => (isThere ? undefined : { what, from: 'place' });

const ofAPackage = (isThere: boolean, what: string): Need => (isThere ? undefined : { what, from: 'package' });

export const root: Need = ofThePlace(
  process.geteuid?.() === 0,
  'root (other users, mounts and namespaces); run the suite with sudo',
);

export const linux: Need = ofThePlace(process.platform === 'linux', 'Linux (/proc, namespaces, strace)');

/** Files about processes, as Linux has them. */
export const procFiles: Need = ofThePlace(existsSync('/proc/self/maps'), 'a mounted /proc, as Linux has it');

/** @param packageName of Debian */
export function installed(program: string, packageName: string): Need {
  const found = (process.env.PATH ?? '').split(':').some((folder) => isExecutable(join(folder, program)));
  return ofAPackage(found, `the program ${program}; get it with "apt-get install ${packageName}"`);
}

/** libfaketime, which shifts the wall clock of one program. */
export const faketimeLibrary = ['x86_64-linux-gnu', 'aarch64-linux-gnu']
  .map((triplet) => `/usr/lib/${triplet}/faketime/libfaketimeMT.so.1`)
  .find((path) => existsSync(path));

export const faketime: Need = ofAPackage(
  faketimeLibrary !== undefined,
  'libfaketime; get it with "apt-get install libfaketime"',
);

/** The folder of the git that test/git/prepare-new-git.sh unpacks, for a PATH. */
export const newGitFolder = fileURLToPath(new URL('../../.new-git/bin', import.meta.url));

export const newGit: Need = ofAPackage(
  isExecutable(join(newGitFolder, 'git')),
  'the git of the next Debian release; get it with "test/git/prepare-new-git.sh"',
);

/** File systems of a program's own, which nobody else sees: a full disk, a read-only one. */
export function privateMounts(): Need {
  const mount = ['--mount', '--propagation', 'private', 'mount', '-t', 'tmpfs', 'none', '/mnt'];
  return root ?? probe('mounts in a mount namespace', ['unshare', ...mount]);
}

/** A network of a program's own, without any way out. */
export function privateNetwork(): Need {
  return root ?? probe('networks in a network namespace', ['unshare', '--net', 'true']);
}

/** A file system that the test itself mounts in a folder of its own. */
export function mounts(): Need {
  const script = 'd=$(mktemp -d) && { mount -t tmpfs none "$d" && umount "$d"; status=$?; rmdir "$d"; exit $status; }';
  return root ?? probe('mounts', ['sh', '-c', script]);
}

/** Device files of a number that the test chooses, which work. */
export function devices(): Need {
  const script = 'd=$(mktemp -d) && { mknod "$d/null" c 1 3 && : >"$d/null"; status=$?; rm -r "$d"; exit $status; }';
  return root ?? probe('device files', ['sh', '-c', script]);
}

/** strace may look at and change the system calls of other processes. */
export function tracing(): Need {
  return installed('strace', 'strace') ?? probe('tracing of processes', ['strace', '-o', '/dev/null', 'true']);
}

const probed = new Map<string, Need>();

/** Tries a command that does nothing but show whether something is allowed. */
export function probe(what: string, words: readonly string[]): Need {
  if (!probed.has(what)) {
    const [program = '', ...args] = words;
    const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8', timeout: 10_000 });
    const told = error?.message ?? (stderr.trim().split('\n').at(0) || `exit status ${status}`);
    probed.set(what, ofThePlace(status === 0, `${what}, refused here (${told}); run it where root may do this`));
  }
  return probed.get(what);
}

/** Prints why a test or a group of tests does not run; `.ci/run` repeats these lines at its end. */
export function sayWhySkipped(title: string, reason: string): void {
  console.warn(`SKIPPED "${title}": it needs ${reason}`);
}

interface Options {
  readonly timeout?: number;
}

/** `test` where everything needed is there; elsewhere a skip that says what to do, or in CI a failure where a package is missing. */
export function testNeeding(...needs: readonly Need[]): (title: string, options: Options, body: TestFunction) => void {
  const lacks = needs.filter((need) => need !== undefined);
  if (lacks.length === 0) {
    return (title, options, body) => test(title, options, body);
  }
  const missing = lacks.map(({ what }) => what).join('; ');
  if (process.env.CI === 'true' && lacks.every(({ from }) => from === 'package')) {
    return (title) =>
      test(title, () => {
        throw new Error(`this machine lacks ${missing}`);
      });
  }
  return (title) => {
    sayWhySkipped(title, missing);
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
