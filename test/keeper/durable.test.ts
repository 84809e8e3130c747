/** What a user has of `-durable` (spec durable.md §2, §3, §6), with real daemons, keepers and children. */
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { byLength, limitMs } from '../faults/support/length.ts';
import { startDaemon } from '../support/daemon.ts';
import { isRunning, processFacts, signalProcess, untilEnded } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';
import { connectRaw } from '../tools/raw-connection.ts';
import { keeperOf } from './support/keeper.ts';

const profiles = ['S', 'current', 'next'] as const;
const flags = ['-durable'];
/** Numbers, one a line. */
const counting = ['-c', 'i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done'];

function numbers(text: string): number[] {
  return text.trimEnd().split('\n').map(Number);
}

test.each(profiles)(
  'fault 3: profile %s: a daemon killed with SIGKILL costs nothing: same process, every byte once',
  async (profile) => {
    await using daemon = await startDaemon({ profile, flags });
    const first = await connectRaw(daemon);
    const spawned = await first.spawn('p', 'sh', counting, { wantPid: true });
    await first.untilOutput('p', '\n20\n');
    await daemon.kill();
    await daemon.start();
    await using second = await connectRaw(daemon, { continues: first });
    const attached = await second.call('process.reattach', {
      id: 'p',
      fromSeq: first.stream('p').lastSeq,
      wantPid: true,
    });
    expect(attached).toMatchObject({ found: true, running: true, pid: spawned.pid, startTime: spawned.startTime });
    await second.untilOutput('p', '\n200\n');
    const seen = numbers(second.stream('p').text());
    expect(seen).toEqual(seen.map((_, index) => index + 1));
    expect(second.stream('p').lastSeq).toBe(second.stream('p').count);
    expect(await second.call('process.killAndWait', { id: 'p' })).toMatchObject({ died: true });
  },
);

test.each(profiles)(
  'fault 3: profile %s: input is taken once also when the reply was lost with the daemon',
  async (profile) => {
    await using daemon = await startDaemon({ profile, flags });
    const first = await connectRaw(daemon);
    await first.spawn('p', 'sh', ['-c', 'cat; echo end']);
    expect((await first.stdin('p', 'one\n', 0)).result).toEqual({ success: true, applied: 4 });
    await first.untilOutput('p', 'one');
    await daemon.kill();
    await daemon.start();
    await using second = await connectRaw(daemon, { continues: first });
    expect(await second.reattach('p')).toMatchObject({ found: true, stdinApplied: 4 });
    expect((await second.stdin('p', 'one\n', 0)).result).toEqual({ success: true, applied: 4, duplicate: true });
    expect((await second.stdin('p', 'e\ntwo\n', 2)).result).toEqual({ success: true, applied: 8 });
    await second.call('holdfast.closeStdin', { id: 'p', offset: 8 });
    await second.exitOf('p');
    expect(second.stream('p').text()).toBe('one\ntwo\nend\n');
  },
);

test.each(['stop', 'SIGTERM', 'a second start'] as const)('%s detaches: the sessions go on', async (how) => {
  await using daemon = await startDaemon({ flags });
  const first = await connectRaw(daemon);
  const { pid } = await first.spawn('p', 'sh', counting, { wantPid: true });
  await first.untilOutput('p', '5\n');
  if (how === 'stop') {
    await daemon.stop();
    await daemon.start();
  } else if (how === 'SIGTERM') {
    await daemon.kill('SIGTERM');
    await daemon.start();
  } else {
    await daemon.start();
  }
  expect(daemon.daemons()).toHaveLength(1);
  await using second = await connectRaw(daemon, { continues: first });
  expect(await second.call('process.reattach', { id: 'p', fromSeq: 0, wantPid: true })).toMatchObject({
    found: true,
    pid,
  });
  await second.call('process.killAndWait', { id: 'p' });
  expect(daemon.log()).toMatch(/\[keeper\] adopted pid \d+ \(version \S+, channel \d+\): 1 running, 0 ended sessions/);
});

test('a child that ends while no daemon lives is collected at once, and its exit frame waits', async () => {
  await using daemon = await startDaemon({ flags });
  const first = await connectRaw(daemon);
  const { pid } = await first.spawn('p', 'sh', ['-c', 'read line; echo "$line"; exit 7'], { wantPid: true });
  const child = processFacts(pid);
  await first.stdin('p', '', 0);
  // Answered by the daemon that is killed right after.
  first.post('process.stdin', { id: 'p', data: Buffer.from('go\n').toString('base64'), offset: 0 });
  await first.untilOutput('p', 'go');
  await daemon.kill();
  await untilEnded(child as NonNullable<typeof child>);
  expect(processFacts(pid)).toBeUndefined();
  await daemon.start();
  await using second = await connectRaw(daemon);
  expect(await second.reattach('p', 0)).toMatchObject({ found: true, running: false, lastSeq: 2 });
  expect(await second.exitOf('p')).toMatchObject({ exitCode: 7 });
});

test('signals that end daemons by mistake do not reach sessions', async () => {
  await using daemon = await startDaemon({ flags });
  await using client = await connectRaw(daemon);
  await client.spawn('p', 'cat');
  const keeper = await keeperOf(daemon);
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT'] as const) {
    signalProcess(keeper, signal);
  }
  await client.stdin('p', 'still here\n');
  await client.untilOutput('p', 'still here');
  expect(isRunning(keeper)).toBe(true);
});

test('the keeper ends with its last session when there is no daemon, and leaves nothing', async () => {
  await using daemon = await startDaemon({ flags });
  const client = await connectRaw(daemon);
  await client.spawn('p', 'sh', ['-c', 'read line']);
  const keeper = await keeperOf(daemon);
  await daemon.stop();
  expect(isRunning(keeper)).toBe(true);
  await daemon.start();
  await using second = await connectRaw(daemon);
  await second.call('holdfast.release', { id: 'p' });
  await daemon.stop();
  await untilEnded(keeper);
  expect(readdirSync(daemon.runDir).filter((name) => name.startsWith('keeper'))).toEqual([]);
});

test('fault 4: a keeper that is killed ends every session visibly, and the next spawn works', async () => {
  await using daemon = await startDaemon({ flags });
  await using client = await connectRaw(daemon);
  const { pid } = await client.spawn('p', 'sh', counting, { wantPid: true });
  const stubborn = await client.spawn('q', 'sh', ['-c', 'trap "" PIPE TERM; while :; do sleep 0.1; done'], {
    wantPid: true,
  });
  await client.untilOutput('p', '5\n');
  await using looker = await connectRaw(daemon);
  await looker.call('holdfast.watch');
  const children = [processFacts(pid), processFacts(stubborn.pid)];
  const keeper = await keeperOf(daemon);
  signalProcess(keeper, 'SIGKILL');
  const exits = await Promise.all(['p', 'q'].map((id) => client.exitOf(id)));
  expect(exits.map(({ exitCode }) => exitCode)).toEqual([-1, -1]);
  expect(client.stream('p').count).toBe(client.stream('p').lastSeq);
  for (const child of children) {
    await untilEnded(child as NonNullable<typeof child>);
  }
  expect(daemon.log()).toMatch(
    new RegExp(`\\[keeper\\] pid ${keeper.pid} has died \\(signal: killed\\): its 2 session\\(s\\) end`),
  );
  expect(await client.reattach('q', 0)).toMatchObject({ found: true, running: false });
  expect(looker.lines.filter((line) => line.includes('"event":"exited"'))).toHaveLength(2);
  await client.spawn('r', 'sh', ['-c', 'echo works']);
  await client.untilOutput('r', 'works');
  expect((await client.call('holdfast.sessions')).sessions).toHaveLength(3);
});

test('fault 4: of a keeper that could write no records of its children no process is left either', async () => {
  await using daemon = await startDaemon({ flags });
  // In the place of their folder; a full disk does the same.
  writeFileSync(join(daemon.runDir, 'children'), '');
  await using client = await connectRaw(daemon);
  const { pid } = await client.spawn('p', 'sleep', ['600'], { wantPid: true });
  const child = processFacts(pid);
  expect(daemon.log()).toContain('children is not a directory; recording nothing');
  signalProcess(await keeperOf(daemon), 'SIGKILL');
  expect(await client.exitOf('p')).toMatchObject({ exitCode: -1 });
  await untilEnded(child as NonNullable<typeof child>);
  await waitUntil(
    () => /1 children of pid \d+ that had survived it were ended/.test(daemon.log()),
    'the line about it',
  );
  expect(daemon.log()).toContain(`ending orphaned process group ${pid} that has no record: SIGTERM`);
});

test('fault 4: when both have died, the next start ends what they have left, and says how many', async () => {
  await using daemon = await startDaemon({ flags });
  const client = await connectRaw(daemon);
  const stubborn = ['-c', 'trap "" PIPE; while :; do sleep 0.1; done'];
  const pids = await Promise.all(
    ['p', 'q'].map(async (id) => (await client.spawn(id, 'sh', stubborn, { wantPid: true })).pid),
  );
  const children = pids.map((pid) => processFacts(pid));
  const keeper = await keeperOf(daemon);
  signalProcess(daemon.process(), 'SIGSTOP');
  signalProcess(keeper, 'SIGKILL');
  await daemon.kill();
  await untilEnded(keeper);
  await daemon.start();
  expect(daemon.log()).toMatch(new RegExp(`\\[keeper\\] dead: pid ${keeper.pid} is gone; 2 children ended`));
  for (const child of children) {
    await untilEnded(child as NonNullable<typeof child>);
  }
  await using second = await connectRaw(daemon);
  expect(await second.reattach('p', 0)).toMatchObject({ found: false });
  await second.spawn('p', 'true');
  await second.exitOf('p');
});

test('a spawn repeated with ifAbsent after the daemon was killed finds the process it has started', async () => {
  await using daemon = await startDaemon({ flags });
  const first = await connectRaw(daemon);
  const ask = { id: 'p', command: 'cat', ifAbsent: true, wantPid: true };
  const { pid } = await first.call('process.spawn', ask);
  await daemon.kill();
  await daemon.start();
  await using second = await connectRaw(daemon);
  expect(await second.call('process.spawn', ask)).toMatchObject({ existing: true, pid });
});

test('without durable there is no keeper, no file of one and no lock in profile S', async () => {
  await using daemon = await startDaemon();
  await using client = await connectRaw(daemon);
  await client.spawn('p', 'true');
  await client.exitOf('p');
  expect(readdirSync(daemon.runDir).sort()).toEqual(['daemon.token', 'remote-server.log', 'rpc.sock']);
  expect(daemon.processes()).toHaveLength(1);
});

test(
  'fault 6: a keeper that stands still holds its sessions up and nobody else, and loses nothing',
  async () => {
    await using daemon = await startDaemon({ flags });
    await using client = await connectRaw(daemon);
    await client.spawn('p', 'cat');
    await client.stdin('p', 'before\n');
    await client.untilOutput('p', 'before');
    const keeper = await keeperOf(daemon);
    signalProcess(keeper, 'SIGSTOP');
    const late = client.stdin('p', 'meanwhile\n', 7);
    expect((await client.request('server.ping')).result).toEqual({ pong: true });
    expect((await client.request('files.stat', { path: '/' })).error).toBeUndefined();
    await sleep(byLength(2_000, 60_000));
    expect(client.ended).toBe(false);
    signalProcess(keeper, 'SIGCONT');
    expect((await late).result).toEqual({ success: true, applied: 17 });
    await client.untilOutput('p', 'meanwhile');
    expect(client.stream('p').text()).toBe('before\nmeanwhile\n');
    expect(client.stream('p').exit).toBeUndefined();
  },
  limitMs(60),
);

test(
  'fault 6: a daemon that stands still holds no session up for more than its pace, and loses nothing',
  async () => {
    await using daemon = await startDaemon({ flags });
    await using client = await connectRaw(daemon);
    await client.spawn('p', 'sh', counting);
    await client.untilOutput('p', '5\n');
    daemon.signal('SIGSTOP');
    await sleep(byLength(1_500, 60_000));
    daemon.signal('SIGCONT');
    const { length } = numbers(client.stream('p').text());
    await client.waitFor(() => numbers(client.stream('p').text()).length > length + 50, 'the numbers of meanwhile');
    const seen = numbers(client.stream('p').text());
    expect(seen).toEqual(seen.map((_, index) => index + 1));
  },
  limitMs(60),
);

test('a daemon without durable that starts beside a keeper leaves it and its children alone', async () => {
  await using daemon = await startDaemon({ profile: 'next', flags });
  const first = await connectRaw(daemon);
  const { pid } = await first.spawn('p', 'cat', [], { wantPid: true });
  const child = processFacts(pid) as NonNullable<ReturnType<typeof processFacts>>;
  const keeper = await keeperOf(daemon);
  await daemon.kill();
  await daemon.start(['-durable=false']);
  await using plain = await connectRaw(daemon);
  expect(await plain.reattach('p', 0)).toMatchObject({ found: false });
  expect([isRunning(keeper), isRunning(child)]).toEqual([true, true]);
  expect(daemon.log()).toContain(`record ${pid}.json: kept (its daemon, pid ${keeper.pid}, is alive)`);
  await daemon.start();
  await using again = await connectRaw(daemon);
  expect(await again.reattach('p', 0)).toMatchObject({ found: true, running: true });
});

test('unseen-retention: a process whose exit no client has seen is kept, one that was seen goes as usual', async () => {
  const timings = { retentionMs: 300, retentionCheckMs: 20 };
  await using daemon = await startDaemon({ flags: [...flags, '-unseen-retention', '2m'], timings });
  const first = await connectRaw(daemon);
  const gone = join(daemon.dir, 'gone');
  await first.spawn('unseen', 'sh', ['-c', `while [ ! -e ${gone} ]; do sleep 0.02; done; exit 9`]);
  first.destroy();
  await using second = await connectRaw(daemon);
  // It ends when nobody is there to see it, and not before.
  await waitUntil(
    async () => (await second.call('holdfast.sessions')).sessions[0].attached === false,
    'its client to be gone',
  );
  writeFileSync(gone, '');
  await second.spawn('seen', 'true');
  await second.exitOf('seen');
  const ids = async () => (await second.call('holdfast.sessions')).sessions.map(({ id }: { id: string }) => id);
  await waitUntil(async () => !(await ids()).includes('seen'), 'the one that was seen to be forgotten');
  expect(await ids()).toEqual(['unseen']);
  await daemon.kill();
  await daemon.start();
  await using third = await connectRaw(daemon);
  expect(await third.reattach('unseen', 0)).toMatchObject({ found: true, running: false });
  expect(await third.exitOf('unseen')).toMatchObject({ exitCode: 9 });
});

test('unseen-retention: nobody comes, and it is forgotten in the end', async () => {
  const timings = { retentionMs: 50, retentionCheckMs: 20 };
  await using daemon = await startDaemon({ flags: [...flags, '-unseen-retention', '500ms'], timings });
  const first = await connectRaw(daemon);
  await first.spawn('unseen', 'sleep', ['0.05']);
  first.destroy();
  await using second = await connectRaw(daemon);
  await waitUntil(async () => (await second.call('holdfast.sessions')).sessions.length === 0, 'it to be forgotten');
});
