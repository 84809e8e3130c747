/** `holdfast deploy user@host`: this program on another host, by nothing but ssh. */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isExecutable, programFile, programFolder } from '../../base/own-program.ts';
import { printable } from '../../base/printable.ts';
import { HoldfastError } from '../../client/index.ts';
import { shellWord } from '../../client/remote-command.ts';
import { answering, complainOf, printJson } from '../answer.ts';
import type { Verb } from '../commands/row.ts';
import { exitOk, exitPartly, exitUsage } from '../exit-codes.ts';
import { type Executable, megabytes, readExecutable, type TargetName } from './executable.ts';
import { type HostFacts, lookAt } from './look.ts';
import { posixWay } from './posix-way.ts';
import { progressLine } from './progress.ts';
import { isWithoutShell, type RemoteHost } from './remote-script.ts';
import type { DaemonOutcome } from './replace-daemon.ts';
import { daemonLine } from './upgrade.ts';
import type { Copied, Place, Way } from './way.ts';
import { lookAtWindows, windowsWay } from './windows-way.ts';

interface DeployWords {
  readonly from?: string;
  readonly to?: string;
  readonly dryRun?: boolean;
  readonly endSessions?: boolean;
  readonly sshCommand?: readonly string[];
  readonly socket?: string;
  readonly json?: boolean;
}

/** What `holdfast deploy --json` prints (docs/schemas/deploy.json). */
interface DeployReport {
  readonly host: string;
  readonly target: TargetName;
  readonly libc: string;
  readonly program: {
    readonly file: string;
    readonly state: 'there' | 'would be copied' | 'copied';
    readonly bytes: number;
    readonly sha256: string;
    readonly continuedAt: number;
    readonly isOnPath: boolean;
    readonly remedy?: string;
  };
  /** What a login there prints into the stream of every client; not there: nothing. */
  readonly noise?: string;
  /** `undefined`: it would be started or replaced once the program is there. */
  readonly daemon?: DaemonOutcome;
}

export const deploy: Verb<DeployWords> = ([destination = '', ...flags], words, context) =>
  answering('deploy', context, async () => {
    if (flags.some((flag) => /^--?token-(file|fd)\b/.test(flag))) {
      complainOf(context, 'deploy', 'the daemon gets a token of its own, which "holdfast token" tells there');
      return exitUsage;
    }
    const host: RemoteHost = { destination, sshCommand: words.sshCommand, environment: context.environment };
    const way = await wayTo(host);
    const { target, libc, noise } = way;
    const executable = await executableFor(target, words.from, destination);
    way.check(executable);
    const place = way.place(words.to);
    const progress = progressLine();
    let copied: Copied;
    try {
      copied = await (words.dryRun === true
        ? way.isThere(executable, place)
        : way.copy(executable, place, (sent, all) => progress.update(sent, all)));
    } finally {
      progress.end();
    }
    const after = copied.state === 'missing' ? undefined : await way.upgrade(place, upgradeWords(words, flags));
    const isFound = after === undefined ? place.isOnPath : after.foundInstead === undefined;
    const report: DeployReport = {
      ...{ host: destination, target, libc },
      program: {
        ...{ file: place.file, state: states[copied.state], bytes: executable.bytes.length, sha256: executable.sha256 },
        ...{ continuedAt: copied.continuedAt, isOnPath: isFound },
        ...(isFound ? {} : { remedy: remedyFor(place, after?.foundInstead ?? '') }),
      },
      ...(noise === '' ? {} : { noise }),
      ...(after === undefined ? {} : { daemon: after.daemon }),
    };
    if (words.json === true) {
      printJson(context, report);
    } else {
      context.print(textOf(report, place, way.example, words));
    }
    return after?.daemon.state === 'left' ? exitPartly : exitOk;
  });

const states = { there: 'there', missing: 'would be copied', placed: 'copied' } as const;

/** A host on which no `sh` answers may be one of Windows, which is asked in words of its own. */
async function wayTo(host: RemoteHost): Promise<Way> {
  let facts: HostFacts;
  try {
    facts = await lookAt(host);
  } catch (error) {
    const variables = isWithoutShell(error) ? await lookAtWindows(host) : undefined;
    if (variables === undefined) {
      throw error;
    }
    return windowsWay(host, variables);
  }
  // A `sh` of Git for Windows or Cygwin.
  const variables = /^(?:MINGW|MSYS|CYGWIN)/.test(facts.system) ? await lookAtWindows(host) : undefined;
  return variables === undefined ? posixWay(host, facts) : windowsWay(host, variables);
}

/** The file for a host: the one that was named, this program itself, or one of its folder. */
async function executableFor(target: TargetName, from: string | undefined, destination: string): Promise<Executable> {
  if (from === undefined && isExecutable) {
    const own = await readExecutable(programFile());
    if (own.target === target) {
      return own;
    }
  }
  const place = from ?? (isExecutable ? programFolder() : join(programFolder(), '..', 'dist'));
  const isFolder = statSync(place, { throwIfNoEntry: false })?.isDirectory() ?? from === undefined;
  const path = isFolder ? join(place, `holdfast-${target}${target === 'win-x64' ? '.exe' : ''}`) : place;
  if (!existsSync(path)) {
    throw new HoldfastError(
      'unsupported',
      `${destination} is ${target}, and there is no ${path}; make it from source with "npm run build -- --target ${target}", or name it with --from`,
    );
  }
  const executable = await readExecutable(path);
  if (executable.target !== target) {
    throw new HoldfastError('unsupported', `${destination} is ${target}, and ${path} is for ${executable.target}`);
  }
  return executable;
}

/** For the program over there, which does the rest. */
function upgradeWords({ dryRun, endSessions, socket }: DeployWords, flags: readonly string[]): string[] {
  return [
    ...['upgrade', '--start', '--json', ...(dryRun === true ? ['--check'] : [])],
    ...(endSessions === true ? ['--end-sessions'] : []),
    ...(socket === undefined ? [] : ['--socket', socket]),
    ...(flags.length === 0 ? [] : ['--', ...flags]),
  ];
}

function remedyFor({ isOnPath, remedy }: Place, found: string): string {
  return isOnPath && found !== '' ? `ssh finds ${found} first; remove it, or choose its folder with --to` : remedy;
}

function textOf(report: DeployReport, { why }: Place, example: string, words: DeployWords): string {
  const { host, target, libc, program, daemon, noise } = report;
  const size = megabytes(program.bytes);
  const how = {
    there: 'is there already',
    'would be copied': `would be copied, ${size}`,
    copied: `copied, ${size}${program.continuedAt === 0 ? '' : ` (${megabytes(program.continuedAt)} were there)`}, SHA-256 verified there`,
  };
  const lines = [
    `host     ${printable(host)}: ${target}${libc === '' ? '' : `, ${printable(libc)}`}`,
    `program  ${printable(program.file)}: ${how[program.state]} (${why})`,
    daemon === undefined
      ? 'daemon   then would be started, or replaced if it runs an older program'
      : daemonLine(daemon),
    ...(noise === undefined
      ? []
      : [
          `login    it prints ${printable(JSON.stringify(noise), 60)} also without a terminal, which clients cannot read past; put it behind a test: [ -t 1 ] &&`,
        ]),
    ...(program.remedy === undefined ? [] : [`PATH     ${printable(program.remedy)}`]),
  ];
  if (program.state === 'there' && daemon?.state === 'current') {
    lines.push('nothing to do');
  }
  return [...lines, '', ...clientLines(report, example, words)].map((line) => `${line}\n`).join('');
}

/** What leads a client to the daemon there. */
function clientLines(
  { host, program }: DeployReport,
  example: string,
  { sshCommand = ['ssh'], socket }: DeployWords,
): string[] {
  const ssh = [...sshCommand, host].map(shellWord).join(' ');
  const usual = sshCommand.length === 1 && sshCommand[0] === 'ssh';
  const options = [
    ...['--host', host],
    ...(usual ? [] : ['--ssh-command', sshCommand.map(shellWord).join(' ')]),
    ...(socket === undefined ? [] : ['--socket', socket]),
  ];
  const name = program.isOnPath ? 'holdfast' : program.file;
  const target = {
    ssh: host,
    ...(usual ? {} : { sshCommand }),
    ...(program.isOnPath ? {} : { program: name }),
    ...(socket === undefined ? {} : { socket }),
  };
  const at = (flag: string): string => (socket === undefined ? '' : ` ${flag} ${shellWord(shellWord(socket))}`);
  return [
    ...(program.isOnPath
      ? [`a program there       holdfast run ${options.map(shellWord).join(' ')} -- ${example}`]
      : []),
    `your own client       await connect(${JSON.stringify(target)})`,
    `any other client      ${ssh} ${shellWord(name)} -bridge${at('-socket')}`,
    `its token             ${ssh} ${shellWord(name)} token${at('--socket')}`,
  ].map((line) => printable(line));
}
