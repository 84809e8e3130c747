/** `holdfast release`: ends sessions and what they have left, and says what came of each (spec operators.md). */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { TestDaemon } from '../support/daemon.ts';
import { isRunning, processFacts, untilEnded } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';
import { spawnLeaver, spawnShell, startHeld, untilEndedSession, verb, verbJson } from './sessions.ts';

test('nothing is done without --yes where nobody can be asked, and each action is told afterwards', async () => {
  await using held = await startHeld();
  const { daemon, host } = held;
  const { session } = await spawnShell(host, 'build', 'echo $$; sleep 3600');
  const refused = await verb(daemon, 'release', 'build');
  expect(refused).toMatchObject({ code: 4, stdout: '' });
  expect(refused.stderr).toMatch(/^holdfast release: end 1 running session: build: not done without --yes/);
  expect(await verbJson(daemon, 'release', 'build', '--dry-run')).toMatchObject([{ id: 'build', result: 'planned' }]);
  expect(await host.sessions()).toMatchObject([{ id: 'build', state: 'running' }]);

  const rows = await verbJson(daemon, 'release', 'build', '--yes');
  const { pid, startTime } = session;
  expect(rows).toMatchObject([{ what: 'session', id: 'build', pid, startTime, action: 'end', result: 'released' }]);
  expect(await host.sessions()).toEqual([]);
});

test('what a session has left goes with --tree only, and nobody else does', async () => {
  await using held = await startHeld({ flags: ['-mark-children'] });
  const { daemon, host } = held;
  const tool = await spawnLeaver(host, 'agent');
  const stubborn = await spawnLeaver(host, 'stubborn', 'trap "" TERM; while :; do sleep 1; done');
  const other = await spawnLeaver(host, 'other');
  const bystander = spawn('sleep', ['3600'], { stdio: 'ignore', detached: true });
  onTestFinished(() => void bystander.kill('SIGKILL'));
  expect((await verb(daemon, 'release', 'agent', '--yes')).code).toBe(0);
  expect(isRunning(tool)).toBe(true);
  const rows = await verbJson(daemon, 'release', 'stubborn', '--tree', '--yes');
  await untilEnded(stubborn);
  expect(rows).toContainEqual(expect.objectContaining({ what: 'stray', pid: stubborn.pid, result: 'killed' }));
  expect([other, processFacts(bystander.pid ?? 0)].map((each) => each !== undefined && isRunning(each))).toEqual([
    true,
    true,
  ]);
});

test('--ended forgets what has ended, --all ends the rest, and then there is nothing: exit code 3', async () => {
  await using held = await startHeld();
  const { daemon, host } = held;
  await spawnShell(host, 'over', 'echo x; exit 0');
  await untilEndedSession(host, 'over');
  await spawnShell(host, 'runs', 'echo x; sleep 3600');
  expect(await verbJson(daemon, 'release', '--ended', '--yes')).toMatchObject([{ id: 'over', action: 'forget' }]);
  expect(await verbJson(daemon, 'release', '--all', '--yes')).toMatchObject([{ id: 'runs', action: 'end' }]);
  expect(await verb(daemon, 'release', '--all', '--yes')).toMatchObject({ code: 3, stdout: '' });
  expect((await verb(daemon, 'release')).code).toBe(2);
  expect((await verb(daemon, 'release', '--all', 'x', '--yes')).code).toBe(2);
});

test('an id that is not there is exit code 5 beside one that is', async () => {
  await using held = await startHeld();
  const { daemon, host } = held;
  await spawnShell(host, 'one', 'echo x; sleep 3600');
  const { code, stderr } = await verb(daemon, 'release', 'one', 'none', '--yes');
  expect({ code, stderr }).toEqual({
    code: 5,
    stderr: 'holdfast release: there is no session none here; holdfast ps --all shows them\n',
  });
});

test('--keeper ends the keeper with its sessions, and a record that names another process is a refusal', async () => {
  await using held = await startHeld({ flags: ['-durable'] });
  const { daemon, host } = held;
  const { firstLine } = await spawnShell(host, 'durable', 'echo $$; sleep 3600');
  const child = processFacts(Number(firstLine));
  const file = join(daemon.runDir, 'keeper.json');
  const record = JSON.parse(readFileSync(file, 'utf8'));
  const keeper = processFacts(record.pid);
  await daemon.kill();
  expect(await verb(daemon, 'release', '--keeper', '--dry-run', '--json')).toMatchObject({ code: 0 });
  writeFileSync(file, JSON.stringify({ ...record, startTime: `${record.startTime}1` }));
  const refused = await verb(daemon, 'release', '--keeper', '--yes');
  expect(refused.code).toBe(4);
  expect(refused.stdout).toContain('refused');
  expect(keeper !== undefined && isRunning(keeper)).toBe(true);
  writeFileSync(file, JSON.stringify(record));
  const released = await verb(daemon, 'release', '--keeper', '--yes', '--json');
  // The daemon that is gone is no part of it.
  expect(released).toMatchObject({ code: 0, stderr: '' });
  expect(JSON.parse(released.stdout)).toContainEqual(
    expect.objectContaining({ what: 'keeper', pid: record.pid, result: 'killed' }),
  );
  for (const each of [keeper, child]) {
    await waitUntil(() => each === undefined || !isRunning(each), 'keeper and child to be gone');
  }
  expect(filesOfKeeper(daemon)).toEqual([]);
});

test('--keeper below a daemon leaves no file of the keeper either, and the next session gets a new one', async () => {
  await using held = await startHeld({ flags: ['-durable'] });
  const { daemon, host } = held;
  await spawnShell(host, 'durable', 'echo $$; sleep 3600');
  const { keeper: before } = await host.describe();
  const rows = await verbJson(daemon, 'release', '--keeper', '--yes');
  expect(rows).toContainEqual(expect.objectContaining({ what: 'keeper', pid: before?.pid, result: 'killed' }));
  await waitUntil(() => filesOfKeeper(daemon).length === 0, 'the files of the keeper to be gone');
  await spawnShell(host, 'next', 'echo $$; sleep 3600');
  const { keeper: after } = await host.describe();
  expect(after?.pid).toBeGreaterThan(0);
  expect(after?.pid).not.toBe(before?.pid);
});

/** Records of children included. */
function filesOfKeeper({ runDir }: TestDaemon): string[] {
  const children = join(runDir, 'children');
  return [
    ...readdirSync(runDir).filter((name) => name.startsWith('keeper.')),
    ...(existsSync(children) ? readdirSync(children) : []),
  ];
}
