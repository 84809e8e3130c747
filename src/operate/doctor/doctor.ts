/** `holdfast doctor`: what may be wrong with this host, one line each (spec operators.md). It looks, and changes nothing. */
import { dirname } from 'node:path';
import { messageOf } from '../../base/error-texts.ts';
import { printable } from '../../base/printable.ts';
import { connect, HoldfastError, type Host } from '../../client/index.ts';
import { readConfigurationFiles } from '../../config/configuration-file.ts';
import { mergeSettings, withDefaultSocket } from '../../config/settings.ts';
import { defaultSocketPath } from '../../run-directory/names.ts';
import { answering, complainOf, printJson } from '../answer.ts';
import { confirm } from '../confirm.ts';
import { type DaemonWords, targetOptions } from '../daemon-options.ts';
import { exitFailed, exitOk, exitPartly } from '../exit-codes.ts';
import { runThere } from '../over-ssh.ts';
import { screenWidth } from '../table.ts';
import type { VerbContext } from '../verbs.ts';
import { wrapped } from '../wrapped.ts';
import { bad, type Check, type DaemonAnswer, entryAt, type Finding, type Patient } from './check.ts';
import { checkDaemon, checkOrphans, checkVersions } from './daemon-checks.ts';
import {
  checkCgroup,
  checkClock,
  checkDisk,
  checkHome,
  checkLibc,
  checkLimits,
  checkLogin,
  checkLoginShell,
  checkPrograms,
} from './host-checks.ts';
import { checkAgentCli, checkAuthorities, checkGit, checkLauncher, checkProxy } from './program-checks.ts';
import {
  checkLock,
  checkLoginShellTime,
  checkRunDirectory,
  checkSocketPath,
  checkStaleFiles,
  checkToken,
} from './run-directory-checks.ts';

/** In the order of the answer, by the names under which a check that fails is told. */
const checks: Readonly<Record<string, Check>> = {
  ...{ 'run directory': checkRunDirectory, 'socket path': checkSocketPath, 'stale files': checkStaleFiles },
  ...{ lock: checkLock, token: checkToken, daemon: checkDaemon, versions: checkVersions, orphans: checkOrphans },
  ...{ home: checkHome, programs: checkPrograms, disk: checkDisk, limits: checkLimits, login: checkLogin },
  ...{ cgroup: checkCgroup, 'login shell': checkLoginShell, 'login shell time': checkLoginShellTime },
  ...{
    clock: checkClock,
    libc: checkLibc,
    git: checkGit,
    'agent cli': checkAgentCli,
    launcher: checkLauncher,
    proxy: checkProxy,
  },
  ...{ authorities: checkAuthorities },
};

interface DoctorWords extends DaemonWords {
  readonly json?: boolean;
  readonly fix?: boolean;
  readonly yes?: boolean;
}

export function doctor(_: readonly string[], words: DoctorWords, context: VerbContext): Promise<number> {
  return answering('doctor', context, () =>
    words.host === undefined ? examineHere(words, context) : examineThere(words.host, words, context),
  );
}

async function examineHere(words: DoctorWords, context: VerbContext): Promise<number> {
  const patient = await patientOf(words, context);
  if (patient === undefined) {
    complainOf(context, 'doctor', 'there is no home folder; name the daemon with --socket');
    return exitFailed;
  }
  const findings = await examine(patient);
  print(findings, words, context);
  return words.fix === true ? mend(patient, findings, words, context) : exitCodeOf(findings);
}

async function examineThere(host: string, words: DoctorWords, context: VerbContext): Promise<number> {
  const there = ['doctor', ...(words.fix === true ? ['--fix'] : []), ...(words.yes === true ? ['--yes'] : [])];
  const { document, exitCode, notes } = await runThere(host, words, there, context.environment);
  print(document as readonly Finding[], words, context);
  for (const note of notes.split('\n').filter((line) => line !== '')) {
    context.complain(`${printable(note)}\n`);
  }
  return exitCode;
}

async function patientOf(words: DoctorWords, context: VerbContext): Promise<Patient | undefined> {
  const platform = await context.platform();
  const facts = await platform.host.facts();
  const home = platform.host.home();
  const merged = mergeSettings({}, readConfigurationFiles(context.executableDirectory));
  const usual = home === undefined ? undefined : withDefaultSocket(merged, defaultSocketPath(home)).socketPath;
  const socketPath = words.socket ?? usual;
  if (socketPath === undefined) {
    return undefined;
  }
  const { environment } = context;
  const daemon = await askDaemon(socketPath, context);
  return { platform, facts, environment, home, socketPath, runDirectory: dirname(socketPath), daemon };
}

/** A daemon answers at once, or something is wrong with it. */
const answerMs = 2_000;

async function askDaemon(socketPath: string, context: VerbContext): Promise<DaemonAnswer> {
  if (entryAt(socketPath) === undefined) {
    return { state: 'none' };
  }
  try {
    const { dialer } = await context.clientPlatform();
    (await dialer.dial(socketPath, { timeoutMs: answerMs })).destroy();
  } catch (error) {
    const isRefused = /connection refused|cannot find the/.test(messageOf(error));
    return isRefused ? { state: 'none' } : { state: 'silent', reason: messageOf(error) };
  }
  let host: Host | undefined;
  try {
    const target = targetOptions({ socket: socketPath }, context, undefined);
    host = await connect({ ...target, connectTimeoutMs: answerMs, retry: { giveUpMs: 0 } });
    const { version, hasExtensions } = host.daemon;
    const described = hasExtensions ? await host.describe() : undefined;
    return {
      state: 'answers',
      version,
      startedAt: described?.startedAt,
      durable: described?.durable === true,
      keeperVersion: described?.keeper?.version,
    };
  } catch (error) {
    if (error instanceof HoldfastError) {
      return { state: 'silent', reason: error.message };
    }
    throw error;
  } finally {
    await host?.close();
  }
}

async function examine(patient: Patient): Promise<readonly Finding[]> {
  const found = await Promise.all(
    Object.entries(checks).map(async ([name, check]) => {
      try {
        return await check(patient);
      } catch (error) {
        return bad(name, messageOf(error), 'mend what the text names, and look again');
      }
    }),
  );
  return found.flat();
}

const marks = { ok: 'ok', warn: 'warn', bad: 'BAD' } as const;
const markWidth = 4;

function print(findings: readonly Finding[], { json }: DoctorWords, context: VerbContext): void {
  if (json === true) {
    const rows = findings.map(({ check, state, seen, remedy }) => ({
      ...{ check, state, seen },
      ...(remedy === undefined ? {} : { remedy }),
    }));
    printJson(context, rows);
    return;
  }
  const nameWidth = Math.max(...findings.map(({ check }) => check.length));
  const indent = ' '.repeat(markWidth + 2 + nameWidth + 2);
  const width = Math.max(indent.length + 20, screenWidth(context.environment));
  for (const { check, state, seen, remedy } of findings) {
    const [first = '', ...more] = [
      ...wrapped(printable(seen), width - indent.length),
      ...(remedy === undefined ? [] : wrapped(`-> ${printable(remedy)}`, width - indent.length)),
    ];
    const start = `${marks[state].padEnd(markWidth)}  ${check.padEnd(nameWidth)}  `;
    context.print([start + first, ...more.map((line) => indent + line)].map((line) => `${line}\n`).join(''));
  }
}

function exitCodeOf(findings: readonly Finding[]): number {
  return findings.some(({ state }) => state === 'bad') ? exitFailed : exitOk;
}

/**
 * Does what the findings offer, each only with consent.
 * @returns the exit code: of a second look, unless something was left that could have been mended
 */
async function mend(
  patient: Patient,
  findings: readonly Finding[],
  words: DoctorWords,
  context: VerbContext,
): Promise<number> {
  let isLeft = false;
  for (const { check, remedy = '', mend: work } of findings) {
    if (work === undefined) {
      continue;
    }
    if ((await confirm(`${check}: ${printable(remedy)}`, words.yes, context)) !== 'given') {
      isLeft = true;
      continue;
    }
    try {
      await work();
      context.complain(`${check}: done: ${printable(remedy)}\n`);
    } catch (error) {
      isLeft = true;
      complainOf(context, 'doctor', `${check}: ${messageOf(error)}`);
    }
  }
  return isLeft ? exitPartly : exitCodeOf(await examine(patient));
}
