/** `-install` and `-probe-cli` on Windows (spec install.md §1, §6): the CLI is Node itself, a real program of this system. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { constants, zstdCompressSync } from 'node:zlib';
import { afterAll, expect, test } from 'vitest';
import { removeFolder } from '../support/remove-folder.ts';
import { mainFile } from './daemon.ts';

const home = realpathSync(mkdtempSync(join(tmpdir(), 'hf-')));
const blob = join(home, 'blob');
const packed = zstdCompressSync(readFileSync(process.execPath), {
  params: { [constants.ZSTD_c_compressionLevel]: -5 },
});

afterAll(() => removeFolder(home));

function run(profile: string, words: readonly string[], environment: Record<string, string> = {}) {
  const env = { ...process.env, USERPROFILE: home, ...environment };
  const all = ['--disable-warning=ExperimentalWarning', mainFile, '-wire-profile', profile, ...words];
  const { status, stdout, stderr } = spawnSync(process.execPath, all, { env, encoding: 'utf8' });
  return { status, stdout, stderr };
}

function install(profile: string, folder: string, version: string, ...words: string[]): Record<string, unknown> {
  const { stdout } = run(profile, ['-install', '-cli-dir', folder, '-cli-version', version, ...words]);
  const mark = '__INSTALL_RESULT__';
  expect(stdout.startsWith(mark), stdout).toBe(true);
  return JSON.parse(stdout.slice(mark.length));
}

test.each([
  ['next', '9.9.9.exe', '9.9.9.exe.exe'],
  ['current', '9.9.9.exe', '9.9.9.exe'],
])('profile %s: a program takes the place of a folder, runs, and stays with no older one', (profile, version, name) => {
  const folder = join(home, `cli-${profile}`);
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  for (const old of ['1.0.0', '1.0.1.exe', '1.0.2']) {
    writeFileSync(join(folder, old), 'x');
  }
  writeFileSync(blob, packed);
  const facts = install(profile, folder, version, '-cli-zst', blob, '-cli-keep', '1');
  expect(facts).toMatchObject({ os: 'windows', libc: '', cliPath: path, cliWasPresent: false });
  expect(facts).not.toHaveProperty('cliError');
  expect(readFileSync(path).equals(readFileSync(process.execPath))).toBe(true);
  expect(existsSync(blob)).toBe(false);
  expect(readdirSync(folder)).toEqual([name]);
  expect(install(profile, folder, version)).toMatchObject({ cliWasPresent: true });
});

test('a folder of the versions that is a file makes way, and a damaged blob is named', () => {
  const folder = join(home, 'file');
  writeFileSync(folder, 'x');
  writeFileSync(blob, 'not zstd');
  expect(install('next', folder, '1', '-cli-zst', blob)).toMatchObject({
    cliPath: join(folder, '1.exe'),
    cliError: 'decompressing: invalid input: magic number mismatch',
  });
  expect(readdirSync(folder)).toEqual([]);
  expect(install('next', folder, 'a\\b').cliError).toBe('cli version "a\\\\b" must be a single path component');
});

test('whoever asks for the managed launcher is told that there is none on this system', () => {
  const words = ['-install', '-cli-dir', join(home, 'none'), '-cli-version', '1'];
  const { stdout } = run('latest', words, { CLAUDE_SSH_MANAGED_LAUNCHER: '1' });
  expect(stdout).toMatch(/,"launcherStatus":"none"\}\n$/);
});

test('without a home folder the variable of this system is named', () => {
  // An absent one would be added by the runtime that starts the program.
  expect(run('next', ['-install'], { USERPROFILE: '' })).toMatchObject({
    status: 1,
    stdout: '',
    stderr: 'claustrum: cannot resolve home directory: %userprofile% is not defined\n',
  });
});

test('-probe-cli tells a program that runs from what is none', () => {
  expect(run('next', ['-probe-cli', process.execPath])).toEqual({ status: 0, stdout: '', stderr: '' });
  // `.exe` is never added to a name.
  for (const path of [mainFile, home, join(home, 'missing.exe'), process.execPath.slice(0, -'.exe'.length)]) {
    expect(run('next', ['-probe-cli', path]), path).toEqual({ status: 0, stdout: '__CLI_BAD__\n', stderr: '' });
  }
});
