/** `holdfast service` with the task scheduler, as far as the one of Wine goes: it registers tasks, and runs none. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { removeFolder } from '../support/remove-folder.ts';
import { waitUntil } from '../support/wait.ts';
import { cleanEnvironment, type RunResult, runHoldfast } from './daemon.ts';

let folder: string;
let env: NodeJS.ProcessEnv;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hfs-'));
  env = cleanEnvironment(join(folder, 'a home'));
  mkdirSync(join(folder, 'a home'));
});
afterEach(async () => {
  if (existsSync(definition())) {
    await service('remove');
  }
  await removeFolder(folder);
});

const service = (...words: readonly string[]): Promise<RunResult> => runHoldfast(['service', ...words], { env });
const definition = (): string => join(folder, 'a home', '.claude', 'remote', 'holdfast-task.xml');
/** Where the scheduler keeps what was registered. */
const registered = join(process.env.SystemRoot ?? 'C:\\windows', 'system32', 'tasks', 'Holdfast');

test('install registers a logon task of this user, status tells of it, and remove takes it away', {
  timeout: 180_000,
}, async () => {
  const printed = await service('install', '--print', '--', '-wire-profile', 'next');
  expect(printed).toMatchObject({ code: 0, stderr: '' });
  expect([existsSync(definition()), existsSync(registered)]).toEqual([false, false]);

  const installed = await service('install', '--', '-wire-profile', 'next');
  expect(installed).toMatchObject({ code: 0, stderr: '' });
  expect(installed.stdout).toContain(`the task scheduler starts it from now on: ${definition()}\n`);
  expect(readFileSync(definition(), 'latin1')).toBe(printed.stdout);
  expect(readdirSync(join(definition(), '..'))).toEqual(['holdfast-task.xml']);
  // The scheduler has read the definition, and keeps as its own what it understands of it.
  const kept = readFileSync(registered).toString().replaceAll('\0', '');
  for (const text of ['<Description>Holdfast, the daemon', '<Hidden>true<', '<ExecutionTimeLimit>PT0S<']) {
    expect(kept).toContain(text);
  }
  expect(await service('status')).toMatchObject({ code: 0, stdout: expect.stringContaining('Installed: ') });

  expect(await service('remove')).toMatchObject({ code: 0, stderr: '' });
  expect([existsSync(definition()), existsSync(registered)]).toEqual([false, false]);
});

test('what the task runs starts the daemon, with a token that lies beside it, from a folder with blanks in its name', {
  timeout: 180_000,
}, async () => {
  const socket = join(folder, 'a run', 'rpc.sock');
  const { stdout: xml } = await service('install', '--print', '--', '-socket', socket);
  const [, command = '', words = ''] = /<Command>(.*)<\/Command>\s*<Arguments>(.*)<\/Arguments>/.exec(xml) ?? [];
  const plain = (text: string): string => text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
  const started = spawn(plain(command), [plain(words)], { env, stdio: 'ignore', windowsVerbatimArguments: true });
  await new Promise((resolve) => started.once('exit', resolve));
  try {
    // On a busy machine Wine may take longer for a start than the launcher waits; the daemon is there all the same then.
    const status = await waitUntil(
      async () => {
        const found = await runHoldfast(['status', '--socket', socket, '--json'], { env });
        return found.code === 0 && found;
      },
      'the daemon to answer whoever has its token',
      { timeoutMs: 60_000 },
    );
    expect(JSON.parse(status.stdout)).toMatchObject([{ profile: 'S', running: 0 }]);
  } finally {
    expect((await runHoldfast(['-stop', '-socket', socket], { env })).code).toBe(0);
    await waitUntil(
      async () => (await runHoldfast(['status', '--socket', socket], { env })).code === 3 || undefined,
      'the daemon to be gone',
      { timeoutMs: 60_000 },
    );
  }
});

test('a task that somebody else wrote is not replaced and not removed', {
  timeout: 180_000,
}, async () => {
  mkdirSync(join(definition(), '..'), { recursive: true });
  writeFileSync(definition(), '<Task/>');
  const stderr = `holdfast service: ${definition()} was not written by holdfast; move it away first\n`;
  expect(await service('install')).toMatchObject({ code: 1, stdout: '', stderr });
  expect(await service('remove')).toMatchObject({ code: 1, stdout: '', stderr });
  expect(readFileSync(definition(), 'latin1')).toBe('<Task/>');
  rmSync(definition());
  expect(existsSync(registered)).toBe(false);
});
