/** One look at all processes of the host (platform/process-list.ts), held against what single looks say. */
import { spawn, spawnSync } from 'node:child_process';
import { describe, expect, onTestFinished, test } from 'vitest';
import { loadClientPlatform, loadPlatform } from '../../platform/load.ts';
import { psRows } from '../../platform/posix/process-list.ts';
import type { ListedProcess } from '../../platform/process-list.ts';
import { waitUntil } from '../support/wait.ts';

const list = await (await loadClientPlatform()).processList();
const { processes } = await loadPlatform();
const find = (pid: number): ListedProcess | undefined => list.all().find(({ identity }) => identity.pid === pid);

test('it says of each process who it is, as the adapter does', () => {
  const own = find(process.pid);
  expect(own?.identity).toEqual(processes.self());
  expect(own?.startSeconds).toBe(processes.ownStartSeconds());
  expect(own?.parent).toBe(process.ppid);
  expect(own?.words()).toEqual(processes.commandLine(process.pid));
  expect(own?.memoryBytes).toBeGreaterThan(10_000_000);
  expect(own?.cpuSeconds).toBeGreaterThan(0);
});

test.skipIf(process.platform !== 'linux')(
  'it reads variables, words and groups of others, and names no zombie',
  async () => {
    const env = { PATH: process.env.PATH, FIRST: '1', NAME: 'ünï', LAST: 'x=y' };
    const child = spawn('sh', ['-c', 'sleep 3600 & exec sleep 3600'], { env, stdio: 'ignore', detached: true });
    const pid = child.pid ?? 0;
    onTestFinished(() => void process.kill(-pid, 'SIGKILL'));
    const found = await waitUntil(() => {
      const each = find(pid);
      return each?.words()[0] === 'sleep' ? each : undefined;
    }, 'the program');
    expect(found.group).toBe(pid);
    expect(found.user).toBe(process.geteuid?.());
    expect(['FIRST', 'NAME', 'LAST', 'NAM', 'IRST'].map((name) => found.variable(name))).toEqual([
      ...['1', 'ünï', 'x=y', undefined, undefined],
    ]);
    const [other] = list.all().filter(({ parent }) => parent === pid);
    expect(other?.group).toBe(pid);
    // Nobody collects it: the program does not know of the child that its shell has started.
    process.kill(other?.identity.pid ?? 0, 'SIGKILL');
    await waitUntil(() => find(other?.identity.pid ?? 0) === undefined, 'the zombie to be left out');
  },
);

test.skipIf(process.platform !== 'linux')('its memory and CPU time are those that ps tells', async () => {
  const child = spawn(
    process.execPath,
    ['-e', 'while (process.cpuUsage().user < 400_000); setInterval(() => {}, 1000)'],
    {
      stdio: 'ignore',
    },
  );
  onTestFinished(() => void child.kill('SIGKILL'));
  const pid = child.pid ?? 0;
  await waitUntil(() => (find(pid)?.cpuSeconds ?? 0) > 0.2, 'it to have worked');
  const { stdout } = spawnSync('ps', ['-o', 'rss=,ppid=', '-p', String(pid)], { encoding: 'utf8' });
  const [rss, parent] = stdout.trim().split(/\s+/).map(Number);
  const found = find(pid);
  expect(found?.parent).toBe(parent);
  expect((found?.memoryBytes ?? 0) / 1024 / (rss ?? 1)).toBeGreaterThan(0.5);
  expect((found?.memoryBytes ?? 0) / 1024 / (rss ?? 1)).toBeLessThan(2);
});

describe('what macOS prints', () => {
  test('is read column by column, whatever the name of a program holds', () => {
    const table = [
      '    1     0     1     0   9876   1:02.50 /sbin/launchd',
      '  501     1   501   501 123456  10:00:01.25 /Applications/My App.app/Contents/MacOS/My App',
      '  777   501   501   501      0 2-01:00:00.00 (zombie)',
      'garbage',
    ].join('\n');
    expect(psRows(table)).toEqual([
      { pid: 1, parent: 0, group: 1, user: 0, memoryBytes: 9876 * 1024, cpuSeconds: 62.5, name: '/sbin/launchd' },
      {
        ...{ pid: 501, parent: 1, group: 501, user: 501, memoryBytes: 123456 * 1024, cpuSeconds: 36001.25 },
        name: '/Applications/My App.app/Contents/MacOS/My App',
      },
      { pid: 777, parent: 501, group: 501, user: 501, memoryBytes: 0, cpuSeconds: 176400, name: '(zombie)' },
    ]);
  });
});
