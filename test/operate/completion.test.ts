/** `holdfast completion`: what is offered, and that real shells offer it. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { hostsOf } from '../../src/operate/completion/living.ts';
import { type Living, suggest } from '../../src/operate/completion/suggest.ts';
import { temporaryFolder } from '../platform/machine.ts';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { cleanEnvironment, program, runHoldfast } from '../support/holdfast.ts';
import { connectTo } from '../support/host.ts';
import { installed, testNeeding } from '../support/needs.ts';

const living: Living = {
  sessions: async (socket) => [
    { value: socket ?? 'build', help: 'make' },
    { value: 'bread', help: '' },
  ],
  hosts: async () => [{ value: 'box', help: '' }],
};

async function offered(...words: readonly string[]): Promise<string[] | string> {
  const found = await suggest(['holdfast', ...words], living);
  return found === 'files' ? found : found.map(({ value }) => value);
}

test.each<[string[], string[] | string]>([
  [['stat'], ['status']],
  [['-ser'], ['-serve']],
  [
    ['help', 'at'],
    ['attach', 'attention'],
  ],
  [
    ['attach', 'b'],
    ['build', 'bread'],
  ],
  [
    ['attach', '--socket', '/s', ''],
    ['/s', 'bread'],
  ],
  [['attach', '--socket', ''], 'files'],
  [['attach', '--ta'], ['--take']],
  [['attach', '--host', ''], ['box']],
  [['run', '--wire-profile', 'n'], ['next']],
  [['run', '--', ''], 'files'],
  [['run', 'make', ''], 'files'],
  [
    ['release', 'one', 'b'],
    ['build', 'bread'],
  ],
  [
    ['answer', 'build', 'r1', ''],
    ['allow', 'deny'],
  ],
  [
    ['service', 'st'],
    ['status', 'start'],
  ],
  [
    ['service', 'install', '--'],
    ['--dry-run', '--agent', '--config', '--print', '--json', '--help'],
  ],
  [['completion', 'f'], ['fish']],
  [['nothing', ''], 'files'],
])('%j is continued by the table of verbs', async (words, expected) => {
  expect(await offered(...words)).toEqual(expected);
});

test('hosts are those of the ssh configuration and of known_hosts, without patterns and hashes', () => {
  const configuration = 'Host box web-1 *.corp !no\n  HostName 10.0.0.1\nhost=other\nMatch host x\n';
  const known = 'github.com,140.82.121.4 ssh-ed25519 A\n|1|abc= ssh-rsa B\n[box]:2222 ssh-rsa C\n# no\n';
  expect(hostsOf(configuration, known).map(({ value }) => value)).toEqual([
    ...['box', 'web-1', 'other', 'github.com', '140.82.121.4'],
  ]);
});

test('without a daemon nothing is said, and a shell that is not known is refused with 2', async () => {
  const env = cleanEnvironment(temporaryFolder());
  const asked = await runHoldfast(['completion', 'bash', '--', 'holdfast attach --socket /nowhere/rpc.sock '], { env });
  expect(asked).toMatchObject({ code: 0, stdout: '', stderr: '' });
  expect(await runHoldfast(['completion', 'tcsh'], { env })).toMatchObject({ code: 2, stdout: '' });
});

describe('a real shell offers', () => {
  const odd = 'my build: it’s $HOME';

  /** A daemon with two sessions, at the usual place of a home of its own, with `holdfast` on the PATH. */
  async function withSessions(work: (daemon: TestDaemon, env: NodeJS.ProcessEnv) => Promise<void>): Promise<void> {
    const home = temporaryFolder();
    const runDir = join(home, '.claude', 'remote');
    mkdirSync(runDir, { recursive: true, mode: 0o700 });
    await using daemon = await startDaemon({ at: { runDir, program } });
    await using host = await connectTo(daemon);
    await host.spawn({ id: odd, command: 'sleep', args: ['1000'] });
    await host.spawn({ id: 'other\u001b[31m', command: 'sleep', args: ['1000'] });
    const PATH = `${dirname(program)}:${process.env.PATH}`;
    await work(daemon, { ...daemon.env, HOME: home, PATH });
  }

  testNeeding(installed('bash', 'bash'))('bash: verbs, options and live sessions, quoted', {}, async () => {
    await withSessions(async ({ socket }, env) => {
      const script = `
        source <(holdfast completion bash)
        ask() { COMP_LINE=$1; COMP_POINT=\${#1}; COMP_WORDS=($1); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); COMPREPLY=(); _holdfast; printf '%s|' "\${COMPREPLY[@]}"; echo; }
        compopt() { :; }
        ask 'holdfast stat'; ask 'holdfast attach --ta'; ask 'holdfast attach --socket ${socket} my'; ask 'holdfast attach --socket ${socket} my\\ build:'`;
      const shown = execFileSync('bash', ['--norc', '-c', script], { env, encoding: 'utf8' });
      expect(shown.split('\n')).toEqual([
        'status|',
        '--take|',
        'my\\ build:\\ it\\’s\\ \\$HOME|',
        '\\ it\\’s\\ \\$HOME|',
        '',
      ]);
    });
  });

  testNeeding(installed('zsh', 'zsh'))('zsh: the same, with a line about each', {}, async () => {
    await withSessions(async ({ socket }, env) => {
      const script = `
        compadd() { print -r -- "\${(j:|:)values}"; }; _files() { print files; }; compdef() { :; }
        source <(holdfast completion zsh)
        ask() { words=("$@"); CURRENT=$#; _holdfast; }
        ask holdfast stat; ask holdfast attach --socket ${socket} my; ask holdfast attach --socket ''`;
      const shown = execFileSync('zsh', ['-f', '-c', script], { env, encoding: 'utf8' });
      expect(shown).toBe(`status\n${odd}\nfiles\n`);
    });
  });

  testNeeding(installed('fish', 'fish'))('fish: by its own question for completions', {}, async () => {
    await withSessions(async ({ socket }, env) => {
      const script = `holdfast completion fish | source
        complete -C 'holdfast stat'; complete -C 'holdfast attach --ta'; complete -C 'holdfast attach --socket ${socket} my'`;
      const shown = execFileSync('fish', ['--no-config', '-c', script], { env, encoding: 'utf8' });
      expect(shown.split('\n').map((line) => line.split('\t')[0])).toEqual(['status', '--take', odd, '']);
    });
  });
});

// The script for PowerShell is not run here: no package of this distribution brings PowerShell.
test('PowerShell: a value that is not one plain word is quoted', async () => {
  const home = temporaryFolder();
  mkdirSync(join(home, '.ssh'));
  writeFileSync(join(home, '.ssh/config'), 'Host box\n');
  const env = cleanEnvironment(home);
  const asked = await runHoldfast(['completion', 'powershell', '--', 'holdfast', 'attach', '--host', ''], { env });
  expect(asked).toMatchObject({ code: 0, stdout: 'box\t\n', stderr: '' });
  expect((await runHoldfast(['completion', 'powershell'], { env })).stdout).toMatch(
    /^Register-ArgumentCompleter -Native -CommandName holdfast/,
  );
});
