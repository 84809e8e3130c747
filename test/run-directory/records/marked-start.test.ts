/** A marked child must not be able to tell that a shell stood between (spec platform.md §2). */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { collectExit, listenForExits, watchExit } from '../../../platform/posix/exits.ts';
import { launch } from '../../../platform/posix/launch.ts';
import { planMarkedStart } from '../../../platform/posix/marked-start.ts';
import { rawBytes } from '../../../platform/raw-text.ts';
import { environmentEntry, type Variable } from '../../../platform/started-with.ts';
import { atOnce } from '../../../platform/steps.ts';
import { temporaryFolder } from '../../platform/machine.ts';
import { RunningChild } from '../../platform/running-child.ts';
import { installed, testNeeding } from '../../support/needs.ts';
import { processFacts } from '../../support/processes.ts';
import { plainEnvironment, platform, startMarked } from './support.ts';

const env = '/usr/bin/env';

/** Every shell that a system may have as its `/bin/sh`. */
const shells = [
  { shell: '/bin/dash', package: 'dash' },
  { shell: '/bin/bash', package: 'bash' },
  { shell: '/bin/busybox', package: 'busybox' },
  { shell: '/bin/ksh', package: 'ksh' },
  { shell: '/bin/zsh', package: 'zsh' },
];

function planned(variables: readonly Variable[]): boolean {
  const request = { command: 'env', args: [], cwd: undefined, env: variables, markedFor: '/r' };
  return atOnce(planMarkedStart(request, env)).throughShell !== undefined;
}

/** What the program gets when `shell` is this machine's /bin/sh, one character a byte; `undefined` where it is planned without one. */
async function throughShell(shell: string, variables: readonly Variable[]) {
  const folder = temporaryFolder();
  const sh = join(folder, 'sh');
  symlinkSync(shell, sh);
  const request = { command: 'env', args: ['-0'], cwd: undefined, env: variables, markedFor: '/run dir' };
  const { throughShell } = atOnce(planMarkedStart(request, env));
  if (throughShell === undefined) {
    return undefined;
  }
  const files = { output: join(folder, 'output'), errors: join(folder, 'errors') };
  const [nothing, output, errors] = [
    openSync('/dev/null', 'r+'),
    openSync(files.output, 'w'),
    openSync(files.errors, 'w'),
  ];
  listenForExits();
  const { argv, env: variablesOfShell } = throughShell;
  const pid = launch({
    file: sh,
    argv,
    env: variablesOfShell,
    cwd: folder,
    descriptors: [nothing, output, nothing, errors],
  });
  await new Promise<void>((resolve) => watchExit(pid, resolve));
  collectExit(pid);
  for (const fd of [nothing, output, errors]) {
    closeSync(fd);
  }
  return {
    entries: readFileSync(files.output, 'latin1').split('\0').slice(0, -1).sort(),
    errors: readFileSync(files.errors, 'latin1'),
    pid,
  };
}

const bytesOf = (variable: Variable): Buffer => rawBytes(environmentEntry(variable));
const shown = (variable: Variable): string => bytesOf(variable).toString('latin1');

const awkward: readonly Variable[] = [
  ['LATIN1', 'Jos\udce9'],
  ['BROKEN', '\udc80\udc81\udc83\udc84\udca2\udcff\udce2\udc98'],
  ['PATH', '/usr/bin:/bin'],
  ['PLAIN', 'text'],
  ['EMPTY', ''],
  ['LINES', '1\n2\n\n'],
  ['QUOTES', `'"\\$(touch /tmp/never)\`id\``],
  ['UTF8', 'ünï ☃'],
  ['IFS', ':x'],
  ['PWD', '/not/where/it/is'],
  ['OLDPWD', 'nor here'],
  ['SHLVL', '41'],
  ['PS1', '$(id) > '],
  ['PS2', '2'],
  ['PS4', '4'],
  ['POSIXLY_CORRECT', 'maybe'],
  ['ENV', '/does/not/exist'],
  ['BASH_ENV', '/does/not/exist'],
  ['TERM', 'none'],
  ['CDPATH', '/'],
  ['HOME', '/nowhere'],
  ['TMOUT', '1'],
  ['LC_ALL', 'xx_XX.UTF-8'],
  ['MAILCHECK', '0'],
  ['UID', '5'],
  ['_', 'underscore'],
];

/** What the manuals of the five shells give a meaning of its own. */
const specialNames = `
COLUMNS LINES CDPATH EDITOR ENV FCEDIT FIGNORE FPATH HISTCMD HISTEDIT HISTFILE HISTSIZE HOME IFS JOBMAX
KEYBD_TRAP LANG LC_ALL LC_CTYPE LINENO MAIL MAILCHECK MAILPATH OLDPWD OPTARG OPTIND OPTERR PATH PPID PS1 PS2 PS3
PS4 PWD RANDOM REPLY SECONDS SHELL SHLVL TIMEFORMAT TMOUT VISUAL VPATH WHENCE A__z ERRNO TERM SH_OPTIONS ARGC
CPUTYPE EGID EUID FUNCNEST GID HOST LOGNAME MACHTYPE OSTYPE status signals TRY_BLOCK_ERROR TRY_BLOCK_INTERRUPT
TTY TTYIDLE UID USERNAME USER VENDOR ZSH_ARGZERO ZSH_EXECUTION_STRING ZSH_NAME ZSH_PATCHLEVEL ZSH_SCRIPT
ZSH_SUBSHELL ZSH_VERSION ZSH_EVAL_CONTEXT ARGV0 BAUD DIRSTACKSIZE HISTCHARS KEYTIMEOUT LISTMAX LOGCHECK MANPATH
NULLCMD POSTEDIT PROMPT PROMPT2 PROMPT3 PROMPT4 RPS1 RPS2 RPROMPT READNULLCMD REPORTTIME REPORTMEMORY SAVEHIST
SPROMPT STTY TIMEFMT TMPPREFIX TMPSUFFIX WATCH WATCHFMT WORDCHARS ZDOTDIR argv fpath path cdpath module_path
manpath mailpath prompt psvar watch pipestatus options aliases functions commands parameters modules MODULE_PATH
PSVAR KEYBOARD_HACK histchars COMP_WORDBREAKS COMP_LINE COPROC DIRSTACK EPOCHSECONDS EPOCHREALTIME FUNCNAME
GROUPS HOSTNAME HOSTTYPE HOSTFILE MAPFILE PIPESTATUS READLINE_LINE SHELLOPTS SRANDOM IGNOREEOF INPUTRC TMPDIR
auto_resume POSIXLY_CORRECT EXECIGNORE GLOBIGNORE PROMPT_DIRTRIM PROMPT_COMMAND HISTFILESIZE HISTIGNORE
HISTCONTROL HISTTIMEFORMAT CHILD_MAX TERMINFO TZ LD_LIBRARY_PATH KSH_VERSION BASH_VERSION BASH_ENV BASH_COMPAT
BASHOPTS BASH_XTRACEFD _AST_FEATURES UNIVERSE OPTIMIZE _ NLSPATH PAGER EXECSHELL SH_WORD_SPLIT SIGNAL FOO a A x
LC_MONETARY TERMCAP T MSG CCACHE_DIR XDG_X LS_COLORS
`
  .trim()
  .split(/\s+/);
/** A name that does not pass is known beforehand, and a child that has it goes without the shell. */
const passingNames = specialNames.filter((name) => planned([[name, '']]));

for (const { shell, package: packageName } of shells) {
  const testWithShell = testNeeding(
    installed(shell.slice('/bin/'.length), packageName),
    installed('python3', 'python3'),
  );

  async function expectExact(variables: readonly Variable[]): Promise<void> {
    const seen = await throughShell(shell, variables);
    const mark = seen?.entries.find((entry) => entry.startsWith('CLAUDE_SSH_CHILD='));
    expect(mark).toMatch(new RegExp(`^CLAUDE_SSH_CHILD=${seen?.pid}:\\d+$`));
    expect(seen?.entries).toEqual([...variables.map(shown), 'CLAUDE_SSH_RUN_DIR=/run dir', mark].sort());
    expect(seen?.errors).toBe('');
  }

  testWithShell(
    `with ${shell} as /bin/sh a program gets exactly its environment, the marks and no word on stderr`,
    {},
    async () => {
      await expectExact(awkward);
    },
  );

  testWithShell(`with ${shell} as /bin/sh exported functions of bash pass, and the mark is there`, {}, async () => {
    const functions: readonly Variable[] = [
      ['BASH_FUNC_which%%', `() { ( alias; eval declare -f ) | /usr/bin/which "$@"\n}`],
      ['BASH_FUNC_module%%', '() { local _a=\'$(id)\'; echo "$_a" `id` \\; }'],
      ['BASH_FUNC_old()', '() {  echo Jos\udce9\n}'],
    ];
    await expectExact([...awkward, ...functions]);
    await expectExact([...functions.slice(0, 1), ['PATH', '/usr/bin:/bin']]);
  });

  testWithShell(`with ${shell} as /bin/sh nothing is added to an environment that is nearly empty`, {}, async () => {
    await expectExact([['ONLY', 'this']]);
    await expectExact([]);
  });

  testWithShell(`with ${shell} as /bin/sh no name is special, whatever stands in it`, {}, async () => {
    for (const value of ['', 'x', '5', '007', ':a', '1\n2', 'Jos\udce9']) {
      await expectExact(passingNames.map((name): Variable => [name, value]));
    }
  });
}

test('the marks name the run directory, the process and its start, and nothing a caller says changes them', async () => {
  const running = startMarked(
    '/run/dir',
    'sh',
    ['-c', 'echo "$CLAUDE_SSH_RUN_DIR $CLAUDE_SSH_CHILD $$"; exec sleep 9'],
    {
      env: [...plainEnvironment(), ['CLAUDE_SSH_CHILD', '1:1'], ['CLAUDE_SSH_RUN_DIR', '/forged']],
    },
  );
  const { pid } = running.child;
  expect(await running.line()).toBe(`/run/dir ${pid}:${processFacts(pid)?.start} ${pid}`);
});

test('a marked program gets its words, folder, pipes, group and default signals as any other', async () => {
  const cwd = temporaryFolder();
  const words = ['', 'two words', '"', "'", '$HOME', '`id`', '-n', '--', '*', 'ü\n☃', '\\'];
  const running = startMarked(
    '/r',
    process.execPath,
    [
      '-e',
      `const fs = require('fs');
     const status = fs.readFileSync('/proc/self/status', 'latin1');
     const stat = fs.readFileSync('/proc/self/stat', 'latin1').split(') ')[1].split(' ');
     console.log(JSON.stringify({ words: process.argv.slice(1), cwd: process.cwd(), argv0: process.argv0,
       group: Number(stat[2]), session: Number(stat[3]), blocked: /SigBlk:\\t(\\w+)/.exec(status)[1],
       fds: fs.readdirSync('/proc/self/fd').filter((n) => n < 10 && fs.readlinkSync('/proc/self/fd/' + n).startsWith('/dev/null')) }));
     console.error('on stderr');`,
      '--',
      ...words,
    ],
    { cwd },
  );
  await running.over();
  const { pid } = running.child;
  expect(JSON.parse(running.text('stdout'))).toEqual({
    words,
    cwd,
    argv0: process.execPath,
    group: pid,
    session: pid,
    blocked: '0'.repeat(16),
    fds: [],
  });
  expect(running.text('stderr')).toBe('on stderr\n');
});

test('a relative program is meant from the folder of the child', async () => {
  const cwd = temporaryFolder();
  mkdirSync(join(cwd, 'bin'));
  writeFileSync(join(cwd, 'bin', 'tool'), '#!/bin/sh\necho "$0 $CLAUDE_SSH_CHILD"\n', { mode: 0o755 });
  const running = startMarked('/r', './bin/tool', [], { cwd });
  await running.over();
  expect(running.text('stdout')).toMatch(new RegExp(`^\\./bin/tool ${running.child.pid}:\\d+\\n$`));
});

test.each<[what: string, content: string | Buffer, text: string]>([
  ['an unknown format', 'just words\n', 'exec format error'],
  ['a program of another machine', otherMachine(), 'exec format error'],
  ['a missing interpreter', '#!/no/such/interpreter\n', 'no such file or directory'],
  ['an interpreter that is no program', '#!/etc/passwd\n', 'permission denied'],
])('the kernel’s word for %s is not swallowed by the shell', (_, content, text) => {
  const file = join(temporaryFolder(), 'program');
  writeFileSync(file, content, { mode: 0o755 });
  expect(() => startMarked('/r', file, [])).toThrow(`fork/exec ${file}: ${text}`);
});

function otherMachine(): Buffer {
  const head = Buffer.from(readFileSync(process.execPath).subarray(0, 4096));
  head.writeUInt16LE(22, 18);
  return head;
}

test('a program whose loader is missing is refused, not started and lost', () => {
  const whole = readFileSync('/bin/sleep');
  const at = whole.indexOf('/lib');
  whole.write('/LIB', at);
  const file = join(temporaryFolder(), 'foreign');
  writeFileSync(file, whole, { mode: 0o755 });
  expect(() => startMarked('/r', file, ['1'])).toThrow(`fork/exec ${file}: no such file or directory`);
});

test.each<[what: string, variable: [string, string]]>([
  ['a name with a dash', ['A-B', '1']],
  ['a variable that shells keep to themselves', ['PPID', '1']],
])('a child with %s keeps it, and goes without the mark of its own', async (_, variable) => {
  const running = startMarked('/r', env, ['-0'], { env: [...plainEnvironment(), variable] });
  await running.over();
  const entries = running.text('stdout').split('\0').slice(0, -1);
  expect(entries).toEqual(
    [...plainEnvironment(), variable, ['CLAUDE_SSH_RUN_DIR', '/r']].map(([name, value]) => `${name}=${value}`),
  );
  expect(running.child.marks?.unmarkedBecause).toBe(`the variable ${variable[0]} does not pass through /bin/sh`);
});

test('words that leave no room for the shell’s own still start the program', async () => {
  const limit = Number(spawnSync('getconf', ['ARG_MAX']).stdout.toString());
  const word = 'x'.repeat(100_000);
  const run = (words: number) => () =>
    startMarked(
      '/r',
      '/bin/true',
      Array.from({ length: words }, () => word),
    );
  let most = Math.floor(limit / 100_000);
  const starts = (words: number): boolean => {
    try {
      new RunningChild(platform, { command: '/bin/true', args: Array(words).fill(word), env: plainEnvironment() });
      return true;
    } catch {
      return false;
    }
  };
  while (!starts(most)) {
    most--;
  }
  expect(run(most)).not.toThrow();
  expect(run(most + 1)).toThrow('fork/exec /bin/true: argument list too long');
});
