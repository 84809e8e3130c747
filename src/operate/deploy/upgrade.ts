/** `holdfast upgrade`: the part of a deployment that happens on the host itself. */
import { programFile } from '../../base/own-program.ts';
import { printable } from '../../base/printable.ts';
import { version } from '../../base/version.ts';
import { HoldfastError } from '../../client/index.ts';
import { answering, printJson } from '../answer.ts';
import type { Verb } from '../commands/row.ts';
import { exitOk, exitPartly } from '../exit-codes.ts';
import { readExecutable } from './executable.ts';
import { type DaemonOutcome, replaceDaemon } from './replace-daemon.ts';
import { type Replacement, replaceProgram } from './replace-program.ts';

interface UpgradeWords {
  readonly from?: string;
  readonly sha256?: string;
  readonly check?: boolean;
  readonly start?: boolean;
  readonly restart?: boolean;
  readonly endSessions?: boolean;
  readonly socket?: string;
  readonly json?: boolean;
}

/** What `holdfast upgrade --json` prints (docs/schemas/upgrade.json). */
export interface UpgradeReport {
  readonly program: Omit<Replacement, 'sha256'> & { readonly sha256?: string };
  readonly daemon: DaemonOutcome;
}

export const upgrade: Verb<UpgradeWords> = (flags, words, context) =>
  answering('upgrade', context, async () => {
    const {
      from,
      sha256,
      check: checkOnly = false,
      socket,
      start = false,
      restart = false,
      endSessions = false,
    } = words;
    if (sha256 !== undefined) {
      await requireSha256(from ?? programFile(), sha256.toLowerCase());
    }
    const program =
      from === undefined
        ? ({ file: programFile(), state: 'in place', ...(sha256 !== undefined && { sha256 }) } as const)
        : await replaceProgram(from, checkOnly, await context.platform());
    const willBeNew = program.state !== 'in place';
    const wish = { socket, start, restart: restart || willBeNew, endSessions, checkOnly, flags };
    const daemon = await replaceDaemon(wish, context);
    if (words.json === true) {
      printJson(context, { program, daemon } satisfies UpgradeReport);
    } else {
      context.print(`program  ${printable(program.file)}: ${program.state}\n${daemonLine(daemon)}\n`);
      if (!willBeNew && ['none', 'current'].includes(daemon.state)) {
        context.print('nothing to do\n');
      }
    }
    return daemon.state === 'left' ? exitPartly : exitOk;
  });

/** @throws HoldfastError when the file does not have it */
async function requireSha256(path: string, wanted: string): Promise<void> {
  const { sha256 } = await readExecutable(path);
  if (sha256 !== wanted) {
    throw new HoldfastError('unsupported', `${path} has the SHA-256 ${sha256} and not ${wanted}; copy it again`);
  }
}

const stateTexts: Readonly<Record<DaemonOutcome['state'], string>> = {
  none: 'none runs',
  'would be started': 'none runs; one would be started',
  started: 'started',
  current: 'runs this program already',
  'would be replaced': 'would be replaced',
  replaced: 'replaced',
  left: 'left as it is',
};

/** One line, for a screen. */
export function daemonLine(outcome: DaemonOutcome): string {
  const { socket, state, pid, version: its, durable, sessions, reason, by } = outcome;
  const details = [
    ...(pid === undefined ? [] : [`pid ${pid}`]),
    ...(its === undefined || its === version ? [] : [`version ${printable(its)}`]),
    ...(durable === undefined ? [] : [durable ? 'durable' : 'not durable']),
    ...(sessions === undefined ? [] : [sessions === 1 ? '1 session runs' : `${sessions} sessions run`]),
  ];
  const text = [`${printable(socket)}: ${stateTexts[state]}${by === undefined ? '' : ` by ${by}`}`, ...details].join(
    ', ',
  );
  return `daemon   ${text}${reason === undefined ? '' : `: ${printable(reason)}`}`;
}
