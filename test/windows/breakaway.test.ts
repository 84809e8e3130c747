/** Fault 24 of docs/faults.md, the Windows half: the login's job ends, and the daemon was started inside it. */
import { spawn as spawnNode } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { createPlatform } from '../../platform/win32/index.ts';
import { waitUntil } from '../support/wait.ts';

const { processes } = createPlatform();

interface Login {
  readonly daemon: number;
  readonly notes: readonly string[];
  readonly inJob: boolean;
}

/** A session whose processes are all in one kill-on-close job, in which a launcher starts a daemon; then it ends. */
async function logInAndOut(rule: 'breakaway allowed' | 'breakaway forbidden' | 'outer job forbids it'): Promise<Login> {
  const file = fileURLToPath(new URL('./fixtures/login-session.ts', import.meta.url));
  const session = spawnNode(process.execPath, [file, rule], { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  const ended = new Promise((resolve) => session.once('exit', resolve));
  let text = '';
  session.stdout.on('data', (bytes: Buffer) => {
    text += bytes.toString();
  });
  const login: Login = JSON.parse(await waitUntil(() => /^(.*)\r?\n/.exec(text)?.[1], 'the session to report'));
  onTestFinished(() => {
    const identity = processes.identify(login.daemon);
    if (identity !== undefined) {
      processes.signalIfSame(identity, 'KILL');
    }
  });
  expect(processes.identify(login.daemon)).toBeDefined();
  session.kill();
  await ended;
  return login;
}

test('fault 24: a daemon lives on after a logout where its job lets it go', async () => {
  const login = await logInAndOut('breakaway allowed');
  expect(login).toMatchObject({ notes: [], inJob: false });
  expect(processes.identify(login.daemon)).toBeDefined();
});

test('fault 24: a daemon whose job does not let it go starts all the same, and the user was told beforehand', async () => {
  const login = await logInAndOut('breakaway forbidden');
  expect(login.notes).toEqual([
    `[daemon] detached spawn failed (fork/exec ${process.execPath}: Access is denied.); retrying without breakaway`,
  ]);
  expect(login.inJob).toBe(true);
  await waitUntil(() => processes.identify(login.daemon) === undefined || undefined, 'the daemon to end with its job');
});

test('fault 24: a daemon that only an outer job keeps is told of, because the system says nothing', async () => {
  const login = await logInAndOut('outer job forbids it');
  expect(login.inJob).toBe(true);
  expect(login.notes).toEqual([expect.stringMatching(/still in a job of this login|retrying without breakaway/)]);
  await waitUntil(() => processes.identify(login.daemon) === undefined || undefined, 'the daemon to end with its job');
});
