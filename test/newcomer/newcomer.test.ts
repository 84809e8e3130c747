/**
 * A newcomer's first minutes: the commands of the pages that are marked so (test/tools/snippets.ts), word for word, in a clean
 * clone, and then where there is nothing but the executable. `box` is a real ssh server with an empty home folder.
 */
import { execFileSync, spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { buildMs, executableName, sharedBuild } from '../executable/build.ts';
import { type SshHost, startSshHost } from '../ssh/sshd.ts';
import { cleanEnvironment, type Environment } from '../support/holdfast.ts';
import { settingsOfNpm } from '../support/npm.ts';
import { endAllOf, findByArguments, signalProcess, untilEnded } from '../support/processes.ts';
import { removeFolder } from '../support/remove-folder.ts';
import { pages, root, snippetsOf } from '../tools/snippets.ts';

let box: SshHost;
let folder: string;
let home: string;

beforeAll(async () => {
  await sharedBuild();
  folder = mkdtempSync('/tmp/hf-');
  home = join(folder, 'home');
  mkdirSync(home);
  box = await startSshHost({ hasLoginScript: true });
  const login = `export HOME=${box.home} SHELL=/bin/sh PATH=$HOME/.local/bin:/usr/bin:/bin`;
  box.setLoginScript(`${login}\nexec sh -c "$SSH_ORIGINAL_COMMAND"\n`);
}, buildMs);

afterAll(async () => {
  for (const daemon of findByArguments(['-serve', '-socket', join(home, '.claude/remote/rpc.sock')])) {
    signalProcess(daemon, 'SIGTERM');
    await untilEnded(daemon);
  }
  await endAllOf(join(box.home, '.local/bin/holdfast'));
  await box[Symbol.asyncDispose]();
  await removeFolder(folder);
});

/** The snippets of the pages that a newcomer types there, one line after the other. */
function linesFor(place: 'clone' | 'executable'): string[] {
  return pages
    .flatMap((page) => snippetsOf(page))
    .filter(({ mark }) => mark === `run: ${place}`)
    .flatMap(({ text }) => text.split('\n'))
    .filter((line) => line.trim() !== '');
}

/** @param path folders in front of those of the system */
function type(lines: readonly string[], cwd: string, path: readonly string[], changes: Environment = {}) {
  // The ssh of this test leads to `box`.
  const folders = [...path, join(box.dir, 'client'), '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'];
  const env = cleanEnvironment(home, { PATH: folders.join(':'), ...changes });
  const child = spawn('bash', ['-e', '-c', lines.join('\n')], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      texts[name] += text;
    });
  }
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, ...texts })));
}

test('in a clean clone two commands bring a daemon to a host, and a third runs a program there', {
  timeout: 300_000,
}, async () => {
  const clone = join(mkdtempSync(join(folder, 'clone-')), 'holdfast');
  const files = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' }).split('\0').filter(Boolean);
  for (const file of files.filter((each) => existsSync(join(root, each)))) {
    mkdirSync(dirname(join(clone, file)), { recursive: true });
    copyFileSync(join(root, file), join(clone, file));
  }
  const lines = linesFor('clone');
  expect(lines.length).toBeGreaterThanOrEqual(3);
  const typed = await type(lines, clone, [dirname(process.execPath)], settingsOfNpm());
  expect(typed).toMatchObject({ code: 0, stderr: '' });
  expect(typed).toMatchObject({
    stdout: expect.stringMatching(/SHA-256 verified there[\s\S]*started, pid \d+, durable/),
  });
  expect(typed).toMatchObject({ stdout: expect.stringMatching(/^Linux .*\n$/m) });
});

test('with nothing but the executable the commands of the pages run here and there', { timeout: 120_000 }, async () => {
  // Another folder for each attempt.
  const alone = mkdtempSync(join(folder, 'alone-'));
  const bin = join(alone, 'bin');
  mkdirSync(bin);
  symlinkSync(join(await sharedBuild(), executableName), join(bin, 'holdfast'));
  const empty = join(alone, 'empty');
  mkdirSync(empty);
  const lines = linesFor('executable');
  expect(lines.length).toBeGreaterThanOrEqual(4);
  const typed = await type(['holdfast deploy box >deployed', ...lines], empty, [bin]);
  expect(typed).toMatchObject({ code: 0, stderr: '' });
  const { stdout } = typed as { stdout: string };
  expect(stdout.match(/^git version .*$/gm)).toHaveLength(2);
  expect(stdout).toContain('1000000\n');
  expect(stdout).toContain('hello\n');
  expect(readFileSync(join(empty, 'deployed'), 'utf8')).toContain('SHA-256');
});
