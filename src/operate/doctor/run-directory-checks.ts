/** Checks of the run directory: whose it is, and what lies in it. */
import { closeSync, openSync, readdirSync, readSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { RunDirectory } from '../../../platform/run-directories.ts';
import { messageOf } from '../../base/error-texts.ts';
import { timings } from '../../base/timings.ts';
import { lockFileName, logFileName, socketName, tokenFileName } from '../../run-directory/names.ts';
import { bad, type Check, entryAt, type Finding, ok, warn } from './check.ts';

export const checkRunDirectory: Check = ({ runDirectory, facts, platform }) => {
  const check = 'run directory';
  const found = entryAt(runDirectory);
  if (found === undefined) {
    return ok(check, `${runDirectory} is not there yet; the first start makes it`);
  }
  if (!found.isDirectory() && !found.isSymbolicLink()) {
    return bad(
      check,
      `${runDirectory} is no folder`,
      `mv ${runDirectory} ${runDirectory}.away, or choose another -socket`,
    );
  }
  const fault = facts.privacyFault(runDirectory);
  if (fault !== undefined) {
    const make = fault.isChangeable ? bad : warn;
    return make(check, `${runDirectory}: ${fault.what}`, fault.remedy, fault.mend);
  }
  try {
    platform.trust.assertOnlyOurs(runDirectory, 'choose a -socket below a folder of your own');
  } catch (error) {
    const { remedy = '' } = error as { readonly remedy?: string };
    return bad(check, messageOf(error), remedy);
  }
  return ok(check, `${runDirectory} is this user's alone`);
};

export const checkSocketPath: Check = ({ socketPath, facts: { socketPathLimit } }) => {
  const check = 'socket path';
  const length = Buffer.byteLength(socketPath);
  if (socketPathLimit === undefined) {
    return ok(check, socketPath);
  }
  return length > socketPathLimit
    ? bad(
        check,
        `${socketPath} has ${length} bytes, the limit is ${socketPathLimit}`,
        'choose a shorter -socket, e.g. below /run/user or a link to the folder',
      )
    : ok(check, `${length} of ${socketPathLimit} bytes`);
};

/** Half-written files of a start or a token that was killed; `<name>-*` is how they are called (platform/run-directories.ts). */
const temporaryFile = new RegExp(
  `^(?:${[socketName, tokenFileName].map((name) => name.replace('.', '\\.')).join('|')})-.+$`,
);
/** A start takes seconds; what is older belongs to nobody. */
const staleMs = 60_000;

export const checkStaleFiles: Check = ({ runDirectory, socketPath, daemon }) => {
  const check = 'stale files';
  const names = namesIn(runDirectory);
  const findings: Finding[] = [];
  const isThere = entryAt(socketPath) !== undefined;
  if (isThere && daemon.state === 'none') {
    findings.push(
      warn(check, `${socketPath}: nobody listens there; a daemon was killed`, `rm ${socketPath}`, () =>
        rmSync(socketPath, { force: true }),
      ),
    );
  }
  const left = names.filter((name) => temporaryFile.test(name) && ageOf(join(runDirectory, name)) > staleMs);
  if (left.length > 0) {
    const paths = left.map((name) => join(runDirectory, name));
    findings.push(
      warn(check, `${paths.join(', ')}: left by a start that was killed`, `rm ${paths.join(' ')}`, () => {
        for (const path of paths) {
          rmSync(path, { force: true });
        }
      }),
    );
  }
  return findings.length > 0 ? findings : ok(check, 'none');
};

export const checkLock: Check = ({ platform, runDirectory, daemon }) => {
  const check = 'lock';
  const path = join(runDirectory, lockFileName);
  let directory: RunDirectory;
  try {
    directory = platform.runDirectories.open(runDirectory);
  } catch {
    return ok(check, 'there is no run directory to lock');
  }
  try {
    const attempt = directory.tryLock(lockFileName, { create: false });
    switch (attempt.state) {
      case 'taken':
        attempt.lock.releaseUnchanged();
        return ok(check, 'nobody holds it');
      case 'held':
        if (daemon.state === 'answers') {
          return ok(check, `held by pid ${attempt.record?.pid ?? 'unknown'}`);
        }
        return bad(
          check,
          `${path} is held by pid ${attempt.record?.pid ?? 'unknown'}, and no daemon answers at the socket`,
          'holdfast -stop ends a daemon that hangs; another program has to let the file go',
        );
      case 'missing':
        return ok(check, 'not there: profile S needs none');
      default:
        return bad(check, `${path}: ${attempt.reason}`, `mv ${path} ${path}.away while no daemon runs`);
    }
  } finally {
    directory.close();
  }
};

export const checkToken: Check = (patient) => {
  const check = 'token';
  const { runDirectory, facts, daemon } = patient;
  const path = join(runDirectory, tokenFileName);
  const found = entryAt(path);
  if (found === undefined) {
    return daemon.state === 'none'
      ? ok(check, 'no daemon runs, and none has left one')
      : warn(
          check,
          `${path} is not there: the daemon was started with -token-fd, and only its client knows the token`,
          'start it with -token-file, or let the verbs go through that client',
        );
  }
  const fault = facts.privacyFault(path);
  if (fault !== undefined) {
    return bad(check, `${path}: ${fault.what}`, fault.remedy, fault.mend);
  }
  if (daemon.state === 'none') {
    return warn(check, `${path}: left by a daemon that was killed`, `rm ${path}`, () => rmSync(path, { force: true }));
  }
  return ok(check, `${path} is this user's alone`);
};

/** How long the login shell took when the daemon last asked it for its PATH; it is not started to find out. */
export const checkLoginShellTime: Check = ({ runDirectory }) => {
  const check = 'login time';
  const remedy =
    'make the start of the login shell quick and quiet: commands that wait belong below a test for an interactive shell';
  const line = tailOf(join(runDirectory, logFileName))
    .split('\n')
    .findLast((each) => /\[shellenv\] (?:Failed to extract PATH|PATH) from login shell/.test(each));
  const [, tookMs] = /PATH from login shell after (\d+) ms/.exec(line ?? '') ?? [];
  if (line === undefined) {
    return ok(check, 'no daemon has asked the login shell for its PATH yet');
  }
  if (tookMs === undefined) {
    return warn(check, line.replace(/^.*?(Failed to extract)/, '$1'), remedy);
  }
  const seen = `the login shell took ${tookMs} ms`;
  const limitMs = timings.shellPathMs;
  return Number(tookMs) * 2 > limitMs
    ? warn(check, `${seen}, sessions wait for it, and after ${limitMs} ms they go without its PATH`, remedy)
    : ok(check, seen);
};

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function ageOf(path: string): number {
  return Date.now() - (entryAt(path)?.mtimeMs ?? Date.now());
}

const mostLogBytes = 256 * 1024;

/** The end of a file; empty for anything that is none, because a FIFO would hold us up. */
function tailOf(path: string): string {
  const found = entryAt(path);
  if (found?.isFile() !== true) {
    return '';
  }
  try {
    const fd = openSync(path, 'r');
    try {
      const bytes = Buffer.alloc(Math.min(mostLogBytes, found.size));
      return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, found.size - bytes.length)).toString();
    } finally {
      closeSync(fd);
    }
  } catch {
    return '';
  }
}
