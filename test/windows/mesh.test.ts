/** The mesh door on Windows: an owner-only pipe with a name that is known, the same routes, an end without signals (spec mesh.md §4). */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import { opened } from '../../platform/win32/handles.ts';
import { currentUser, describeSecurity } from '../../platform/win32/security.ts';
import { askDaemon, type DaemonRequest } from '../../src/doors/mesh/http/client.ts';
import { configOf, newMember } from '../doors/mesh/members.ts';
import { StandInBroker } from '../doors/mesh/stand-in-broker.ts';
import { removeFolder } from '../support/remove-folder.ts';
import { waitUntil } from '../support/wait.ts';
import { cleanEnvironment, mainFile, platform, runHoldfast } from './daemon.ts';

/** Each start is a Node under Wine. */
const patience = { timeoutMs: 120_000 } as const;
const slow = { timeout: 480_000 } as const;

const folder = mkdtempSync(join(tmpdir(), 'hfm-'));
const configFolder = join(folder, 'c');
const daemonFolder = join(configFolder, 'daemon');
const socket = join(daemonFolder, 'daemon.sock');
const env: NodeJS.ProcessEnv = {
  ...cleanEnvironment(join(folder, 'home')),
  CLAUDEMESH_CONFIG_DIR: configFolder,
  CLAUDEMESH_DAEMON_TCP_PORT: '0',
};
const member = newMember('peer-a');
let broker: StandInBroker;
let daemon: ChildProcess;
let log = '';

const run = (...words: string[]) => runHoldfast(['mesh', ...words], { env });
const ask = (asked: DaemonRequest) => askDaemon(socket, platform.transport, { timeoutMs: 60_000, ...asked });
const outbox = async () => {
  const { body } = await ask({ method: 'GET', path: '/v1/outbox' });
  return (body as { items: { client_message_id: string; status: string }[] }).items;
};

beforeAll(async () => {
  mkdirSync(configFolder);
  mkdirSync(join(folder, 'home'));
  broker = await StandInBroker.start({ members: [member] });
  writeFileSync(join(configFolder, 'config.json'), JSON.stringify(configOf(member, broker.url)));
  daemon = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', mainFile, 'mesh', 'up', '--tcp'], {
    env,
    windowsHide: true,
  });
  const note = (text: Buffer): void => {
    log += text.toString();
  };
  daemon.stdout?.on('data', note);
  daemon.stderr?.on('data', note);
  await waitUntil(
    () => {
      if (daemon.exitCode !== null) {
        throw new Error(`the daemon ended with ${daemon.exitCode}\n${log}`);
      }
      return log.includes('"daemon_started"') && log.includes('"status":"open"');
    },
    'the daemon to start',
    patience,
  ).catch((error: Error) => {
    throw new Error(`${error.message}\n${log}`);
  });
}, 240_000);

afterAll(async () => {
  daemon.kill('SIGKILL');
  await waitUntil(() => daemon.exitCode !== null || daemon.signalCode !== null, 'the daemon to end', patience);
  await broker[Symbol.asyncDispose]();
  await removeFolder(folder);
}, 240_000);

test('the pipe has the name of the contract and lets its owner in, and nobody else', () => {
  const name = `\\\\.\\pipe\\claudemesh-daemon-${currentUser()}`;
  expect(log).toContain(JSON.stringify(name));
  const access = kernel32.GENERIC_READ | kernel32.GENERIC_WRITE;
  const handle = opened(kernel32.CreateFileW(name, access, 0, null, kernel32.OPEN_EXISTING, 0, null), 'CreateFile');
  onTestFinished(() => void kernel32.CloseHandle(handle));
  const sddl = describeSecurity(handle, 'kernel object');
  const entries = sddl.match(/\([^)]*\)/g) ?? [];
  expect([sddl, entries.length]).toEqual([sddl, 1]);
  expect(entries[0]?.endsWith(`;;;${currentUser()})`)).toBe(true);
});

test('the routes answer over the pipe, with the guards in front of them', slow, async () => {
  expect(await ask({ method: 'GET', path: '/v1/health' })).toEqual({
    status: 200,
    body: { ok: true, pid: daemon.pid, brokers: { 'smoke-test': 'open' } },
  });
  expect((await ask({ method: 'GET', path: '/v1/version?token=x' })).status).toBe(400);
  expect((await ask({ method: 'GET', path: '/nothing' })).status).toBe(404);
  const message = { to: '*', message: 'grüezi', client_message_id: 'k1' };
  expect((await ask({ method: 'POST', path: '/v1/send', body: message })).status).toBe(202);
  await waitUntil(async () => (await outbox())[0]?.status === 'done', 'the message to be sent', patience);
  expect((await ask({ method: 'POST', path: '/v1/send', body: message })).body).toMatchObject({ duplicate: true });
  expect((await ask({ method: 'POST', path: '/v1/send', body: { ...message, message: 'x' } })).status).toBe(409);
  expect((await ask({ method: 'GET', path: '/v1/inbox' })).body).toEqual({ items: [] });
  expect((await ask({ method: 'GET', path: '/v1/peers' })).body).toMatchObject({ peers: [{ displayName: 'peer-a' }] });
});

test('the TCP port wants the token of the folder', slow, async () => {
  const port = Number(/"tcp":"127\.0\.0\.1:(\d+)"/.exec(log)?.[1]);
  const token = readFileSync(join(daemonFolder, 'local-token'), 'utf8').trim();
  const status = (headers: Record<string, string>) =>
    new Promise<number | undefined>((resolve, reject) => {
      request({ host: '127.0.0.1', port, path: '/v1/health', agent: false, headers }, (response: IncomingMessage) => {
        response.resume();
        resolve(response.statusCode);
      })
        .on('error', reject)
        .end();
    });
  expect(await status({})).toBe(401);
  expect(await status({ Authorization: `Bearer ${token}` })).toBe(200);
  expect(await status({ Authorization: `Bearer ${token}`, Origin: 'http://localhost' })).toBe(403);
});

test('the verbs find the daemon, a second one is refused, and down ends it with nothing left', slow, async () => {
  expect(await run('status')).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(new RegExp(`^daemon: running \\(pid ${daemon.pid}\\)\nsocket: `)),
  });
  expect(await run('up')).toMatchObject({ code: 1, stderr: `daemon already running (pid ${daemon.pid})\n` });
  const told = await run('down', '--json');
  // On a machine that stalls the end may take longer than the 5 s that `down` waits.
  expect([
    `{"stopped":true,"pid":${daemon.pid}}\n`,
    `{"stopped":false,"pid":${daemon.pid},"reason":"shutdown_timeout"}\n`,
  ]).toContain(told.stdout);
  await waitUntil(() => daemon.exitCode !== null, 'the daemon to end', patience);
  expect({ code: daemon.exitCode, hasLog: log.includes('"daemon_shutdown"') }).toEqual({ code: 0, hasLog: true });
  expect(existsSync(join(daemonFolder, 'daemon.pid'))).toBe(false);
  expect(JSON.parse(readFileSync(join(daemonFolder, 'host_fingerprint.json'), 'utf8'))).toMatchObject({
    host_id: expect.stringMatching(/^win32:[0-9a-f-]{36}$/),
  });
});
