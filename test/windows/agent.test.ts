/** The polling door on Windows: sessions in jobs, a state folder of its owner, and an end without signals (spec agent.md). */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, onTestFailed, test } from 'vitest';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import { opened } from '../../platform/win32/handles.ts';
import { currentUser, describeSecurity } from '../../platform/win32/security.ts';
import { connect } from '../../src/client/index.ts';
import { instructionLogContract } from '../doors/agent/instruction-log.contract.ts';
import { StandInServer } from '../doors/agent/stand-in-server.ts';
import { removeFolder } from '../support/remove-folder.ts';
import { waitUntil } from '../support/wait.ts';
import { cleanEnvironment, platform, runHoldfast, runProgram } from './daemon.ts';

const fixture = (name: string) => fileURLToPath(new URL(`./fixtures/${name}.ts`, import.meta.url));
const nodeOptions = ['--disable-warning=ExperimentalWarning'];
/** Each start is a Node under Wine, and an agent starts a daemon, which starts a keeper. */
const patience = { timeoutMs: 120_000 } as const;
const slow = { timeout: 360_000 } as const;

const { processes } = platform;
const isThere = (pid: number): boolean => processes.identify(pid) !== undefined;

function terminate(pid: number): void {
  const identity = processes.identify(pid);
  if (identity !== undefined) {
    processes.signalIfSame(identity, 'KILL');
  }
}

const folder = mkdtempSync(join(tmpdir(), 'hfa-'));
const work = join(folder, 'work');
const stateDir = join(folder, 'state');
const env: NodeJS.ProcessEnv = { ...cleanEnvironment(join(folder, 'home')), AGENT_TOKEN: 'agt_windows_canary' };
let server: StandInServer;
let agent: ChildProcess;
let log = '';

function launch(): void {
  agent = spawn(process.execPath, [...nodeOptions, fixture('agent-with-a-console'), 'agent'], {
    ...{ cwd: work, env, windowsHide: true },
    // In no job of this process, so that what it starts can outlive it as it does at a user's.
    detached: true,
  });
  const note = (text: Buffer): void => {
    log += text.toString();
  };
  agent.stdout?.on('data', note);
  agent.stderr?.on('data', note);
}

function daemonLog(): string {
  try {
    return readFileSync(join(stateDir, 'run', 'remote-server.log'), 'utf8');
  } catch (error) {
    return String(error);
  }
}

async function online(): Promise<void> {
  const before = server.statuses.length;
  const hasCome = (): boolean => {
    if (agent.exitCode !== null) {
      throw new Error(`the agent ended with ${agent.exitCode}\n${log}`);
    }
    return server.statuses.length > before;
  };
  await waitUntil(hasCome, 'the agent to be online', patience).catch((error: Error) => {
    throw new Error(`${error.message}\n${log}\n${daemonLog()}`);
  });
}

const acknowledged = (id: string) =>
  waitUntil(() => server.acknowledged(id).find(({ result }) => result !== 'queued'), `${id} to be done`, patience);
const output = (id: string, part: string | RegExp) =>
  waitUntil(() => new RegExp(part).exec(server.session(id).text()) ?? undefined, `${part} of ${id}`, patience);
const exit = (id: string) => waitUntil(() => server.session(id).exit, `the exit chunk of ${id}`, patience);

function pidOf(id: string): Promise<number> {
  return waitUntil(
    () => {
      const pid = server.statuses.at(-1)?.sessions.find(({ sessionId }) => sessionId === id)?.pid;
      return typeof pid === 'number' ? pid : undefined;
    },
    `the pid of ${id}`,
    patience,
  );
}

/** Pids of the host daemon and its keeper, as far as there are any. */
async function ownPids(): Promise<number[]> {
  try {
    await using host = await connect({ socket: join(stateDir, 'run', 'rpc.sock') });
    const { pid, keeper } = await host.describe();
    return [pid, ...(keeper === undefined ? [] : [keeper.pid])];
  } catch (error) {
    console.error(error);
    return [];
  }
}

beforeAll(async () => {
  mkdirSync(work);
  mkdirSync(join(folder, 'home'));
  server = await StandInServer.start({ token: 'agt_windows_canary' });
  const settings = {
    ...{ serverUrl: server.url, stateDir, pollInterval: 100, outputFlushInterval: 20, inputFormat: 'text' },
    ...{ claudeCommand: process.execPath, claudeArgs: [...nodeOptions, fixture('agent-cli-stand-in')] },
  };
  writeFileSync(join(work, 'config.json'), JSON.stringify(settings));
  launch();
  await online();
}, 240_000);

afterAll(async () => {
  const pids = await ownPids();
  terminate(agent.pid ?? 0);
  pids.map(terminate);
  for (const pid of [agent.pid ?? 0, ...pids]) {
    await waitUntil(() => !isThere(pid), `process ${pid} to end`, patience);
  }
  await server[Symbol.asyncDispose]();
  await removeFolder(folder);
}, 240_000);

describe('what became of instructions', instructionLogContract);

const order = (id: string, type: string, sessionId: string, payload?: object): void =>
  server.order(id, type, sessionId, payload);

test(
  'a session is started and typed into, and its last words after the end of its input come; 14: what it started is gone',
  slow,
  async () => {
    onTestFailed(() => console.error(log));
    order('a1', 'start_session', 'a', { args: ['a b', '"quoted"'], prompt: 'first' });
    expect(await acknowledged('a1')).toMatchObject({ result: 'done', error: null });
    order('a2', 'command', 'a', { command: 'grandchild' });
    order('a3', 'command', 'a', { command: 'variables' });
    const [, grandchild] = await output('a', /grandchild=(\d+)\n/);
    const [, variables = ''] = await output('a', /variables (.*) end\n/);
    expect(isThere(Number(grandchild))).toBe(true);
    expect(variables).not.toMatch(/AGENT_TOKEN|SERVER_URL/i);
    const pid = await pidOf('a');
    order('a4', 'terminate_session', 'a', { gracePeriod: 30_000 });
    expect(await acknowledged('a4')).toMatchObject({ result: 'done' });
    expect([isThere(pid), isThere(Number(grandchild))]).toEqual([false, false]);
    expect(await exit('a')).toMatchObject({ exitCode: 0, signal: null });
    expect(server.session('a').text()).toBe(
      `ready a b "quoted"\ngot: first\ngrandchild=${grandchild}\nvariables ${variables} end\ngoodbye\n`,
    );
    expect(server.refusals).toEqual([]);
  },
);

test(
  '14: a session that does not heed the end of its input is ended after the grace, with what it started',
  slow,
  async () => {
    order('b1', 'start_session', 'b', { prompt: 'stay' });
    order('b2', 'command', 'b', { command: 'grandchild' });
    const [, grandchild] = await output('b', /grandchild=(\d+)\n/);
    order('b3', 'terminate_session', 'b', { gracePeriod: 200 });
    expect(await acknowledged('b3')).toMatchObject({ result: 'done' });
    expect(isThere(Number(grandchild))).toBe(false);
    expect(await exit('b')).toMatchObject({ exitCode: 1 });
  },
);

test(
  '17: variables that load code are refused in any spelling, and a folder outside the allowed roots is',
  slow,
  async () => {
    for (const [at, payload] of [
      { env: { Node_Options: '-v' } },
      { env: { agent_token: 'x' } },
      { cwd: 'C:\\' },
    ].entries()) {
      order(`c${at}`, 'start_session', `c${at}`, payload);
      expect(await acknowledged(`c${at}`)).toMatchObject({
        result: 'failed',
        error: { code: at < 2 ? 'bad_env' : 'cwd_not_allowed' },
      });
    }
  },
);

test('bin\\claudios-agent.cmd is the same program', async () => {
  const script = fileURLToPath(new URL('../../bin/claudios-agent.cmd', import.meta.url));
  const { code, stdout } = await runProgram(process.env.ComSpec ?? 'cmd.exe', ['/d', '/c', script, '--version'], {
    env,
  });
  expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\r?\n$/) });
});

test('the state folder and that of its daemon are for their owner only, and so is whatever is made in them', () => {
  // The system and the administrators can read the memory of every process anyway.
  const trusted = [currentUser(), 'SY', 'BA'];
  for (const path of [stateDir, join(stateDir, 'run')]) {
    const how = kernel32.FILE_FLAG_BACKUP_SEMANTICS;
    const everybody = kernel32.FILE_SHARE_READ | kernel32.FILE_SHARE_WRITE | kernel32.FILE_SHARE_DELETE;
    const handle = opened(
      kernel32.CreateFileW(path, kernel32.READ_CONTROL, everybody, null, kernel32.OPEN_EXISTING, how, null),
      path,
    );
    const entries = describeSecurity(handle, 'file').match(/\([^)]*\)/g) ?? [];
    kernel32.CloseHandle(handle);
    expect(entries).not.toEqual([]);
    for (const entry of entries) {
      // Wine does not hand the entries on to new files; `OICI` is what makes Windows do so.
      expect(entry).toMatch(/^\(A;OICI;/);
      expect([entry, trusted.some((each) => entry.endsWith(`;;;${each})`))]).toEqual([entry, true]);
    }
  }
});

test(
  'an agent that is terminated leaves its sessions; the next goes on with them, and a second one beside it is refused',
  slow,
  async () => {
    onTestFailed(() => console.error(log));
    order('d1', 'start_session', 'd');
    await output('d', 'ready');
    const pid = await pidOf('d');
    terminate(agent.pid ?? 0);
    await waitUntil(() => agent.exitCode !== null, 'the agent to end', patience);
    order('d2', 'command', 'd', { command: 'meanwhile' });
    launch();
    await online();
    await output('d', 'got: meanwhile\n');
    expect(await pidOf('d')).toBe(pid);
    expect(server.session('d').text()).toBe('ready \ngot: meanwhile\n');
    const second = await runHoldfast(['agent'], { env, cwd: work });
    expect(second).toMatchObject({
      code: 1,
      stderr: `[ERROR] Another agent is using ${stateDir} (pid ${agent.pid})\n`,
    });
  },
);

test('13: Ctrl+C ends every session, tells the server, and ends with 0', slow, async () => {
  onTestFailed(() => console.error(log));
  order('e1', 'start_session', 'e', { prompt: 'stay' });
  await output('e', 'staying');
  const pids = [await pidOf('d'), await pidOf('e')];
  agent.stdin?.write('\n');
  await waitUntil(() => agent.exitCode !== null, 'the agent to end', patience);
  expect(agent.exitCode).toBe(0);
  expect(pids.map(isThere)).toEqual([false, false]);
  expect(server.session('d').text()).toBe('ready \ngot: meanwhile\ngoodbye\n');
  expect(await exit('e')).toMatchObject({ exitCode: 1 });
  expect(server.statuses.at(-1)?.status).toBe('offline');
  expect(log).toContain('[INFO] Agent stopped\n');
  expect(log).not.toContain('agt_windows_canary');
});
