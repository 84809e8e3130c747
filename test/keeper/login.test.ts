/** Fault 24 on Linux: the keeper leaves the login it was started from, or the user is warned before it is too late. */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { leaveLogin } from '../../platform/posix/systemd.ts';
import { prepareDaemon, startDaemon } from '../support/daemon.ts';
import { connectTo, start } from '../support/host.ts';
import { isRunning, type ProcessFacts, processFacts, signalProcess, untilEnded } from '../support/processes.ts';
import { keeperOf } from './support/keeper.ts';

function folder(): string {
  const path = mkdtempSync('/tmp/hf-');
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

describe('fault 24: where logind ends the processes of whoever logs out', () => {
  const warned = (files: Record<string, string>): string | undefined => {
    const configuration = folder();
    const linger = join(configuration, 'linger');
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(join(configuration, name, '..'), { recursive: true });
      writeFileSync(join(configuration, name), text);
    }
    return leaveLogin({}, 'me', { configuration, linger }).warning;
  };

  test('the user is told how to keep the sessions', () => {
    expect(warned({ 'logind.conf': '[Login]\nKillUserProcesses=yes\n' })).toContain('loginctl enable-linger me');
    expect(warned({ 'logind.conf.d/50-site.conf': '[Login]\n KillUserProcesses = true\n' })).toBeDefined();
  });

  test('nothing is said to one who lingers, or where it is not so', () => {
    expect(warned({ 'logind.conf': '[Login]\nKillUserProcesses=yes\n', 'linger/me': '' })).toBeUndefined();
    expect(warned({ 'logind.conf': '[Login]\n#KillUserProcesses=yes\n' })).toBeUndefined();
    const overruled = { 'logind.conf': 'KillUserProcesses=yes\n', 'logind.conf.d/1.conf': 'KillUserProcesses=no\n' };
    expect(warned(overruled)).toBeUndefined();
    expect(warned({})).toBeUndefined();
  });
});

test.each([
  ['works', 'shift 5; exec "$@"'],
  ['does not', 'exit 1'],
])(
  'fault 24: where a user manager answers the keeper is started in a scope of its own; also when that %s',
  async (how, script) => {
    const tools = folder();
    const called = join(tools, 'called');
    mkdirSync(join(tools, 'systemd'));
    writeFileSync(join(tools, 'systemd', 'private'), '');
    writeFileSync(join(tools, 'systemd-run'), `#!/bin/sh\necho "$@" >> ${called}\n${script}\n`);
    chmodSync(join(tools, 'systemd-run'), 0o755);
    const env = { PATH: `${tools}:${process.env.PATH}`, XDG_RUNTIME_DIR: tools };
    await using daemon = await prepareDaemon({ flags: ['-durable'], env });
    await daemon.start();
    await using client = await connectTo(daemon);
    await start(client, 'p', 'cat');
    expect(readFileSync(called, 'utf8')).toMatch(/^--user --scope --quiet --collect -- \S+ .*keeper -socket /);
    expect(daemon.log().includes('could not be started outside of the login')).toBe(how === 'does not');
  },
);

test('fault 24: the end of the whole process group of the login, and of the daemon, does not reach the keeper or its sessions', async () => {
  const login = join(folder(), 'login');
  // A session of its own with a shell that waits, as that of ssh does; the daemon is started from it.
  const shell = ['setsid', '--wait', 'sh', '-c', 'sleep 1000 & echo $! >"$0"; exec "$@"', login];
  await using daemon = await startDaemon({ flags: ['-durable'], through: shell });
  await using client = await connectTo(daemon);
  const job = await start(client, 'p', 'cat');
  const keeper = await keeperOf(daemon);
  const child = processFacts(job.session.pid ?? 0) as ProcessFacts;
  const waiting = processFacts(Number(readFileSync(login, 'utf8'))) as ProcessFacts;
  const served = daemon.process();
  const [, , , , group = 0] = readFileSync(`/proc/${waiting.pid}/stat`, 'latin1').split(' ').map(Number);
  process.kill(-group, 'SIGHUP');
  process.kill(-group, 'SIGKILL');
  await untilEnded(waiting);
  expect([served, keeper, child].map(isRunning)).toEqual([true, true, true]);
  signalProcess(served, 'SIGKILL');
  await untilEnded(served);
  expect([keeper, child].map(isRunning)).toEqual([true, true]);
  await daemon.start();
  await using again = await connectTo(daemon);
  expect(await again.request('process.reattach', { id: 'p', fromSeq: 0 })).toMatchObject({
    found: true,
    running: true,
  });
});
