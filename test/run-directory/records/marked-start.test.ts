/** A marked child must not be able to tell that a shell stood between (spec platform.md §2). */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { planMarkedStart } from '../../../platform/posix/marked-start.ts';
import { temporaryFolder } from '../../platform/machine.ts';
import { RunningChild } from '../../platform/running-child.ts';
import { processFacts } from '../../support/processes.ts';
import { plainEnvironment, platform, startMarked } from './support.ts';

const env = '/usr/bin/env';

/** The shells found here, each under the name `sh`, as distributions install them. */
const shells = ['/bin/dash', '/bin/bash', '/bin/busybox', '/bin/ksh', '/bin/zsh'].filter(existsSync);

/** What the program gets when `shell` is this machine's /bin/sh. */
function throughShell(shell: string, variables: readonly (readonly [string, string])[]) {
  const folder = temporaryFolder();
  const sh = join(folder, 'sh');
  symlinkSync(shell, sh);
  const { throughShell } = planMarkedStart(
    { command: 'env', args: ['-0'], cwd: undefined, env: variables, markedFor: '/run dir' },
    env,
  );
  if (throughShell === undefined) {
    throw new Error('planned without a shell');
  }
  const [, ...words] = throughShell.argv;
  const result = spawnSync(sh, words, {
    env: Object.fromEntries(throughShell.env),
    cwd: folder,
    stdio: ['ignore', 'pipe', 'ignore', 'pipe'],
  });
  return {
    entries: result.stdout.toString().split('\0').slice(0, -1).sort(),
    errors: String(result.output[3]),
    pid: result.pid,
  };
}

const awkward: readonly [string, string][] = [
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

test.each(shells)(
  'with %s as /bin/sh a program gets exactly its environment, the marks and no word on stderr',
  (shell) => {
    const { entries, errors, pid } = throughShell(shell, awkward);
    const expected = awkward.map(([name, value]) => `${name}=${value}`);
    const start = /^CLAUDE_SSH_CHILD=\d+:(\d+)$/.exec(
      entries.find((entry) => entry.startsWith('CLAUDE_SSH_CHILD=')) ?? '',
    );
    expect(entries).toEqual(
      [...expected, 'CLAUDE_SSH_RUN_DIR=/run dir', `CLAUDE_SSH_CHILD=${pid}:${start?.[1]}`].sort(),
    );
    expect(errors).toBe('');
  },
);

test.each(shells)('with %s as /bin/sh nothing is added to an environment that is nearly empty', (shell) => {
  const { entries } = throughShell(shell, [['ONLY', 'this']]);
  expect(entries.map((entry) => entry.replace(/=.*/, ''))).toEqual(['CLAUDE_SSH_CHILD', 'CLAUDE_SSH_RUN_DIR', 'ONLY']);
});

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
  ['an exported function of bash', ['BASH_FUNC_module%%', '() { echo; }']],
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
