/**
 * A user whose working directory somebody has deleted. Before it reads a script, dash and bash say on stderr that they cannot name
 * that directory, unless PWD leads there; so the first line of the start scripts gives their shell such a PWD, which no program
 * that we start must see.
 */
import { existsSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { version } from '../../src/base/version.ts';
import { prepareDaemon } from '../support/daemon.ts';
import { cleanEnvironment, program, type RunResult, startLineWith, startScript } from '../support/holdfast.ts';
import { connectTo, textOf } from '../support/host.ts';
import { installed, testNeeding } from '../support/needs.ts';
import { removeFolder } from '../support/remove-folder.ts';
import { runProgram } from './run-program.ts';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hf'));
});

afterEach(() => removeFolder(directory));

async function runThere(
  words: readonly string[],
  {
    command = [program],
    env = cleanEnvironment(directory),
  }: { command?: readonly string[]; env?: NodeJS.ProcessEnv } = {},
): Promise<RunResult> {
  const gone = join(directory, 'gone');
  mkdirSync(gone);
  const enter = 'cd "$1" && rmdir "$1" && shift && exec "$@"';
  const result = await runProgram('/bin/sh', ['-c', enter, 'sh', gone, ...command, ...words], { env });
  expect(existsSync(gone)).toBe(false);
  return result;
}

const noSuchSocket = (path: string): string =>
  `claustrum: dial server: dial unix ${path}: connect: no such file or directory\n`;

test.each<[words: string, code: number, stderr: string]>([
  ['-version', 0, ''],
  ['-version -socket x', 0, ''],
  ['-bridge -socket none', 1, noSuchSocket('none')],
  ['-stop -socket none', 0, ''],
  ['-wire-profile next -stop -socket none', 0, ''],
  ['-install', 0, ''],
  ['-wire-profile next -probe-cli /bin/true', 0, ''],
  ['config', 0, ''],
  ['service install --dry-run', 0, ''],
  ['agent', 1, 'holdfast: the working directory has been deleted; start from a folder that is there\n'],
  ['-token-fd x', 2, 'invalid value "x" for flag -token-fd: parse error'],
])('holdfast %s says there what it says elsewhere, and not a word more', async (words, code, stderr) => {
  const result = await runThere(words.split(' '));
  expect(result.code).toBe(code);
  expect(code === 2 ? result.stderr.split('\n')[0] : result.stderr).toBe(stderr);
  if (words === '-version') {
    expect(result.stdout).toMatch(/^claustrum \S+ \(built (?:unknown|[\d:.TZ-]+)\)\n$/);
    expect(result.stdout).toContain(` ${version} `);
  }
});

for (const name of ['dash', 'bash', 'busybox', 'ksh', 'zsh']) {
  testNeeding(installed(name, name))(`with ${name} as /bin/sh nothing more is said there either`, {}, async () => {
    const sh = join(directory, 'sh');
    symlinkSync(`/bin/${name}`, sh);
    const command = [...startLineWith(sh), startScript];
    expect((await runThere(['-install'], { command })).stderr).toBe('');
  });
}

test('a daemon that is started there serves, and its launcher says nothing', async () => {
  await using daemon = await prepareDaemon();
  const token = join(daemon.dir, 'token-there');
  writeFileSync(token, daemon.token, { mode: 0o600 });
  const words = ['-serve', '-socket', daemon.socket, '-token-file', token];
  expect(await runThere(words, { env: daemon.env })).toEqual({ code: 0, signal: null, stdout: '', stderr: '' });
  await using client = await connectTo(daemon);
  const job = await client.spawn({ command: 'cat', args: ['/proc/self/environ'] });
  expect(await textOf(job.stdout)).toContain(`HOLDFAST_TEST_DAEMON=${daemon.dir}`);
});
