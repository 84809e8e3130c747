/**
 * A host with a policy in the system folder, and the real agent CLI (spec generation-n2.md §3.2). The folder is made in a mount
 * namespace of the test's own, over a copy of /etc, so that the machine's own policy is neither seen nor touched.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import type { Host } from '../../../src/client/index.ts';
import { runProgram } from '../../modes/run-program.ts';
import { startDaemon } from '../../support/daemon.ts';
import { program } from '../../support/holdfast.ts';
import { connectTo, type Followed, start } from '../../support/host.ts';
import { linux, privateMounts, testNeeding } from '../../support/needs.ts';
import { processFacts } from '../../support/processes.ts';
import { waitUntil } from '../../support/wait.ts';
import { fetchAgentCli } from '../agent-cli.ts';
import { PolicyFolder } from './policy-folder.ts';

const testOnManagedHost = testNeeding(linux, privateMounts());
const systemFolder = '/etc/claude-code';

let folder: string;
let cli: string;
/** A copy of the machine's /etc with a folder for the policy. */
let etc: string;
let launcher: string;

// Not skipped when the package cannot be had: the message says why, and the tests fail.
beforeAll(async () => {
  folder = mkdtempSync('/tmp/hf-');
  chmodSync(folder, 0o755);
  cli = await fetchAgentCli(folder);
  etc = join(folder, 'etc');
  execFileSync('cp', ['-a', '/etc', etc]);
  rmSync(join(etc, 'claude-code'), { recursive: true, force: true });
  mkdirSync(join(etc, 'claude-code'));
  launcher = join(folder, 'run');
  // Stays in front of the CLI, as a launcher that keeps an account of it does.
  writeFileSync(launcher, '#!/bin/sh\ntrap "echo launcher ends >&2; kill $cli" TERM\n"$@" <&0 &\ncli=$!\nwait $cli\n');
  chmodSync(launcher, 0o755);
}, 120_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const onManagedHost = (): string[] => [
  ...['unshare', '--mount', '--propagation', 'private'],
  ...['sh', '-c', `mount --bind ${etc} /etc && exec "$@"`, 'sh'],
];

function put(content: string | object): void {
  const text = typeof content === 'string' ? content : JSON.stringify(content);
  writeFileSync(join(etc, 'claude-code/managed-settings.json'), text);
}

/** As a client does: it asks, and starts the CLI the way the answer says, or not at all. */
async function startCli(client: Host, id: string, args: readonly string[]): Promise<Followed> {
  const found = await client.request('launcher.resolve', { cliPath: cli });
  if (found.status === 'unusable' || found.status === 'unreadable') {
    throw new Error(`${found.status === 'unusable' ? found.source : found.path}: ${found.reason}`);
  }
  const more = found.status === 'usable' ? { launcher: found.argv } : {};
  return start(client, id, cli, args, more);
}

const words = (pid: number): string[] => readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);

testOnManagedHost(
  'the agent CLI runs below the launcher that the policy of the host names: pid and signals are the launcher’s',
  {},
  async () => {
    put({ processWrapper: launcher });
    await using daemon = await startDaemon({ profile: 'latest', through: onManagedHost() });
    await using client = await connectTo(daemon);
    expect(await client.request('launcher.resolve', { cliPath: cli })).toEqual({
      status: 'usable',
      argv: [launcher],
      source: `${systemFolder}/managed-settings.json`,
    });

    const version = await startCli(client, 'version', ['--version']);
    expect(await version.ended()).toMatchObject({ code: 0 });
    expect(version.stdout).toMatch(/^\d+\.\d+\.\d+ \(Claude Code\)\n$/);

    // The CLI waits for a message, so it is there to be looked at.
    const args = ['--print', '--input-format', 'stream-json', '--output-format', 'stream-json', '--verbose'];
    const session = await startCli(client, 'session', args);
    const { pid } = session;
    await waitUntil(() => words(pid).includes(launcher) && childrenOf(pid).length > 0, 'the launcher with its child');
    const [child = 0] = childrenOf(pid);
    await waitUntil(() => words(child)[0] === cli, 'the CLI below it');
    expect(words(child)).toEqual([cli, ...args]);

    await session.kill('SIGTERM');
    await session.ended();
    expect(session.stderr).toContain('launcher ends');
    await waitUntil(() => (processFacts(child)?.state ?? 'Z') === 'Z', 'the CLI to end');
  },
);

testOnManagedHost(
  'a policy that cannot be read stops the start with its reason, and so does one without use',
  {},
  async () => {
    put('{ "processWrapper": ');
    await using daemon = await startDaemon({ profile: 'latest', through: onManagedHost() });
    await using client = await connectTo(daemon);
    const source = `${systemFolder}/managed-settings.json`;
    await expect(startCli(client, 'p', ['--version'])).rejects.toThrow(`${source}: not valid JSON`);
    await expect(startCli(client, 'p', ['--version'])).rejects.toThrow();
    put({ processWrapper: '/nowhere/run' });
    const reason = 'launcher `/nowhere/run` does not exist or is not an executable regular file';
    await expect(startCli(client, 'p', ['--version'])).rejects.toThrow(`${source}: ${reason}`);
    expect(daemon.log()).not.toContain('Process p started');
    // Told once for each reason, however often somebody asks.
    const told = daemon
      .log()
      .split('\n')
      .filter((line) => line.includes('[LauncherHandler]'));
    expect(told.map((line) => line.replace(/^.*WARN {2}/, ''))).toEqual([
      `[LauncherHandler] managed settings unreadable: ${source}: not valid JSON`,
      `[LauncherHandler] managed launcher from ${source} refused: ${reason}`,
    ]);

    put('{}');
    await startCli(client, 'p', ['--version']);
    put({ processWrapper: '/nowhere/run' });
    await expect(startCli(client, 'q', ['--version'])).rejects.toThrow(reason);
    expect(daemon.log().split(reason)).toHaveLength(3);
  },
);

testOnManagedHost('the environment does not switch the policy of the host off', {}, async () => {
  put({ processWrapper: launcher });
  const other = new PolicyFolder();
  const env = { CLAUDE_SSH_E2E_MANAGED_SETTINGS_DIR: other.path, CLAUDE_SSH_MANAGED_LAUNCHER: '1' };
  await using daemon = await startDaemon({ profile: 'latest', through: onManagedHost(), env });
  await using client = await connectTo(daemon);
  for (let asked = 0; asked < 2; asked++) {
    expect(await client.request('launcher.resolve', { cliPath: cli })).toMatchObject({
      status: 'usable',
      argv: [launcher],
    });
  }
  const line = `[launcher] CLAUDE_SSH_E2E_MANAGED_SETTINGS_DIR ignored: ${systemFolder} holds this host's policy`;
  expect(daemon.log().split(line)).toHaveLength(2);

  // The same for whoever asks without a daemon.
  const [first = '', ...rest] = [...onManagedHost(), program, '-wire-profile', 'latest', '-probe-cli', cli];
  const probe = () => runProgram(first, rest, { env: daemon.env, cwd: daemon.home });
  expect(await probe()).toMatchObject({ code: 0, stdout: '', stderr: '' });
  put('[]');
  expect(await probe()).toMatchObject({
    code: 0,
    stdout: '__CLI_LAUNCHER__\n',
    stderr: `claude-ssh: ${cli} was not run: managed settings unreadable: ${systemFolder}/managed-settings.json: not a JSON object\n`,
  });
});

testOnManagedHost(
  'an administrator sees with holdfast doctor which launcher is in force, and why one is not',
  {},
  async () => {
    await using daemon = await startDaemon({ profile: 'latest', through: onManagedHost() });
    const env = { ...daemon.env, CLAUDE_SSH_E2E_MANAGED_SETTINGS_DIR: new PolicyFolder().path };
    const lookAt = async (content: string | object) => {
      put(content);
      const [first = '', ...rest] = [...onManagedHost(), program, 'doctor', '--json', '--socket', daemon.socket];
      const { stdout } = await runProgram(first, rest, { env, cwd: daemon.home });
      const rows = JSON.parse(stdout) as { readonly check: string; readonly state: string; readonly seen: string }[];
      return rows.find(({ check }) => check === 'launcher');
    };
    const source = `${systemFolder}/managed-settings.json`;
    expect(await lookAt({ processWrapper: `${launcher} --account x` })).toMatchObject({
      state: 'ok',
      seen: `${launcher} --account x of ${source} is in force, and clients of profile latest start the CLI through it`,
    });
    expect(await lookAt({})).toMatchObject({ state: 'ok', seen: expect.stringMatching(/^no policy in .* names one/) });
    expect(await lookAt('[]')).toMatchObject({ state: 'bad', seen: `${source}: not a JSON object; no CLI is started` });
    expect(await lookAt({ processWrapper: 'run' })).toMatchObject({
      state: 'bad',
      seen: `${source}: the launcher must be an absolute path, not a bare name resolved via PATH; no CLI is started`,
    });
  },
);
