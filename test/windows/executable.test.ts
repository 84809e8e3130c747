/** The single executable on Windows: started by itself, it finds and starts itself again. */
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { version } from '../../src/base/version.ts';
import { removeFolder } from '../support/remove-folder.ts';
import { cleanEnvironment, runProgram } from './daemon.ts';

const executable = fileURLToPath(new URL('../../dist/holdfast-win-x64.exe', import.meta.url));
/** A start under Wine takes seconds, and there are several in a test. */
const slowMs = 180_000;
let folder: string;
let env: NodeJS.ProcessEnv;

beforeAll(() => {
  expect(existsSync(executable), 'run test/windows/build-executable.sh first').toBe(true);
  folder = mkdtempSync(join(tmpdir(), 'hfx-'));
  // The native binding is unpacked here.
  env = { ...cleanEnvironment(folder), TEMP: join(folder, 'temp'), TMP: join(folder, 'temp') };
  mkdirSync(join(folder, 'temp'));
});

afterAll(() => removeFolder(folder));

const run = (...words: string[]) => runProgram(executable, words, { env });
const unpacked = () => readdirSync(join(folder, 'temp')).filter((name) => name.startsWith('holdfast-addon-'));

test(
  'starts a daemon, runs a program under it and ends it',
  async () => {
    expect((await run('-version')).stdout).toMatch(new RegExp(`^claustrum ${version} \\(built \\d{4}-`));
    const socket = join(folder, 'run', 'rpc.sock');
    const token = join(folder, 'token');
    writeFileSync(token, 'a'.repeat(32));
    expect(await run('-serve', '-socket', socket, '-token-file', token)).toEqual({ code: 0, stdout: '', stderr: '' });
    const ran = await run('run', '--socket', socket, '--', 'cmd', '/c', 'echo out& exit 5');
    expect(ran).toEqual({ code: 5, stdout: 'out\r\n', stderr: '' });
    expect(await run('-stop', '-socket', socket)).toEqual({ code: 0, stdout: '', stderr: '' });
  },
  slowMs,
);

test(
  'a native binding that an earlier start had to leave is gone after a later one',
  async () => {
    expect((await run('config')).code).toBe(0);
    const before = unpacked();
    expect(before.length).toBeGreaterThan(0);
    // As if those starts were a while ago; a younger one may still be needed.
    const old = new Date(Date.now() - 3_600_000);
    for (const name of before) {
      utimesSync(join(folder, 'temp', name), old, old);
    }
    expect((await run('config')).code).toBe(0);
    expect(unpacked().filter((name) => before.includes(name))).toEqual([]);
  },
  slowMs,
);

test(
  'gives way to a later one while it runs itself, and what it was is removed by the upgrade after that',
  async () => {
    const place = join(folder, 'place');
    mkdirSync(place);
    const own = join(place, 'holdfast.exe');
    const later = join(place, 'later.exe');
    copyFileSync(executable, own);
    copyFileSync(executable, later);
    const upgrade = async (line: string) => {
      appendFileSync(later, line);
      const words = ['upgrade', '--from', later, '--socket', join(place, 'run', 'rpc.sock')];
      return { upgraded: await runProgram(own, words, { env }), after: readFileSync(own).equals(readFileSync(later)) };
    };
    for (const line of ['1', '2']) {
      expect(await upgrade(line)).toMatchObject({
        upgraded: { code: 0, stdout: expect.stringContaining('holdfast.exe: replaced\n'), stderr: '' },
        after: true,
      });
      expect(readdirSync(place).filter((name) => /part|old-[^1]/.test(name))).toEqual([]);
    }
  },
  slowMs,
);
