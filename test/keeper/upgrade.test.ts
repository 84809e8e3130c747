/** Fault 5: the daemon is replaced by one of another release, and the sessions go on (spec durable.md §5). */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { WatchedRun } from '../faults/support/watched-run.ts';
import { prepareDaemon, startDaemon } from '../support/daemon.ts';
import { fixture } from '../support/fixtures.ts';
import { program } from '../support/holdfast.ts';
import { isRunning, untilEnded } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';
import { connectRaw, type RawConnection } from '../tools/raw-connection.ts';
import { keeperOf, readRecord } from './support/keeper.ts';
import { makeRelease } from './support/release.ts';

const flags = ['-durable'];

test('fault 5: under load sessions go from one release to the next and back, and lose nothing', {
  timeout: 120_000,
}, async () => {
  await using daemon = await startDaemon({ flags, profile: 'next' });
  const older = makeRelease(join(daemon.dir, 'older'), { version: '0.0.9', channel: [1, 1] });
  const newer = makeRelease(join(daemon.dir, 'newer'), { version: '9.9.9', channel: [2, 3] });
  using run = new WatchedRun(daemon.dir);
  let client: RawConnection = await connectRaw(daemon, { name: 'c0', observer: run.observer });
  const chatter = ['--ms', '15000', '--code', '3', '--seed', 'chat', ...run.child('chat')];
  await client.spawn('chat', ...fixture('chatter.ts', ...chatter));
  await client.spawn('echo', ...fixture('echo-lines.ts', ...run.child('echo')));
  let sent = 0;
  const versions: string[] = [];
  for (const [index, each] of [newer, older, program, newer].entries()) {
    const line = Buffer.from(`line ${index}\n`);
    client.post('process.stdin', { id: 'echo', data: line.toString('base64'), offset: sent });
    daemon.program = each;
    await daemon.start();
    await waitUntil(() => client.ended, 'the end of the connection to the old daemon');
    client = await connectRaw(daemon, { name: `c${index + 1}`, observer: run.observer, continues: client });
    const { version, keeper } = await client.call('holdfast.describe');
    versions.push(`${version} ${keeper.version} ${keeper.channel}`);
    await client.reattach('echo');
    await client.reattach('chat');
    expect((await client.stdin('echo', line, sent)).error).toBeUndefined();
    sent += line.length;
    await client.waitFor(() => client.stream('echo').bytes.stdout === sent, 'the echo');
  }
  const own = readRecord(daemon).version;
  expect(versions).toEqual([`9.9.9 ${own} 2`, `0.0.9 ${own} 1`, `${own} ${own} 2`, `9.9.9 ${own} 2`]);
  expect(await client.exitOf('chat')).toMatchObject({ exitCode: 3 });
  await client.kill('echo');
  await client.exitOf('echo');
  await client.close();
  run.completeWithInput('chat', 'echo');
  run.verify();
  expect(daemon.daemons()).toHaveLength(1);
});

test('fault 5: the keeper of an older release ends with its last session, and the next spawn gets one of the new release', async () => {
  await using daemon = await startDaemon({ flags });
  const first = await connectRaw(daemon);
  await first.spawn('p', 'cat');
  const old = await keeperOf(daemon);
  daemon.program = makeRelease(join(daemon.dir, 'newer'), { version: '9.9.9', channel: [2, 3] });
  await daemon.start();
  await using client = await connectRaw(daemon);
  expect(await client.reattach('p', 0)).toMatchObject({ found: true, running: true });
  await client.call('holdfast.release', { id: 'p' });
  await untilEnded(old);
  await client.spawn('q', 'cat');
  expect((await client.call('holdfast.describe')).keeper).toMatchObject({ version: '9.9.9', channel: 3 });
  expect((await keeperOf(daemon)).pid).not.toBe(old.pid);
});

test('fault 5: a keeper needs no file of its release once it runs', async () => {
  await using daemon = await prepareDaemon({ flags });
  const tree = join(daemon.dir, 'gone');
  daemon.program = makeRelease(tree, { version: '0.0.1', channel: [1, 1] });
  await daemon.start();
  const first = await connectRaw(daemon);
  await first.spawn('p', 'cat');
  rmSync(tree, { recursive: true });
  await daemon.kill();
  daemon.program = program;
  await daemon.start();
  await using client = await connectRaw(daemon);
  await client.reattach('p', 0);
  await client.stdin('p', 'goes on\n');
  await client.untilOutput('p', 'goes on');
  await client.spawn('q', 'sh', ['-c', 'echo starts']);
  await client.untilOutput('q', 'starts');
  expect((await client.call('holdfast.describe')).keeper).toMatchObject({ version: '0.0.1' });
  await client.call('process.killAndWait', { id: 'p' });
});

test('fault 5: a keeper that speaks no common version is left alone, and clients are told what to run', async () => {
  await using daemon = await prepareDaemon({ flags });
  daemon.program = makeRelease(join(daemon.dir, 'newest'), { version: '12.0.0', channel: [7, 8] });
  await daemon.start();
  const first = await connectRaw(daemon);
  await first.spawn('p', 'cat');
  const keeper = await keeperOf(daemon);
  daemon.program = program;
  await daemon.start();
  await using client = await connectRaw(daemon);
  expect((await client.request('process.spawn', { id: 'q', command: 'cat' })).error).toEqual({
    code: -32603,
    message: expect.stringMatching(
      /^session keeper unreachable: too new: version 12\.0\.0 speaks channel 7\.\.8, this daemon \d+\.\.\d+; sessions stay with it; run holdfast 12\.0\.0 or holdfast release --keeper/,
    ),
  });
  expect((await client.request('server.ping')).result).toEqual({ pong: true });
  expect(isRunning(keeper)).toBe(true);
  expect(daemon.log()).toMatch(/WARN {2}\[keeper\] too new: version 12\.0\.0/);
  daemon.program = join(daemon.dir, 'newest', 'bin/holdfast');
  await daemon.start();
  await using again = await connectRaw(daemon);
  expect(await again.reattach('p', 0)).toMatchObject({ found: true, running: true });
});
