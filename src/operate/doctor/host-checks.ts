/** Checks of the machine and of what it leaves to this user. */

import { isAbsolute, join } from 'node:path';
import { isExecutableFile } from '../../../platform/common/executable-file.ts';
import type { Quota } from '../../../platform/host-facts.ts';
import { logFileName } from '../../run-directory/names.ts';
import { sizeText } from '../table.ts';
import { bad, type Check, entryAt, type Finding, ok, warn } from './check.ts';

export const checkHome: Check = ({ home, platform: { host }, facts, runDirectory }) => {
  const check = 'home';
  if (home === undefined) {
    return bad(
      check,
      `${host.homeVariable} is not defined`,
      `set ${host.homeVariable}, and name the daemon with --socket`,
    );
  }
  const found = entryAt(home);
  if (found === undefined) {
    return bad(check, `${home} is not there`, 'make it, or set another home folder');
  }
  const system = facts.fileSystemOf(runDirectory);
  if (system === undefined) {
    return warn(check, `nothing can be told of the file system of ${runDirectory}`, 'look whether it is mounted');
  }
  if (system.isReadOnly) {
    return bad(
      check,
      `${runDirectory} lies on a file system that is read-only`,
      'mount it for writing, or choose another -socket',
    );
  }
  if (system.isNetwork) {
    return warn(
      check,
      `${runDirectory} lies on a network file system (${system.kind}): a lock and a socket there are not seen by other hosts, and every look may wait`,
      'choose a -socket on a local disk, e.g. below /run/user',
    );
  }
  return ok(check, system.kind === '' ? home : `${home}, ${system.kind}`);
};

export const checkPrograms: Check = ({ facts, home, runDirectory }) => {
  const check = 'noexec';
  const places = [runDirectory, ...(home === undefined ? [] : [home])];
  const place = places.find((each) => facts.fileSystemOf(each)?.noPrograms === true);
  return place === undefined
    ? ok(check, 'programs may run where they are installed')
    : bad(
        check,
        `${place} is mounted noexec: the agent CLI cannot run there`,
        'remount it with exec, or give -install another -cli-dir',
      );
};

const leastFreeBytes = 100 * 1024 * 1024;
const leastFreeEntries = 1_000;

export const checkDisk: Check = ({ facts, runDirectory }) => {
  const check = 'disk';
  const system = facts.fileSystemOf(runDirectory);
  if (system === undefined) {
    return ok(check, 'cannot be told here');
  }
  const { freeBytes, totalBytes, freeEntries } = system;
  const remedy = 'remove what is not needed; holdfast -install keeps only -cli-keep versions of the agent CLI';
  const seen = `${sizeText(freeBytes)} of ${sizeText(totalBytes)} are free`;
  if (freeEntries !== undefined && freeEntries < leastFreeEntries) {
    return bad(check, `room for ${freeEntries} more files`, remedy);
  }
  return freeBytes < leastFreeBytes ? bad(check, seen, remedy) : ok(check, seen);
};

/** Three pipes and a receiver for each session, and the daemon's own. */
const leastOpenFiles = 1_024;

export const checkLimits: Check = ({ facts }) => {
  const check = 'limits';
  const files = facts.openFiles();
  if (files === undefined) {
    return ok(check, 'no limit of open files');
  }
  return files.hard < leastOpenFiles
    ? warn(
        check,
        `at most ${files.hard} open files: enough for ${Math.max(0, Math.floor((files.hard - 40) / 4))} sessions`,
        'raise nofile for this user in /etc/security/limits.conf, and log in again',
      )
    : ok(check, `${files.hard === Number.POSITIVE_INFINITY ? 'no limit of' : files.hard} open files`);
};

export const checkLogin: Check = ({ facts }) => {
  const end = facts.loginEnd();
  return end === undefined ? ok('login', 'processes may outlive the login') : bad('login', end.reason, end.remedy);
};

const tightShare = 0.95;

export const checkCgroup: Check = ({ facts }) => {
  const check = 'cgroup';
  const confinement = facts.confinement();
  if (confinement === undefined) {
    return ok(check, 'no limit of memory or processes');
  }
  const { memory, processes } = confinement;
  const findings: Finding[] = [];
  const judge = (quota: Quota | undefined, text: (n: number) => string, what: string, remedy: string): void => {
    if (quota !== undefined && quota.used > tightShare * quota.limit) {
      findings.push(bad(check, `${text(quota.used)} of ${text(quota.limit)} ${what} are used`, remedy));
    }
  };
  judge(memory, sizeText, 'memory', 'raise MemoryMax of the slice, or end sessions: holdfast ps shows the largest');
  judge(processes, String, 'processes', 'raise TasksMax of the slice, or end sessions');
  const seen = [
    ...(memory === undefined ? [] : [`memory ${sizeText(memory.used)} of ${sizeText(memory.limit)}`]),
    ...(processes === undefined ? [] : [`processes ${processes.used} of ${processes.limit}`]),
  ];
  return findings.length > 0 ? findings : ok(check, seen.join(', '));
};

export const checkLoginShell: Check = ({ facts, environment }) => {
  const check = 'login shell';
  const shell = environment.SHELL || facts.loginShell();
  if (shell === undefined || shell === '') {
    return ok(check, 'there is none here');
  }
  return isAbsolute(shell) && isExecutableFile(shell)
    ? ok(check, shell)
    : bad(
        check,
        `${shell} cannot be run: children get the daemon's own PATH`,
        'chsh -s /bin/sh, or set SHELL to a shell that is there',
      );
};

/** This release is younger than that. */
const notBefore = Date.UTC(2026, 0, 1);
const toleratedMs = 5 * 60_000;

export const checkClock: Check = ({ runDirectory, daemon }) => {
  const check = 'clock';
  const now = Date.now();
  const remedy = 'set the clock (timedatectl set-ntp true): certificates and retention depend on it';
  if (now < notBefore) {
    return bad(check, `it says ${new Date(now).toISOString()}, which is before this release was made`, remedy);
  }
  const logged = entryAt(join(runDirectory, logFileName))?.mtimeMs ?? 0;
  const known = Math.max(logged, daemon.state === 'answers' ? (daemon.startedAt ?? 0) : 0);
  return known > now + toleratedMs
    ? bad(
        check,
        `it says ${new Date(now).toISOString()}, but the daemon was at ${new Date(known).toISOString()} already`,
        remedy,
      )
    : ok(check, new Date(now).toISOString());
};

/** The runtime and the native binding are built for this one. */
const leastGlibc = [2, 28] as const;

export const checkLibc: Check = ({ facts }) => {
  const check = 'libc';
  const libc = facts.libc();
  if (libc === undefined) {
    return ok(check, 'that of the system');
  }
  const seen = `${libc.name} ${libc.version}`.trim();
  const [major = 0, minor = 0] = libc.version.split('.').map(Number);
  const isOld = libc.name === 'glibc' && (major < leastGlibc[0] || (major === leastGlibc[0] && minor < leastGlibc[1]));
  return libc.name !== 'glibc' || isOld
    ? bad(
        check,
        `${seen}: holdfast needs glibc ${leastGlibc.join('.')} or newer`,
        'run it on a newer system, or in a container of one',
      )
    : ok(check, seen);
};
