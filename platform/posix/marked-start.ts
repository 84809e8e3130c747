/**
 * Starting a marked child. The mark `CLAUDE_SSH_CHILD=<pid>:<start>` is known only once the process exists, so a small
 * shell script reads it and becomes the program (spec platform.md §2). The program must not be able to tell: whatever the
 * shell would change in the environment, and every start the shell would treat in its own way, goes without that mark.
 */
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { type ChildMarks, childVariable, runDirVariable } from '../child-markers.ts';
import type { SpawnRequest } from '../processes.ts';
import { environmentEntry, noValue, type Variable } from '../started-with.ts';
import { programKind } from './program-kind.ts';

export interface MarkedStart {
  /** With the mark of the run directory only. */
  readonly plain: { readonly env: readonly Variable[]; readonly marks: ChildMarks };
  /** With both marks; the script wants its own stderr thrown away, and the child's as descriptor 3. */
  readonly throughShell:
    | {
        readonly file: string;
        readonly argv: readonly string[];
        readonly env: readonly Variable[];
        readonly marks: ChildMarks;
      }
    | undefined;
}

const shell = '/bin/sh';
const setter = '/usr/bin/env';

/**
 * Variables that bash, ksh or zsh set, convert or drop as they become the program, whatever the script has put there; ksh even
 * crashes when SHLVL is gone. With these shells the setter has the last word on them. None of them is a place for secrets,
 * which matters because everybody may read the words of the setter.
 */
const setLast = ['SHLVL', '_', 'COLUMNS', 'LINES', 'CPUTYPE', 'MACHTYPE', 'OSTYPE', 'VENDOR', 'TTY', 'ARGV0'];
/** Set or changed by shells as they start; kept under another name until the script gives them back. */
const heldVariables = [
  ...['PATH', 'LOGNAME', 'PWD', 'OLDPWD', 'IFS', 'PS1', 'PS2', 'PS4', 'POSIXLY_CORRECT'],
  ...setLast,
];
const isHeld = new Set(heldVariables);
const heldPrefix = 'CLAUDE_SSH_HELD_';
/** Those that shells export unasked. */
const uninvited = ['PATH', 'LOGNAME', 'PWD', 'OLDPWD', 'SHLVL', '_', 'POSIXLY_CORRECT'];
/** Read-only or overwritten in one shell or another, without a way back. BASH_ENV is not read by a shell called `sh`. */
const lost =
  /^(BASH(?!_ENV$)\w*|SHELLOPTS|PPID|OPTIND|OPTERR|RANDOM|SRANDOM|LINENO|EPOCH\w+|HISTCMD|COMP_WORDBREAKS|A__z|KSH_VERSION|signals|ZSH_(?:ARGZERO|EVAL_CONTEXT|EXECUTION_STRING|NAME|PATCHLEVEL|SUBSHELL|VERSION)|CLAUDE_SSH_HELD_\w+)$/;
const identifier = /^[A-Za-z_][A-Za-z0-9_]*$/;
/**
 * Functions that bash exports: common on whole families of hosts (`which`, `module`), and no place for secrets. No shell keeps
 * such a name as a variable, so they travel under names of ours, and the setter has the last word on them too.
 */
const exportedFunction = /^BASH_FUNC_.+(?:%%|\(\))$/;
const functionPrefix = `${heldPrefix}FUNCTION_`;
/** The shell copies all words for each of them. */
const mostFunctions = 256;

function isExportedFunction(name: string): boolean {
  return name.startsWith('BASH_FUNC_') && exportedFunction.test(name);
}

/** Variables that are looked at in one part: a request may have a hundred thousand, and all of them take 50 ms. */
const variablesOfPart = 4096;

/**
 * In parts, between which others may come first: `atOnce` (../steps.ts) makes all of them.
 * @param file the program of the request, resolved
 */
export function* planMarkedStart(
  request: Pick<SpawnRequest, 'command' | 'args' | 'cwd' | 'env' | 'handedProgram'> & { readonly markedFor: string },
  file: string,
): Generator<undefined, MarkedStart, undefined> {
  const own = request.env.filter(([name]) => name !== runDirVariable && name !== childVariable);
  const runDir: Variable = [runDirVariable, request.markedFor];
  const kind = programKind(file.startsWith('/') ? file : join(request.cwd ?? '.', file));
  const program = request.handedProgram ?? (kind === 'script' ? file : undefined);
  const among = program === undefined ? {} : { program };
  const unmarkedBecause = yield* obstacle(file, kind, own);
  const plain = {
    env: [...own, runDir],
    marks: {
      argv0: request.command,
      ...among,
      unmarkedBecause: unmarkedBecause ?? `its words are too many for ${shell}`,
    },
  };
  if (unmarkedBecause !== undefined) {
    return { plain, throughShell: undefined };
  }
  const held: Variable[] = [];
  const heldFunctions: Variable[] = [];
  for (const [index, variable] of own.entries()) {
    if (index % variablesOfPart === variablesOfPart - 1) {
      yield;
    }
    const [name, value] = variable;
    if (isExportedFunction(name)) {
      heldFunctions.push([functionPrefix + heldFunctions.length, environmentEntry(variable)]);
    } else {
      held.push(isHeld.has(name) ? [heldPrefix + name, value] : variable);
    }
  }
  return {
    plain,
    throughShell: {
      file: shell,
      argv: [shell, '-c', markScript(heldFunctions.length), shell, file, ...request.args],
      env: [...held, ...heldFunctions, runDir],
      marks: { argv0: file, ...among, unmarkedBecause: undefined },
    },
  };
}

function* obstacle(
  file: string,
  program: ReturnType<typeof programKind>,
  env: readonly Variable[],
): Generator<undefined, string | undefined, undefined> {
  if (program === 'unknown') {
    return `${file} is not a program that can be told to start`;
  }
  if (file.startsWith('-') || file.includes('=')) {
    return `${file} reads like an option or a variable`;
  }
  const names = new Set<string>();
  let functions = 0;
  for (const [index, [name, value]] of env.entries()) {
    if (index % variablesOfPart === variablesOfPart - 1) {
      yield;
    }
    const isFunction = isExportedFunction(name);
    if (isFunction ? value === noValue : !identifier.test(name) || lost.test(name)) {
      return `the variable ${name} does not pass through ${shell}`;
    }
    functions += isFunction ? 1 : 0;
    names.add(name);
  }
  if (names.size !== env.length) {
    return 'a variable is there twice';
  }
  if (functions > mostFunctions) {
    return `${functions} exported functions are too many for ${shell}`;
  }
  for (const needed of [shell, setter]) {
    if (!isExecutable(needed)) {
      return `${needed} cannot be executed`;
    }
  }
  return undefined;
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The scripts by the number of exported functions they give back. */
const markScripts = new Map<number, string>();

function markScript(functions: number): string {
  const known = markScripts.get(functions);
  if (known !== undefined) {
    return known;
  }
  const made = script(process.platform === 'darwin' ? darwinStart() : linuxStart(), functions);
  markScripts.set(functions, made);
  return made;
}

/** Uses no variable but the two it is there to set. */
function script(readStart: string, functions: number): string {
  const name = childVariable;
  const held = (variable: string): string => heldPrefix + variable;
  const giveBack = (variable: string): string => {
    const otherwise = uninvited.includes(variable) ? `; else unset ${variable}` : '';
    return `if [ "\${${held(variable)}+x}" ]; then ${variable}=$${held(variable)}; export ${variable}${otherwise}; fi`;
  };
  const heldFunctions = Array.from({ length: functions }, (_, index) => functionPrefix + index);
  const setAgain = setLast.map(
    (variable) => `[ "\${${held(variable)}+x}" ] && set -- "${variable}=$${held(variable)}" "$@"`,
  );
  return [
    `unset ${name}`,
    ...heldVariables.filter((variable) => !setLast.includes(variable)).map(giveBack),
    ...heldFunctions.map((held) => `set -- "$${held}" "$@"`),
    `if [ "${['BASH', 'KSH', 'ZSH'].map((each) => `\${${each}_VERSION-}`).join('')}" ]; then`,
    ...setAgain,
    `set -- ${setter} ${setLast.map((variable) => `-u ${variable}`).join(' ')} "$@"`,
    'else',
    ...setLast.map(giveBack),
    ...(functions > 0 ? [`set -- ${setter} "$@"`] : []),
    'fi',
    `unset ${[...heldVariables.map(held), ...heldFunctions].join(' ')}`,
    readStart,
    `[ "$${name}" ] && ${name}=$$:$${name} && export ${name} || unset ${name}`,
    'exec "$@" 2>&3 3>&-',
  ].join('\n');
}

/** Field 22 of the own stat file: the name in field 2 is the shell's, so the last `) ` ends it. */
function linuxStart(): string {
  const name = childVariable;
  const drop = (fields: number): string => `${name}=\${${name}#${'* '.repeat(fields)}}`;
  return [
    `read -r ${name} <"/proc/$$/stat" || ${name}=`,
    `${name}=\${${name}##*\\) }`,
    drop(4),
    drop(4),
    drop(4),
    drop(4),
    drop(3),
    `${name}=\${${name}%% *}`,
  ].join('\n');
}

/** As `startText` of process-evidence.ts writes it. */
function darwinStart(): string {
  return `${childVariable}=$(set -f; unset IFS; echo $(LC_ALL=C TZ=UTC /bin/ps -o lstart= -p $$))`;
}
