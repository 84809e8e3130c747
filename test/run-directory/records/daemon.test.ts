/** Marks, records and the end of orphans, as a user of `-wire-profile next` sees them. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startDaemon, type TestDaemon } from '../../support/daemon.ts';
import { connectTo, start } from '../../support/host.ts';
import { isRunning, type ProcessFacts, processFacts, untilEnded } from '../../support/processes.ts';
import { waitUntil } from '../../support/wait.ts';

const children = (daemon: TestDaemon): string => join(daemon.runDir, 'children');
const recordNames = (daemon: TestDaemon): string[] => readdirSync(children(daemon)).sort();
const record = (daemon: TestDaemon, pid: number) =>
  JSON.parse(readFileSync(join(children(daemon), `${pid}.json`), 'utf8'));

function factsOf({ pid }: { readonly pid?: number | undefined }): ProcessFacts {
  const found = pid === undefined ? undefined : processFacts(pid);
  if (found === undefined) {
    throw new Error(`no process ${pid}`);
  }
  return found;
}

test('every child has a record while it runs, with keys in the contract’s order', async () => {
  await using daemon = await startDaemon({ profile: 'next' });
  await using client = await connectTo(daemon);
  const capabilities = await client.request('server.capabilities');
  const child = factsOf(await start(client, 'p', 'cat', []));
  const name = `${child.pid}.json`;
  expect(recordNames(daemon)).toEqual([name]);
  expect(statSync(children(daemon)).mode & 0o777).toBe(0o700);
  expect(statSync(join(children(daemon), name)).mode & 0o777).toBe(0o600);
  const { at, ...rest } = record(daemon, child.pid);
  expect(Object.keys({ ...rest, at }).join()).toBe('pid,node,host,instance,daemonPid,daemonStart,argv0,start,at');
  const parent = daemon.process();
  expect(rest).toEqual({
    pid: child.pid,
    node: expect.stringMatching(/^[0-9a-f-]{36}\/pid:\[\d+\]$/),
    host: expect.stringMatching(/^(machine-id:[0-9a-f]+)?$/),
    instance: capabilities.instanceId,
    daemonPid: parent.pid,
    daemonStart: parent.start,
    argv0: expect.stringMatching(/^\/.*\/cat$/),
    start: child.start,
  });
  expect(Math.abs(Date.now() - at)).toBeLessThan(60_000);
});

test('the record goes when the child ends, before whoever holds its pipes', async () => {
  await using daemon = await startDaemon({ profile: 'next' });
  await using client = await connectTo(daemon);
  const holder = await start(client, 'p', 'sh', ['-c', 'sleep 1000 & read x']);
  const child = factsOf(holder);
  expect(recordNames(daemon)).toEqual([`${child.pid}.json`]);
  await holder.write('end\n');
  await waitUntil(() => recordNames(daemon).length === 0 || undefined, 'the record to go');
  // Its pipes are still held, so there is no exit frame yet.
  expect((await client.sessions()).map(({ state }) => state)).not.toContain('exited');
});

test('a graceful end leaves no record, with and without -keep-children', async () => {
  for (const flags of [[], ['-keep-children']]) {
    await using daemon = await startDaemon({ profile: 'next', flags });
    await using client = await connectTo(daemon);
    const child = factsOf(await start(client, 'p', 'sleep', ['1000']));
    await daemon.stop();
    expect(recordNames(daemon)).toEqual([]);
    await daemon.start();
    expect(isRunning(child)).toBe(flags.length > 0);
    expect(daemon.log()).not.toContain('orphaned process group');
  }
});

test('a process whose id was taken over outlives a graceful end and is ended by the next start', async () => {
  await using daemon = await startDaemon({ profile: 'next' });
  await using client = await connectTo(daemon);
  // Not by spawn of the library, which would take the first one over.
  const again = () => client.request('process.spawn', { id: 'p', command: 'sleep', args: ['1000'], wantPid: true });
  const old = factsOf(await again());
  const young = factsOf(await again());
  await daemon.stop();
  expect([isRunning(old), isRunning(young)]).toEqual([true, false]);
  expect(recordNames(daemon)).toEqual([`${old.pid}.json`]);
  await daemon.start();
  await untilEnded(old);
  expect(recordNames(daemon)).toEqual([]);
});

test('the children of a killed daemon are ended by the next one before it serves', async () => {
  await using daemon = await startDaemon({ profile: 'next' });
  await using client = await connectTo(daemon);
  const quiet = factsOf(await start(client, 'quiet', 'sleep', ['1000']));
  const stubbornly = await start(client, 'stubborn', 'sh', [
    '-c',
    'trap "" TERM; echo ready; while :; do sleep 1; done',
  ]);
  await stubbornly.until('ready');
  const stubborn = factsOf(stubbornly);
  await daemon.kill();
  await daemon.start();
  expect([isRunning(quiet), isRunning(stubborn)]).toEqual([false, false]);
  const log = daemon.log();
  expect(log).toMatch(`ending orphaned process group ${quiet.pid} recorded by daemon instance "`);
  expect(log).toMatch(`group ${stubborn.pid} outlived SIGTERM for 2s: SIGKILL`);
  expect(log).toMatch(
    /\[daemon\] serve: predecessor's children — 2 orphaned group\(s\): 1 ended on SIGTERM, 1 on SIGKILL, 0 survived; 0 stale record\(s\) dropped, 0 kept\nClaustrum remote server listening/,
  );
  expect(recordNames(daemon)).toEqual([]);
});

test('the daemon’s own death in the middle of a record leaves nothing that the next start cannot clear', async () => {
  await using daemon = await startDaemon({ profile: 'next', failpoints: 'records.write=1*off->1*kill' });
  await using client = await connectTo(daemon);
  await start(client, 'p', 'sleep', ['1000']);
  client.request('process.spawn', { id: 'q', command: 'sleep', args: ['1000'] }).catch(() => {});
  await waitUntil(() => daemon.daemons().length === 0 || undefined, 'the daemon to die');
  daemon.env.HOLDFAST_FAILPOINTS = '';
  await daemon.start();
  expect(recordNames(daemon)).toEqual([]);
  expect(daemon.log()).toMatch(/1 orphaned group\(s\): 1 ended on SIGTERM/);
});

test('a record that cannot be written costs one line and no session', async () => {
  await using daemon = await startDaemon({ profile: 'next', failpoints: 'records.write=2*error(ENOSPC)' });
  await using client = await connectTo(daemon);
  const pids = [];
  for (const id of ['a', 'b', 'c']) {
    pids.push((await start(client, id, 'cat')).pid);
  }
  expect(recordNames(daemon)).toEqual([`${pids[2]}.json`]);
  const lines = daemon.log().match(/cannot record child.*/g);
  expect(lines).toEqual([`cannot record child ${pids[0]}: no space left on device`]);
});

test.each(['file', 'link'])('with a %s in place of the folder of records nothing is written there', async (kind) => {
  await using daemon = await startDaemon({ profile: 'next' });
  await daemon.stop();
  const elsewhere = join(daemon.dir, 'elsewhere');
  mkdirSync(elsewhere);
  if (kind === 'file') {
    writeFileSync(children(daemon), 'mine');
  } else {
    symlinkSync(elsewhere, children(daemon));
  }
  await daemon.start();
  await using client = await connectTo(daemon);
  await start(client, 'p', 'cat', []);
  await start(client, 'q', 'cat', []);
  expect(daemon.log().match(/children is not a directory; \w+ nothing/g)).toEqual([
    'children is not a directory; reaping nothing',
    'children is not a directory; recording nothing',
  ]);
  expect(readdirSync(elsewhere)).toEqual([]);
  if (kind === 'file') {
    expect(readFileSync(children(daemon), 'utf8')).toBe('mine');
  }
});

test('a daemon that does not hold the lock records nothing and ends nobody', async () => {
  await using daemon = await startDaemon({ profile: 'next' });
  await using client = await connectTo(daemon);
  const child = factsOf(await start(client, 'p', 'sleep', ['1000']));
  await daemon.kill();
  // The lock cannot be taken: its name is a folder.
  rmSync(join(daemon.runDir, 'daemon.lock'));
  mkdirSync(join(daemon.runDir, 'daemon.lock'));
  await daemon.start();
  await using second = await connectTo(daemon);
  await start(second, 'q', 'cat', []);
  expect(isRunning(child)).toBe(true);
  expect(recordNames(daemon)).toEqual([`${child.pid}.json`]);
  expect(daemon.log()).toContain(
    "serve: not the run dir's lock holder; leaving any predecessor's children alone and recording none",
  );
});

test.each(['S', 'current'] as const)('profile %s marks, records and ends nobody', async (profile) => {
  await using daemon = await startDaemon({ profile });
  await using client = await connectTo(daemon);
  const p = await start(client, 'p', 'env', []);
  await p.ended();
  expect(p.stdout).not.toMatch(/CLAUDE_SSH_(RUN_DIR|CHILD)=/);
  const child = factsOf(await start(client, 'q', 'sleep', ['1000']));
  await daemon.kill();
  await daemon.start();
  expect(isRunning(child)).toBe(true);
  expect(existsSync(children(daemon))).toBe(false);
});

test('a child that cannot carry the mark runs, and the log says once what that costs', async () => {
  await using daemon = await startDaemon({ profile: 'next' });
  await using client = await connectTo(daemon);
  for (const id of ['a', 'b']) {
    const shown = await start(client, id, 'env', [], { env: { 'A-B': 'kept' } });
    await shown.ended();
    expect(shown.stdout).toMatch(/^A-B=kept$/m);
    expect(shown.stdout).toMatch(new RegExp(`^CLAUDE_SSH_RUN_DIR=${daemon.runDir}$`, 'm'));
  }
  expect(daemon.log().match(/the variable A-B does not pass through \/bin\/sh/g)).toHaveLength(1);
});
