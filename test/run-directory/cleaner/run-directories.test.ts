/** Which run directories go, with whom, and which stay (spec platform.md §2 "Host cleaner" (b)). */
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { ChildMarkers } from '../../../platform/child-markers.ts';
import { createPlatform } from '../../../platform/posix/index.ts';
import { type Counters, createCounters } from '../../../src/base/counters.ts';
import { createLog } from '../../../src/base/log.ts';
import { timings } from '../../../src/base/timings.ts';
import type { Host as Client } from '../../../src/client/index.ts';
import { runPass } from '../../../src/run-directory/cleaner/pass.ts';
import { encodeRecord } from '../../../src/run-directory/records/record.ts';
import { holdLock, untilSays } from '../../modes/lock-holder.ts';
import { temporaryFolder } from '../../platform/machine.ts';
import { type DaemonOptions, startDaemon, type TestDaemon } from '../../support/daemon.ts';
import { programForTests } from '../../support/holdfast.ts';
import { connectTo, start } from '../../support/host.ts';
import { root as asRoot, faketime, faketimeLibrary, linux, testNeeding } from '../../support/needs.ts';
import { isRunning, type ProcessFacts, processFacts, untilEnded } from '../../support/processes.ts';
import { waitUntil } from '../../support/wait.ts';
import { directoriesAtOnce, Host } from './support.ts';

const listener = fileURLToPath(new URL('../../fixtures/listen-on.ts', import.meta.url));
const cleaning: Partial<DaemonOptions> = { timings: directoriesAtOnce };

/** A folder outside of the layout, with its content. */
function precious(host: Host): { path: string; intact(): boolean } {
  const path = join(host.root, 'precious');
  mkdirSync(path);
  writeFileSync(join(path, 'file'), 'mine');
  return { path, intact: () => readFileSync(join(path, 'file'), 'utf8') === 'mine' };
}

test('an unused run directory goes, whatever is in it, and that is said', async () => {
  using host = new Host();
  const path = host.leaveRunDir('old');
  mkdirSync(join(path, 'children', 'deep', 'er'), { recursive: true });
  writeFileSync(join(path, 'children', 'deep', 'er', 'file'), 'x');
  await using cleaner = await host.cleaner(cleaning);
  expect(readdirSync(join(host.root, 'run'))).toEqual(['live']);
  const lines = cleaner.log().match(/(?<=\[hostclean\] ).*/g);
  expect(lines?.slice(1)).toEqual([
    `removed the run directory ${path}, not used for 0.001s`,
    expect.stringMatching(/; 1 run director\(ies\) removed, 0 daemon\(s\) retired; 0 left alone$/),
  ]);
});

test('a daemon without lock, client and child in an unused run directory is asked to end, and its directory goes', async () => {
  using host = new Host();
  await using idle = await host.daemon('idle', { profile: 'S' });
  const process = idle.process();
  await using cleaner = await host.cleaner(cleaning);
  await untilEnded(process);
  expect(readdirSync(join(host.root, 'run'))).toEqual(['live']);
  const log = cleaner.log();
  expect(log).toContain(
    `[hostclean] ending the daemon of the unused run directory ${idle.runDir}, pid ${process.pid}: SIGTERM`,
  );
  expect(log).toMatch(/; 1 run director\(ies\) removed, 1 daemon\(s\) retired; 0 left alone$/m);
});

test('what an earlier removal has left goes at once, however new it is', async () => {
  using host = new Host();
  const path = host.leaveRunDir('old.removing-4711-mg3k2a');
  mkdirSync(host.runDir('odd.removing-1-z'));
  writeFileSync(join(host.runDir('odd.removing-1-z'), 'half'), 'gone');
  await using cleaner = await host.cleaner({ timings: { hostCleanFirstMs: 1 } });
  expect(readdirSync(join(host.root, 'run'))).toEqual(['live']);
  expect(cleaner.log()).toContain(`[hostclean] removed ${path}, which an earlier removal had left`);
});

test('a removal that was cut off is finished by the next daemon', async () => {
  using host = new Host();
  host.leaveRunDir('old');
  await using cleaner = await host.daemon('live', {
    profile: 'next',
    ...cleaning,
    failpoints: 'hostclean.rename.after=1*kill',
  });
  await waitUntil(() => cleaner.daemons().length === 0 || undefined, 'the daemon to die');
  const left = readdirSync(join(host.root, 'run')).sort();
  expect(left).toEqual(['live', expect.stringMatching(/^old\.removing-\d+-[0-9a-z]+$/)]);
  cleaner.env.HOLDFAST_FAILPOINTS = '';
  await cleaner.start();
  await cleaner.untilLogged(/\[hostclean\] pass over/);
  expect(readdirSync(join(host.root, 'run'))).toEqual(['live']);
});

describe('in one pass over unused run directories', () => {
  let host: Host;
  let cleaner: TestDaemon;
  let outside: ReturnType<typeof precious>;
  const daemons: TestDaemon[] = [];
  const others: ProcessFacts[] = [];
  const clients: Client[] = [];
  const reasons = new Map<string, RegExp>();

  async function daemonAt(name: string, options: DaemonOptions, reason: RegExp): Promise<TestDaemon> {
    const daemon = await host.daemon(name, options);
    daemons.push(daemon);
    reasons.set(name, reason);
    return daemon;
  }

  async function foreignListener(name: string, socket: string, env: NodeJS.ProcessEnv): Promise<void> {
    const { pid } = await untilSays('ready', process.execPath, [listener, join(host.runDir(name), socket)], env);
    others.push(processFacts(pid as number) as ProcessFacts);
  }

  beforeAll(async () => {
    host = new Host();
    outside = precious(host);

    host.leaveRunDir('links inside');
    symlinkSync(outside.path, join(host.runDir('links inside'), 'folder'));
    symlinkSync(join(outside.path, 'file'), join(host.runDir('links inside'), 'file'));

    symlinkSync(outside.path, host.runDir('link'));
    reasons.set('link', /it is no folder/);
    writeFileSync(host.runDir('file'), 'mine');
    reasons.set('file', /it is no folder/);
    mkdirSync(host.runDir('notes'));
    writeFileSync(join(host.runDir('notes'), 'notes.txt'), 'mine');
    reasons.set('notes', /nothing in it is from a daemon/);
    host.leaveRunDir('odd lock');
    rmSync(join(host.runDir('odd lock'), 'daemon.lock'));
    mkdirSync(join(host.runDir('odd lock'), 'daemon.lock'));
    reasons.set('odd lock', /its daemon.lock is not a regular file/);

    await daemonAt('locked by a daemon', { profile: 'current' }, /its lock is held/);
    const busy = await daemonAt('client', { profile: 'S' }, /its daemon, pid \d+, has 1 client\(s\)/);
    clients.push(await connectTo(busy));
    const working = await daemonAt('child', { profile: 'S' }, /its daemon, pid \d+, has a running child, pid \d+/);
    const client = await connectTo(working);
    others.push(processFacts((await start(client, 'p', 'sleep', ['1000'])).pid) as ProcessFacts);
    await client.close();

    const stranded = await daemonAt(
      'stranded',
      { profile: 'S' },
      /pid \d+ is a daemon for it to which its socket does not lead/,
    );
    // Its launcher has looked whether it serves, and would still be a client when it is stopped before it sees the end.
    await stranded.untilLogged(/Connection closed/);
    // A moment later it would end by itself.
    stranded.signal('SIGSTOP');
    rmSync(stranded.socket);

    const elsewhere = await startDaemon({
      profile: 'S',
      timings: {},
      at: { runDir: host.runDir('not deployed'), program: programForTests },
    });
    daemons.push(elsewhere);
    reasons.set('not deployed', /pid \d+ listens in it, which is not our binary: .* is not under .*\/srv/);

    host.leaveRunDir('foreign');
    await foreignListener('foreign', 'rpc.sock', busy.env);
    reasons.set('foreign', /pid \d+ listens in it, which is not our binary/);
    host.leaveRunDir('other socket');
    await foreignListener('other socket', 'other.sock', busy.env);
    reasons.set('other socket', /somebody listens on other.sock in it/);
    const held = await holdLock(busy, '{"pid":1,"role":"other"}', { runDir: host.leaveRunDir('locked by another') });
    others.push(held.process);
    reasons.set('locked by another', /its lock is held/);

    const record = host.leaveRunDir('child on record');
    mkdirSync(join(record, 'children'), { mode: 0o700 });
    const { processes, childMarkers } = createPlatform();
    const self = processFacts(process.pid) as ProcessFacts;
    const text = encodeRecord({
      ...{ pid: self.pid, start: self.start, node: processes.self().node ?? '', host: childMarkers?.host ?? '' },
      ...{ instance: 'a'.repeat(32), daemonPid: 2 ** 30, daemonStart: '1', argv0: 'node', at: 0 },
    });
    writeFileSync(join(record, 'children', `${self.pid}.json`), text);
    reasons.set('child on record', /a child on record, pid \d+, is alive/);

    cleaner = await host.cleaner(cleaning);
  }, 90_000);

  afterAll(async () => {
    for (const client of clients) {
      await client.close();
    }
    for (const daemon of [...daemons, cleaner]) {
      await daemon?.[Symbol.asyncDispose]();
    }
    host?.[Symbol.dispose]();
  });

  test('one that nobody needs goes', () => {
    expect(existsSync(host.runDir('links inside'))).toBe(false);
  });

  test('what a link in it led to is not changed', () => {
    expect(outside.intact()).toBe(true);
  });

  test.each([
    ['a link in its place', 'link'],
    ['a file in its place', 'file'],
    ['nothing of a daemon in it', 'notes'],
    ['a lock that cannot be judged', 'odd lock'],
    ['a lock that its daemon holds', 'locked by a daemon'],
    ['a lock that another process holds', 'locked by another'],
    ['a daemon that has a client', 'client'],
    ['a daemon that has a running child', 'child'],
    ['a daemon that its socket does not lead to', 'stranded'],
    ['a daemon of another installation', 'not deployed'],
    ['another program that listens', 'foreign'],
    ['another socket that answers', 'other socket'],
    ['a child on record that is alive', 'child on record'],
  ])('one with %s stays, and the log says why', (_, name) => {
    expect(lstatSync(host.runDir(name))).toBeDefined();
    const line = cleaner
      .log()
      .split('\n')
      .find((each) => each.includes(`${host.runDir(name)} is left alone: `));
    expect(line).toMatch(reasons.get(name) as RegExp);
  });

  test('our own stays, without a word', () => {
    expect(existsSync(cleaner.socket)).toBe(true);
    expect(cleaner.log()).not.toContain(`${cleaner.runDir} is left alone`);
  });

  test('nobody was signalled', () => {
    for (const daemon of daemons) {
      expect(daemon.daemons()).toHaveLength(1);
    }
    expect(others.filter((other) => !isRunning(other))).toEqual([]);
    expect(cleaner.log()).not.toContain('SIGTERM: ');
    expect(cleaner.log()).toMatch(/1 run director\(ies\) removed, 0 daemon\(s\) retired; 13 left alone$/m);
  });
});

test('run directories used within 30 days stay, without a word', async () => {
  using host = new Host();
  host.leaveRunDir('recent');
  await using idle = await host.daemon('idle', { profile: 'S' });
  await using cleaner = await host.cleaner({ timings: { hostCleanFirstMs: 1 } });
  expect(readdirSync(join(host.root, 'run')).sort()).toEqual(['idle', 'live', 'recent']);
  expect(idle.daemons()).toHaveLength(1);
  expect(cleaner.log()).toMatch(/; 0 run director\(ies\) removed, 0 daemon\(s\) retired; 0 left alone$/m);
});

testNeeding(linux, faketime)('a wall clock that jumps 31 days ahead ends no daemon', {}, async () => {
  using host = new Host();
  await using idle = await host.daemon('idle', { profile: 'S' });
  await using cleaner = await host.cleaner({
    timings: { hostCleanFirstMs: 1 },
    env: { LD_PRELOAD: faketimeLibrary, FAKETIME: '+31d', FAKETIME_DONT_FAKE_MONOTONIC: '1', NO_FAKE_STAT: '1' },
  });
  expect(cleaner.log()).toMatch(/idle is left alone: its daemon, pid \d+, has not run for so long itself/);
  expect(idle.daemons()).toHaveLength(1);
});

test('a folder that is put in place of the run directory between the look and the removal is left as it is', async () => {
  using host = new Host();
  const path = host.leaveRunDir('old');
  const outside = precious(host);
  const pause = join(host.root, 'pause');
  await using cleaner = await host.daemon('live', {
    profile: 'next',
    ...cleaning,
    failpoints: `hostclean.rename.before=1*pause(${pause})`,
  });
  await waitUntil(() => existsSync(pause), 'the cleaner to stand before the removal');
  renameSync(path, join(host.root, 'moved'));
  symlinkSync(outside.path, path);
  rmSync(pause);
  await cleaner.untilLogged(/old is left alone: it cannot be removed: .* is another folder by now/);
  expect(outside.intact()).toBe(true);
  expect(readdirSync(join(host.root, 'moved'))).toContain('daemon.token');
  expect(lstatSync(path).isSymbolicLink()).toBe(true);
});

test('a daemon that a client finds between the look and the signal gets none', async () => {
  using host = new Host();
  await using idle = await host.daemon('idle', { profile: 'S' });
  const pause = join(host.root, 'pause');
  await using cleaner = await host.daemon('live', {
    profile: 'next',
    ...cleaning,
    failpoints: `hostclean.retire.before=1*pause(${pause})`,
  });
  await waitUntil(() => existsSync(pause), 'the cleaner to stand before its signal');
  await using _ = await connectTo(idle);
  rmSync(pause);
  await cleaner.untilLogged(/idle is left alone: its daemon, pid \d+, has a client/);
  expect(idle.daemons()).toHaveLength(1);
});

test('a daemon that does not end when asked keeps its directory and is not killed', async () => {
  using host = new Host();
  await using idle = await host.daemon('idle', { profile: 'S' });
  const pause = join(host.root, 'pause');
  await using cleaner = await host.daemon('live', {
    profile: 'next',
    timings: { ...directoriesAtOnce, hostCleanRetireMs: 100 },
    failpoints: `hostclean.retire.before=1*pause(${pause})`,
  });
  await waitUntil(() => existsSync(pause), 'the cleaner to stand before its signal');
  const closed = () => idle.log().match(/Connection closed/g)?.length;
  await waitUntil(() => closed() === 2 || undefined, 'the daemon to be done with its launcher and with the look at it');
  idle.signal('SIGSTOP');
  rmSync(pause);
  await cleaner.untilLogged(/idle is left alone: its daemon, pid \d+, has not ended within 0.1s of SIGTERM/);
  expect(idle.daemons()).toHaveLength(1);
  expect(existsSync(idle.socket)).toBe(true);
});

test('at most 8 daemons are ended in one pass, and the cap is told', { timeout: 90_000 }, async () => {
  using host = new Host();
  const daemons: TestDaemon[] = [];
  try {
    for (let index = 0; index < 10; index++) {
      daemons.push(await host.daemon(`d${index}`, { profile: 'S' }));
    }
    await using cleaner = await host.cleaner(cleaning);
    expect(daemons.filter((daemon) => daemon.daemons().length === 1)).toHaveLength(2);
    const log = cleaner.log();
    expect(log).toContain(
      '[hostclean] 8 daemons are the most to be ended in one pass; the others wait for the next one',
    );
    expect(log.match(/is left alone: its daemon is ended in a later pass/g)).toHaveLength(2);
    await cleaner.start();
    await cleaner.untilLogged(/; 2 run director\(ies\) removed, 2 daemon\(s\) retired; 0 left alone/);
    expect(readdirSync(join(host.root, 'run'))).toEqual(['live']);
  } finally {
    for (const daemon of daemons) {
      await daemon[Symbol.asyncDispose]();
    }
  }
});

/** A pass in this very process, over a layout of its own. */
async function passOver(root: string, changes: { readonly pids?: number[] } = {}) {
  const platform = createPlatform();
  const hostCleaning = await platform.hostCleaning?.();
  if (hostCleaning === undefined) {
    throw new Error('hosts are not cleaned here');
  }
  let text = '';
  const counters: Counters = createCounters();
  await runPass({
    hostCleaning: { ...hostCleaning, ...(changes.pids === undefined ? {} : { pids: () => changes.pids as number[] }) },
    markers: platform.childMarkers as ChildMarkers,
    processes: platform.processes,
    paths: platform.paths,
    host: platform.host,
    place: {
      root,
      runFolder: join(root, 'run'),
      ownRunDirectory: join(root, 'run', 'own'),
      cliFolder: join(root, 'ccd-cli'),
      deployments: join(root, 'srv'),
    },
    log: createLog({
      level: 'debug',
      write: (bytes) => {
        text += bytes.toString();
        return bytes.length;
      },
    }),
    counters,
    timings,
    signal: new AbortController().signal,
  });
  return { text, counters };
}

function layoutWith(name: string): { root: string; path: string } {
  const root = temporaryFolder();
  const path = join(root, 'run', name);
  mkdirSync(join(root, 'run', 'own'), { recursive: true, mode: 0o700 });
  mkdirSync(path, { mode: 0o700 });
  writeFileSync(join(path, 'remote-server.log'), '');
  return { root, path };
}

const day = 24 * 60 * 60_000;

test.each([
  [29, true],
  [31, false],
])('a run directory not changed for %i days: it is there afterwards: %s', async (days, stays) => {
  const { root, path } = layoutWith('old');
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + days * day });
  try {
    const { counters } = await passOver(root);
    expect(existsSync(path)).toBe(stays);
    expect(counters).toMatchObject({ hostCleanPasses: 1, hostCleanDirectoriesRemoved: stays ? 0 : 1 });
  } finally {
    vi.useRealTimers();
  }
});

test('with more than 4096 processes run directories are not looked at, and the cap is told and counted', async () => {
  const { root, path } = layoutWith('old.removing-1-z');
  const nobody = 2 ** 30;
  const { text, counters } = await passOver(root, { pids: Array.from({ length: 4097 }, (_, index) => nobody + index) });
  expect(existsSync(path)).toBe(true);
  expect(text).toContain('[hostclean] 4097 processes run here, more than 4096: run directories are not looked at');
  expect(counters).toMatchObject({ hostCleanCaps: 1, hostCleanDirectoriesRemoved: 0 });

  const full = await passOver(root, { pids: Array.from({ length: 4096 }, (_, index) => nobody + index) });
  expect(existsSync(path)).toBe(false);
  expect(full.counters).toMatchObject({ hostCleanCaps: 0, hostCleanDirectoriesRemoved: 1 });
});

test('a folder of run directories that others may write is not looked into', async () => {
  const { root, path } = layoutWith('old.removing-1-z');

  chmodSync(join(root, 'run'), 0o777);
  const { text } = await passOver(root);
  expect(existsSync(path)).toBe(true);
  expect(text).toMatch(/run is left alone: .* is writable by everyone and has no sticky bit/);
});

testNeeding(asRoot, linux)('a run directory of another user is left alone, also by root', {}, async () => {
  const { root, path } = layoutWith('old.removing-1-z');

  chownSync(path, 23456, 23456);
  const { text, counters } = await passOver(root);
  expect(existsSync(path)).toBe(true);
  expect(text).toContain(`${path} is left alone: it belongs to user 23456`);
  expect(counters.hostCleanRefusals).toBe(1);
});
