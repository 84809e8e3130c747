/** What is ours and not the contract's, over the real daemon and wire (spec extensions.md §1–3). */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFailed, test } from 'vitest';
import { version } from '../../../src/base/version.ts';
import { startDaemon, type TestDaemon } from '../../support/daemon.ts';
import { fixture } from '../../support/fixtures.ts';
import { isRunning, type ProcessFacts, processFacts, residentBytes } from '../../support/processes.ts';
import { waitUntil } from '../../support/wait.ts';
import { connectRaw, type RawConnection, type Reply } from '../../tools/raw-connection.ts';

const names = ['closeStdin', 'describe', 'observe', 'release', 'sessions', 'unobserve', 'watch'];
const mebibyte = 1024 * 1024;

interface EventFrame {
  readonly type: 'holdfast';
  readonly event: string;
  readonly processId: string;
  readonly at: number;
  readonly [more: string]: unknown;
}

/** Frames that were pushed to the client because it asked for them. */
function events(client: RawConnection): EventFrame[] {
  return client.strays.map((line) => JSON.parse(line));
}

function toldOf(client: RawConnection, id: string): string[] {
  return events(client)
    .filter(({ processId }) => processId === id)
    .map(({ event }) => event);
}

function untilTold(client: RawConnection, id: string, event: string): Promise<true> {
  return client.waitFor(() => toldOf(client, id).includes(event), `${event} of ${id}`);
}

function rawFrames(client: RawConnection, id: string): string[] {
  return client.stream(id).frames.map(({ raw }) => raw);
}

function facts(pid: number): ProcessFacts {
  const found = processFacts(pid);
  if (found === undefined) {
    throw new Error(`there is no process ${pid}`);
  }
  return found;
}

const refusal = (code: number, message: string) => ({ code, message });
const invalidParams = refusal(-32602, 'Invalid params');

describe.each(['S', 'current', 'next'] as const)('profile %s:', (profile) => {
  let daemon: TestDaemon;
  const clients: RawConnection[] = [];

  beforeAll(async () => {
    daemon = await startDaemon({ profile });
  });
  afterAll(() => daemon[Symbol.asyncDispose]());

  /** A connection that ends with the test. */
  async function client(options: Parameters<typeof connectRaw>[1] = {}): Promise<RawConnection> {
    onTestFailed(() => console.error(daemon.log()));
    const connection = await connectRaw(daemon, options);
    clients.push(connection);
    return connection;
  }

  afterEach(async () => {
    for (const each of clients.splice(0)) {
      each.destroy();
    }
    await using last = await connectRaw(daemon);
    await last.call('holdfast.release', { all: true, timeoutMs: 1 });
    expect(await last.call('holdfast.sessions')).toEqual({ sessions: [] });
  });

  describe('every extension', () => {
    test.each(names.map((name) => `holdfast.${name}`))('%s wants the token', async (method) => {
      const stranger = await client({ auth: null });
      expect((await stranger.request(method, { id: 'p', all: true, offset: 0 })).error).toEqual(
        refusal(-32001, 'Unauthorized: invalid or missing auth token'),
      );
    });

    test('is known by its name, and another name of ours is refused', async () => {
      const asker = await client();
      expect((await asker.request('holdfast.x')).error).toEqual(refusal(-32601, 'Unknown method: holdfast.x'));
      expect((await asker.request('holdfast')).error).toEqual(refusal(-32601, 'Invalid method format: holdfast'));
    });

    test('is in no list that a client of the contract sees', async () => {
      const asker = await client();
      const { raw } = await asker.request('server.capabilities');
      expect(raw).not.toMatch(/holdfast|observe|ifAbsent|closeStdin/);
    });

    test.each(['describe', 'sessions', 'watch'])('%s takes absent, null and empty params alike', async (name) => {
      const asker = await client();
      const replies: (string | undefined)[] = [];
      for (const params of ['', ',"params":null', ',"params":{}', ',"params":{"unknown":[1]}']) {
        asker.sendLine(`{"jsonrpc":"2.0","id":"x","method":"holdfast.${name}"${params},"auth":"${daemon.token}"}`);
        await asker.waitFor(() => asker.replies.length > replies.length, 'the reply');
        replies.push(asker.replies.at(-1)?.raw);
      }
      expect(new Set(replies).size).toBe(1);
      expect(asker.replies[0]?.error).toBeUndefined();
    });

    test.each<[method: string, params: unknown, error: object]>([
      ['describe', [], invalidParams],
      ['sessions', 'text', invalidParams],
      ['watch', { events: 1 }, invalidParams],
      ['observe', undefined, invalidParams],
      ['observe', null, refusal(-32602, 'Process ID is required')],
      ['observe', { id: '' }, refusal(-32602, 'Process ID is required')],
      ['observe', { id: 5 }, invalidParams],
      ['observe', { id: 'p', fromSeq: -1 }, invalidParams],
      ['observe', { id: 'nobody' }, refusal(-32602, 'Process not found')],
      ['unobserve', undefined, invalidParams],
      ['unobserve', {}, refusal(-32602, 'Process ID is required')],
      ['closeStdin', undefined, invalidParams],
      ['closeStdin', { offset: 0 }, refusal(-32602, 'Process ID is required')],
      ['closeStdin', { id: 'nobody' }, invalidParams],
      ['closeStdin', { id: 'nobody', offset: null }, invalidParams],
      ['closeStdin', { id: 'nobody', offset: 1.5 }, invalidParams],
      ['closeStdin', { id: 'nobody', offset: 0 }, refusal(-32602, 'Process not found')],
      ['release', undefined, invalidParams],
      ['release', {}, refusal(-32602, 'Process ID is required')],
      ['release', { all: false }, refusal(-32602, 'Process ID is required')],
      ['release', { all: 'yes' }, invalidParams],
      ['release', { id: 'p', timeoutMs: '1' }, invalidParams],
      ['release', { id: 'nobody' }, refusal(-32602, 'Process not found')],
    ])('%s with params %j is refused', async (name, params, error) => {
      const asker = await client();
      expect((await asker.request(`holdfast.${name}`, params as object)).error).toEqual(error);
    });
  });

  test('describe tells who serves, and what it can', async () => {
    const asker = await client();
    const { raw, result } = await asker.request('holdfast.describe');
    expect(Object.keys(result)).toEqual([
      ...['version', 'profile', 'pid', 'startTime', 'instanceId', 'startedAt', 'os', 'arch', 'durable'],
      ...['extensions', 'limits'],
    ]);
    expect(result).toMatchObject({
      ...{ version, profile, pid: daemon.pid(), os: 'linux', durable: false, extensions: names },
      limits: { lineBytes: 1_048_575, windowBytes: 16_777_216, spoolBytes: 0, maxSessions: 0 },
    });
    expect(result.arch).toBe(process.arch === 'x64' ? 'amd64' : process.arch);
    expect(result.instanceId).toMatch(/^[0-9a-f]{32}$/);
    expect(raw).not.toContain('keeper');
    // The start of the process in seconds, the moment it could serve in milliseconds.
    expect(Math.abs(result.startedAt / 1000 - result.startTime)).toBeLessThan(30);
    if (profile !== 'S') {
      expect((await asker.call('server.capabilities')).instanceId).toBe(result.instanceId);
    }
  });

  describe('sessions', () => {
    const keys = [
      ...['id', 'pid', 'startTime', 'command', 'args', 'cwd', 'state', 'spawnedAt', 'exitedAt', 'exitCode', 'signal'],
      ...['killedBy', 'attached', 'observers', 'sinceAttachChange', 'unseenExit', 'firstSeq', 'lastSeq', 'outBytes'],
      ...['errBytes', 'inBytes', 'stdinQueued', 'stdinClosed', 'windowBytes', 'spoolBytes', 'paced', 'door'],
    ];
    const without = (...left: string[]) => keys.filter((key) => !left.includes(key));

    test('tells every key in its order, and leaves out what there is not', async () => {
      const asker = await client();
      const { pid, startTime } = await asker.spawn('a', 'cat', [], { wantPid: true });
      await asker.spawn('b', 'sh', ['-c', 'exit 3'], { cwd: daemon.home, door: 'agent' });
      await asker.spawn('c', 'sleep', ['3600'], { cwd: '' });
      await asker.exitOf('b');
      await asker.call('process.killAndWait', { id: 'c' });
      const before = Date.now();
      await asker.stdin('a', 'hello\n');
      await asker.untilOutput('a', 'hello\n');
      const { sessions } = await asker.call('holdfast.sessions');
      expect(sessions.map(({ id }: { id: string }) => id)).toEqual(['a', 'b', 'c']);
      const [a, b, c] = sessions;
      expect(Object.keys(a)).toEqual(without('cwd', 'exitedAt', 'exitCode', 'signal', 'killedBy'));
      expect(Object.keys(b)).toEqual(without('signal', 'killedBy'));
      expect(Object.keys(c)).toEqual(keys);
      const { spawnedAt, sinceAttachChange } = a;
      expect(before - spawnedAt).toBeGreaterThanOrEqual(0);
      expect(before - spawnedAt).toBeLessThan(60_000);
      expect(a).toEqual({
        ...{ id: 'a', pid, startTime, command: 'cat', args: [], state: 'running', spawnedAt, attached: true },
        ...{ observers: 0, sinceAttachChange, unseenExit: false, firstSeq: 1, lastSeq: 1, outBytes: 6, errBytes: 0 },
        ...{ inBytes: 6, stdinQueued: 0, stdinClosed: false, windowBytes: (rawFrames(asker, 'a')[0]?.length ?? 0) + 1 },
        ...{ spoolBytes: 0, paced: false, door: 'rpc' },
      });
      expect(b).toMatchObject({
        cwd: daemon.home,
        args: ['-c', 'exit 3'],
        state: 'exited',
        exitCode: 3,
        door: 'agent',
      });
      expect(b.exitedAt).toBeGreaterThanOrEqual(b.spawnedAt);
      // Whatever the profile's exit frame says.
      expect(c).toMatchObject({ cwd: '', exitCode: -1, signal: 'SIGTERM', killedBy: 'client', unseenExit: false });
    });

    test('tells what is kept of a process whose client has gone', async () => {
      const first = await client();
      await first.spawn('p', ...fixture('echo-lines.ts'));
      await first.spawn('q', 'sh', ['-c', 'read line; exit 4']);
      first.destroy();
      const asker = await client();
      await waitUntil(async () => {
        const { sessions } = await asker.call('holdfast.sessions');
        return sessions.every(({ attached }: { attached: boolean }) => !attached);
      }, 'the connection to be noticed as gone');
      await asker.stdin('q', 'go\n');
      const [, q] = await waitUntil(async () => {
        const { sessions } = await asker.call('holdfast.sessions');
        return sessions[1].state === 'exited' && sessions;
      }, 'the end of q');
      expect(q).toMatchObject({ unseenExit: true, attached: false, exitCode: 4, inBytes: 3 });
      expect(q.sinceAttachChange).toBeGreaterThanOrEqual(q.spawnedAt);
      await asker.reattach('q', 0);
      const { sessions } = await asker.call('holdfast.sessions');
      expect(sessions[1]).toMatchObject({ unseenExit: false, attached: true });
    });

    test('lists an id once, with the newest process that has it', async () => {
      const asker = await client();
      const pids: number[] = [];
      for (const id of ['a', 'b', 'a']) {
        pids.push((await asker.spawn(id, 'sleep', ['3600'], { wantPid: true })).pid);
      }
      const { sessions } = await asker.call('holdfast.sessions');
      expect(sessions.map(({ pid }: { pid: number }) => pid)).toEqual(pids.slice(1));
      if (profile === 'next') {
        process.kill(pids[0] as number, 'SIGKILL');
      }
    });
  });

  describe('watch', () => {
    test('lists what there is, also of others, and then tells what happens, each thing once and in order', async () => {
      const watcher = await client();
      const worker = await client();
      const other = await client();
      await worker.spawn('before', 'cat');
      const { raw, result } = await watcher.request('holdfast.watch');
      expect(result.sessions.map(({ id }: { id: string }) => id)).toEqual(['before']);
      await worker.spawn('p', 'cat');
      // Of the newer profile, that closes the connection it takes the process from.
      await other.reattach('p');
      await other.call('holdfast.closeStdin', { id: 'p', offset: 0 });
      await other.exitOf('p');
      await other.call('holdfast.release', { id: 'p' });
      await untilTold(watcher, 'p', 'released');
      expect(toldOf(watcher, 'p')).toEqual([
        ...['spawned', 'attached', 'detached', 'attached', 'stdinClosed', 'exited', 'detached', 'released'],
      ]);
      const lines = watcher.strays.filter((line) => line.includes('"p"'));
      expect(lines[0]).toMatch(/^\{"type":"holdfast","event":"spawned","processId":"p","at":\d{13}\}$/);
      expect(lines[5]).toMatch(/^\{"type":"holdfast","event":"exited","processId":"p","at":\d{13},"exitCode":0\}$/);
      expect(watcher.lines[0]).toBe(raw);
      expect([worker.strays, other.strays]).toEqual([[], []]);
    });

    test('tells how a process was ended', async () => {
      const watcher = await client();
      await watcher.call('holdfast.watch');
      await watcher.spawn('p', 'sleep', ['3600']);
      await watcher.call('process.killAndWait', { id: 'p', signal: 'KILL' });
      await untilTold(watcher, 'p', 'exited');
      expect(watcher.strays.at(-1)).toMatch(
        /^\{"type":"holdfast","event":"exited","processId":"p","at":\d{13},"exitCode":-1,"signal":"SIGKILL","killedBy":"client"\}$/,
      );
    });

    test('with events:false lists once more and ends the events', async () => {
      const watcher = await client();
      const worker = await client();
      await watcher.call('holdfast.watch');
      await worker.spawn('seen', 'cat');
      await untilTold(watcher, 'seen', 'attached');
      const { sessions } = await watcher.call('holdfast.watch', { events: false });
      expect(sessions).toHaveLength(1);
      await worker.spawn('unseen', 'cat');
      await watcher.call('server.ping');
      expect(toldOf(watcher, 'unseen')).toEqual([]);
    });

    test('asked for twice tells each thing once', async () => {
      const watcher = await client();
      await watcher.call('holdfast.watch');
      await watcher.call('holdfast.watch');
      await watcher.spawn('p', 'cat');
      await watcher.call('server.ping');
      expect(toldOf(watcher, 'p')).toEqual(['spawned', 'attached']);
    });

    test('tells that an id was used again so that a list stays right', async () => {
      const watcher = await client();
      const worker = await client();
      await watcher.call('holdfast.watch');
      const { pid } = await worker.spawn('p', 'sleep', ['3600'], { wantPid: true });
      await worker.spawn('p', 'cat');
      if (profile === 'next') {
        process.kill(pid, 'SIGKILL');
      }
      await waitUntil(() => processFacts(pid) === undefined, 'the old one to be collected');
      await worker.call('process.killAndWait', { id: 'p' });
      await untilTold(watcher, 'p', 'exited');
      const detached = profile === 'next' ? [] : ['detached'];
      expect(toldOf(watcher, 'p')).toEqual([
        ...['spawned', 'attached', ...detached, 'forgotten', 'spawned', 'attached', 'exited'],
      ]);
    });

    test('misses nothing and doubles nothing between the list and the first event, while much happens', async () => {
      const worker = await client();
      const ids = Array.from({ length: 60 }, (_, index) => `p${index}`);
      for (const id of ids) {
        worker.post('process.spawn', { id, command: 'true' });
      }
      const watchers = await Promise.all(ids.slice(0, 10).map(() => client()));
      const listed = await Promise.all(watchers.map((watcher) => watcher.call('holdfast.watch')));
      await Promise.all(ids.map((id) => worker.exitOf(id)));
      for (const [index, watcher] of watchers.entries()) {
        const { sessions } = listed[index];
        const known = new Map<string, string>(
          sessions.map(({ id, state }: { id: string; state: string }) => [id, state]),
        );
        await watcher.waitFor(
          () => known.size + events(watcher).filter(({ event }) => event === 'spawned').length >= ids.length,
          'every process',
        );
        await watcher.call('server.ping');
        for (const id of ids) {
          const told = toldOf(watcher, id);
          const state = known.get(id);
          const expected = state === 'exited' ? [] : ['exited'];
          expect
            .soft(told.filter((event) => event !== 'attached'))
            .toEqual(state === undefined ? ['spawned', ...expected] : expected);
        }
      }
    });
  });

  describe('observe', () => {
    test('gives the very bytes the receiver gets, which notices nothing', async () => {
      const [receiver, first, second] = [await client(), await client(), await client()];
      await receiver.spawn('p', 'sh', ['-c', 'echo one; read line; echo "$line" >&2; exit 6']);
      await receiver.untilOutput('p', 'one');
      const reply = await first.request('holdfast.observe', { id: 'p' });
      expect(reply.raw).toBe(
        `{"jsonrpc":"2.0","id":${reply.id},"result":{"found":true,"running":true,"firstSeq":1,"lastSeq":1,"stdinApplied":0}}`,
      );
      expect(first.lines).toEqual([...rawFrames(receiver, 'p'), reply.raw]);
      await second.call('holdfast.observe', { id: 'p', fromSeq: 1 });
      await receiver.stdin('p', 'two\n');
      await Promise.all([receiver, first, second].map((each) => each.exitOf('p')));
      expect(rawFrames(first, 'p')).toEqual(rawFrames(receiver, 'p'));
      expect(rawFrames(second, 'p')).toEqual(rawFrames(receiver, 'p').slice(1));
      expect([receiver.ended, receiver.strays]).toEqual([false, []]);
      expect(await receiver.request('holdfast.observe', { id: 'p', fromSeq: 99 })).toMatchObject({
        result: { found: true, running: false, firstSeq: 1, lastSeq: 3, stdinApplied: 4 },
      });
    });

    test('ends with unobserve, and with the connection', async () => {
      const [receiver, first, second] = [await client(), await client(), await client()];
      await receiver.spawn('p', 'cat');
      await first.call('holdfast.observe', { id: 'p' });
      await second.call('holdfast.observe', { id: 'p' });
      expect((await receiver.call('holdfast.sessions')).sessions[0]).toMatchObject({ observers: 2, attached: true });
      expect(await first.call('holdfast.unobserve', { id: 'p' })).toEqual({ success: true });
      expect(await first.call('holdfast.unobserve', { id: 'p' })).toEqual({ success: true });
      second.destroy();
      await waitUntil(
        async () => (await receiver.call('holdfast.sessions')).sessions[0].observers === 0,
        'the connection to be noticed as gone',
      );
      await receiver.stdin('p', 'unseen\n');
      await receiver.untilOutput('p', 'unseen');
      await first.call('server.ping');
      expect(rawFrames(first, 'p')).toEqual([]);
    });

    test('on the connection of the receiver brings each frame twice', async () => {
      const both = await client();
      await both.spawn('p', 'cat');
      await both.call('holdfast.observe', { id: 'p' });
      await both.stdin('p', 'x\n');
      await both.waitFor(() => rawFrames(both, 'p').length === 2, 'both frames');
      await both.call('holdfast.unobserve', { id: 'p' });
      await both.stdin('p', 'y\n');
      await both.untilOutput('p', 'y');
      await both.call('server.ping');
      expect(both.stream('p').frames.map(({ seq }) => seq)).toEqual([1, 1, 2]);
    });

    test('goes on when another client becomes the receiver', async () => {
      const [receiver, observer, taker] = [await client(), await client(), await client()];
      await receiver.spawn('p', 'cat');
      await observer.call('holdfast.observe', { id: 'p' });
      await taker.reattach('p');
      await taker.stdin('p', 'still seen\n');
      await observer.untilOutput('p', 'still seen');
      expect(observer.ended).toBe(false);
    });

    test('slowly is told what it missed where it is missing, and slows nobody', async () => {
      const receiver = await client();
      const slow = await client();
      const script = 'read go; head -c 22000000 /dev/zero; read go; echo after';
      await receiver.spawn('p', 'sh', ['-c', script]);
      await slow.call('holdfast.observe', { id: 'p' });
      slow.pauseReading();
      await receiver.stdin('p', 'go\n');
      await receiver.waitFor(() => receiver.stream('p').bytes.stdout === 22_000_000, 'the flood');
      slow.resumeReading();
      await slow.waitFor(() => slow.stream('p').lastSeq === receiver.stream('p').lastSeq, 'the rest');
      await receiver.stdin('p', 'go\n');
      await Promise.all([slow.exitOf('p'), receiver.exitOf('p')]);
      const [gap] = events(slow);
      const { from, to } = gap as unknown as { from: number; to: number };
      expect(slow.strays).toEqual([`{"type":"holdfast","event":"gap","processId":"p","from":${from},"to":${to}}`]);
      expect(slow.stream('p').gaps).toEqual([{ after: from - 1, before: to + 1 }]);
      const place = slow.lines.indexOf(slow.strays[0] ?? '');
      const around = [place - 1, place + 1].map((index) => JSON.parse(slow.lines[index] ?? '').seq);
      expect(around).toEqual([from - 1, to + 1]);
      const all = rawFrames(receiver, 'p');
      const seen = rawFrames(slow, 'p');
      const expected = [...all.slice(0, from - 1), ...all.slice(to)];
      // Not the frames themselves: a failure would print megabytes.
      expect(seen.length).toBe(expected.length);
      expect(seen.findIndex((raw, index) => raw !== expected[index])).toBe(-1);
      expect(daemon.log()).not.toContain('slow reader dropped');
    });
  });

  describe('closeStdin', () => {
    test('gives the child its end of file after exactly the bytes', async () => {
      const asker = await client();
      const bytes = Buffer.from(Array.from({ length: 600_000 }, (_, index) => index % 251));
      await asker.spawn('p', 'sha256sum');
      asker.post('process.stdin', { id: 'p', data: bytes.subarray(0, 300_000).toString('base64'), offset: 0 });
      asker.post('process.stdin', { id: 'p', data: bytes.subarray(300_000).toString('base64'), offset: 300_000 });
      const { raw, id } = await asker.request('holdfast.closeStdin', { id: 'p', offset: bytes.length });
      expect(raw).toBe(`{"jsonrpc":"2.0","id":${id},"result":{"success":true,"applied":600000}}`);
      expect((await asker.exitOf('p')).exitCode).toBe(0);
      expect(asker.stream('p').text()).toContain(createHash('sha256').update(bytes).digest('hex'));
    });

    test('keeps its table', async () => {
      const asker = await client();
      await asker.spawn('p', 'sh', ['-c', 'cat; exec sleep 3600']);
      await asker.stdin('p', 'abc\n');
      const close = (offset: number) => asker.request('holdfast.closeStdin', { id: 'p', offset });
      const gap = refusal(-32003, 'stdin offset gap: offset ahead of applied bytes');
      expect((await close(5)).error).toEqual(gap);
      expect((await close(3)).error).toEqual(refusal(-32602, 'stdin end behind applied bytes'));
      expect((await close(4)).result).toEqual({ success: true, applied: 4 });
      const repeat = await close(4);
      expect(repeat.raw).toContain('"result":{"success":true,"applied":4,"duplicate":true}');
      expect((await asker.stdin('p', 'c\n', 2)).result).toEqual({ success: true, applied: 4, duplicate: true });
      expect((await asker.stdin('p', 'more')).error).toEqual(refusal(-32602, 'stdin closed'));
      expect((await asker.stdin('p', 'more', 4)).error).toEqual(refusal(-32602, 'stdin closed'));
      expect((await asker.call('holdfast.sessions')).sessions[0]).toMatchObject({ stdinClosed: true, inBytes: 4 });
    });

    test('of an ended process is a repeat where it was closed, else too late', async () => {
      const asker = await client();
      await asker.spawn('closed', 'cat');
      await asker.call('holdfast.closeStdin', { id: 'closed', offset: 0 });
      await asker.spawn('open', 'true');
      await Promise.all([asker.exitOf('closed'), asker.exitOf('open')]);
      const close = (id: string, offset: number) => asker.request('holdfast.closeStdin', { id, offset });
      const notRunning = refusal(-32602, 'Process not running');
      expect((await close('closed', 0)).result).toEqual({ success: true, applied: 0, duplicate: true });
      expect((await close('closed', 1)).error).toEqual(notRunning);
      expect((await close('open', 0)).error).toEqual(notRunning);
    });

    test('in one burst with the spawn and the input works', async () => {
      const asker = await client();
      asker.post('process.spawn', { id: 'p', command: 'cat' });
      asker.post('process.stdin', { id: 'p', data: Buffer.from('all of it').toString('base64') });
      asker.post('holdfast.closeStdin', { id: 'p', offset: 9 });
      expect((await asker.exitOf('p')).exitCode).toBe(0);
      expect(asker.stream('p').text()).toBe('all of it');
    });
  });

  describe('release', () => {
    test('ends and forgets one process, and answers behind its exit frame', async () => {
      const asker = await client();
      const { pid } = await asker.spawn('p', 'sleep', ['3600'], { wantPid: true });
      await asker.spawn('other', 'cat');
      const reply = await asker.request('holdfast.release', { id: 'p' });
      expect(reply.raw).toBe(`{"jsonrpc":"2.0","id":${reply.id},"result":{"released":1}}`);
      expect(asker.lines.slice(-2)).toEqual([rawFrames(asker, 'p')[0], reply.raw]);
      expect(processFacts(pid)).toBeUndefined();
      expect((await asker.reattach('p', 0)).found).toBe(false);
      expect((await asker.call('holdfast.sessions')).sessions).toHaveLength(1);
      expect((await asker.request('holdfast.release', { id: 'p' })).error?.message).toBe('Process not found');
    });

    test('takes a stubborn one after the time, with its group', async () => {
      const asker = await client();
      const { pid } = await asker.spawn('p', ...fixture('ignore-term.sh'), { wantPid: true });
      await asker.untilOutput('p', 'ready');
      const target = facts(pid);
      expect(await asker.call('holdfast.release', { id: 'p', timeoutMs: 50 })).toEqual({ released: 1 });
      expect(isRunning(target)).toBe(false);
    });

    test('of all takes every process, running and ended, of every client, and answers behind every exit frame', async () => {
      const [asker, other] = [await client(), await client()];
      for (const id of ['a', 'b', 'c']) {
        await asker.spawn(id, 'sleep', ['3600']);
      }
      await other.spawn('theirs', 'sleep', ['3600']);
      await other.spawn('ended', 'true');
      await other.exitOf('ended');
      const reply = await asker.request('holdfast.release', { all: true });
      expect(reply.result).toEqual({ released: 5 });
      const exits = asker.lines.slice(0, asker.lines.indexOf(reply.raw)).filter((line) => line.includes('"exit"'));
      expect(exits).toHaveLength(3);
      await other.exitOf('theirs');
      expect(await asker.call('holdfast.sessions')).toEqual({ sessions: [] });
      expect(await asker.call('holdfast.release', { all: true })).toEqual({ released: 0 });
    });
  });

  describe('a spawn with ifAbsent', () => {
    const cat = { id: 'p', command: 'cat', ifAbsent: true };

    test('starts what is not there, and is answered like any spawn', async () => {
      const asker = await client();
      const reply = await asker.request('process.spawn', cat);
      expect(reply.raw).toBe(`{"jsonrpc":"2.0","id":${reply.id},"result":{"success":true}}`);
    });

    test('repeated because its reply was lost gives exactly one process, and what it wrote', async () => {
      const first = await client();
      const started = join(daemon.dir, `started-${profile}`);
      const request = {
        ...{ id: 'p', command: 'sh', args: ['-c', `echo $$ >> "$0"; echo hello; exec cat`, started] },
        ifAbsent: true,
      };
      first.post('process.spawn', request);
      await waitUntil(() => existsSync(started), 'the process to be started');
      first.destroy();
      const again = await client();
      const reply = await again.request('process.spawn', request);
      await again.untilOutput('p', 'hello');
      const [raw = ''] = rawFrames(again, 'p');
      const seen = again.lines[0] === raw ? 1 : 0;
      expect(reply.raw).toBe(
        `{"jsonrpc":"2.0","id":${reply.id},"result":{"success":true,"existing":true,"running":true,"firstSeq":${seen},"lastSeq":${seen},"stdinApplied":0}}`,
      );
      await again.request('process.stdin', { id: 'p', data: '' });
      const { sessions } = await again.call('holdfast.sessions');
      expect(sessions).toHaveLength(1);
      expect(readFileSync(started, 'utf8')).toBe(`${sessions[0].pid}\n`);
    });

    test('goes on after any frame, and tells pid and start time when they are wanted', async () => {
      const asker = await client();
      const { pid, startTime } = await asker.spawn('p', 'cat', [], { wantPid: true });
      for (const line of ['one\n', 'two\n']) {
        await asker.stdin('p', line);
        await asker.untilOutput('p', line);
      }
      const reply = await asker.request('process.spawn', { ...cat, fromSeq: 1, wantPid: true });
      expect(Object.entries(reply.result)).toEqual([
        ['success', true],
        ['existing', true],
        ['running', true],
        ['firstSeq', 1],
        ['lastSeq', 2],
        ['stdinApplied', 8],
        ['pid', pid],
        ['startTime', startTime],
      ]);
      expect(asker.stream('p').frames.map(({ seq }) => seq)).toEqual([1, 2, 2]);
    });

    test('finds an ended process and starts nothing', async () => {
      const asker = await client();
      await asker.spawn('p', 'sh', ['-c', 'echo done; exit 2']);
      await asker.exitOf('p');
      const reply = await asker.request('process.spawn', cat);
      expect(reply.result).toEqual({
        ...{ success: true, existing: true, running: false, firstSeq: 1, lastSeq: 2, stdinApplied: 0 },
      });
      expect(asker.lines.slice(-3, -1)).toEqual(rawFrames(asker, 'p').slice(0, 2));
    });

    test('of several clients at once starts one', async () => {
      const all = await Promise.all(Array.from({ length: 6 }, () => client()));
      const posted = all.map((each) => each.post('process.spawn', { ...cat, wantPid: true }));
      // Of the newer profile, whoever takes the process over closes the connection of the one before.
      const replies = await Promise.all(
        all.map(async (each, index): Promise<Reply | undefined> => {
          const replyOrEnd = () =>
            each.replies.find(({ id }) => id === posted[index]) ?? (each.ended ? 'ended' : undefined);
          const seen = await each.waitFor(replyOrEnd, 'the reply');
          return seen === 'ended' ? undefined : seen;
        }),
      );
      const results = replies.flatMap((reply) => (reply === undefined ? [] : [reply.result]));
      expect(results.length).toBeGreaterThan(profile === 'next' ? 0 : 5);
      expect(new Set(results.map(({ pid }) => pid)).size).toBe(1);
      expect(results.filter(({ existing }) => existing !== true).length).toBeLessThanOrEqual(1);
      const asker = await client();
      expect((await asker.call('holdfast.sessions')).sessions).toHaveLength(1);
    });

    test('false is a spawn as ever', async () => {
      const asker = await client();
      const { pid } = await asker.spawn('p', 'sleep', ['3600'], { wantPid: true });
      const second = await asker.spawn('p', 'cat', [], { ifAbsent: false, wantPid: true });
      expect(second.pid).not.toBe(pid);
      if (profile === 'next') {
        process.kill(pid, 'SIGKILL');
      }
    });

    test('is typed, and so is what goes with it; without it `fromSeq` is as unknown as any other member', async () => {
      const asker = await client();
      expect((await asker.request('process.spawn', { ...cat, ifAbsent: 'yes' })).error).toEqual(invalidParams);
      expect((await asker.request('process.spawn', { ...cat, fromSeq: -1 })).error).toEqual(invalidParams);
      const plain = await asker.request('process.spawn', { id: 'p', command: 'cat', fromSeq: { any: [1] } });
      expect(plain.result).toEqual({ success: true });
    });
  });

  test('a member of another profile is refused for its type only where it is known', async () => {
    const asker = await client();
    const reply = await asker.request('process.spawn', { id: 'p', command: 'true', disableShellAgentSocket: 'yes' });
    expect(reply.error ?? reply.result).toEqual(profile === 'next' ? invalidParams : { success: true });
    const first = await asker.request('process.spawn', { ifAbsent: true, fromSeq: -1 });
    expect(first.error).toEqual(invalidParams);
  });

  test('a door is shown, however it is written, up to 32 characters', async () => {
    const asker = await client();
    const spawn = (door: unknown) => asker.request('process.spawn', { id: 'p', command: 'true', door });
    expect((await spawn('😀'.repeat(32))).result).toEqual({ success: true });
    expect((await asker.call('holdfast.sessions')).sessions[0].door).toBe('😀'.repeat(32));
    expect((await spawn('x'.repeat(33))).error).toEqual(refusal(-32602, 'door has 33 characters, the most is 32'));
    expect((await spawn(5)).error).toEqual(invalidParams);
  });

  test('a client that asks for none of this sees none of it, whatever the others do', async () => {
    const plain = await client();
    const other = await client();
    await other.call('holdfast.watch');
    await plain.spawn('p', 'sh', ['-c', 'echo out; read line; exit 3']);
    await plain.untilOutput('p', 'out');
    await other.call('holdfast.observe', { id: 'p' });
    await other.call('holdfast.sessions');
    await plain.stdin('p', 'go\n');
    await plain.exitOf('p');
    await untilTold(other, 'p', 'exited');
    await plain.call('server.ping');
    expect(plain.lines).toEqual([
      '{"jsonrpc":"2.0","id":1,"result":{"success":true}}',
      '{"type":"stream","processId":"p","stream":"stdout","seq":1,"data":"b3V0Cg=="}',
      '{"jsonrpc":"2.0","id":2,"result":{"success":true,"applied":3}}',
      '{"type":"stream","processId":"p","stream":"exit","seq":2,"exitCode":3}',
      '{"jsonrpc":"2.0","id":3,"result":{"pong":true}}',
    ]);
  });
});

describe('a client that watches', () => {
  /** Names make the events of a process as long as one likes. */
  const longName = 'n'.repeat(100_000);

  test('and never reads is closed with a line in the log, and the daemon does not grow for it', async () => {
    await using daemon = await startDaemon();
    await using watcher = await connectRaw(daemon);
    await using worker = await connectRaw(daemon, { keep: 'figures' });
    await watcher.call('holdfast.watch');
    await worker.spawn('warm-up', 'true');
    const before = residentBytes(daemon.pid());
    watcher.pauseReading();
    let rounds = 0;
    while (!daemon.log().includes('bytes of events unread') && rounds++ < 400) {
      await worker.spawn(longName, 'true');
    }
    expect(daemon.log()).toMatch(
      /WARN {2}\[Server\] connection has 4194304 bytes of events unread; closing it: read them, or ask for none\n/,
    );
    expect(rounds).toBeGreaterThan(5);
    expect(residentBytes(daemon.pid()) - before).toBeLessThan(60 * mebibyte);
    watcher.resumeReading();
    await watcher.untilClosed();
    expect((await worker.call('server.ping')).pong).toBe(true);
  });

  test('is not closed because large answers are on their way to it', async () => {
    await using daemon = await startDaemon();
    await using watcher = await connectRaw(daemon, { keep: 'figures' });
    await using worker = await connectRaw(daemon);
    const file = join(daemon.dir, 'large');
    writeFileSync(file, Buffer.alloc(mebibyte, 'x'));
    await watcher.call('holdfast.watch');
    watcher.pauseReading();
    const reads = Array.from({ length: 12 }, () => watcher.post('files.read', { path: file, maxBytes: mebibyte }));
    for (let count = 0; count < 3; count++) {
      await worker.call('files.read', { path: file, maxBytes: mebibyte });
      await worker.spawn('p', 'true');
    }
    watcher.resumeReading();
    await watcher.waitFor(() => reads.every((id) => watcher.replies.some((reply) => reply.id === id)), 'the answers');
    await watcher.waitFor(() => toldOf(watcher, 'p').filter((event) => event === 'spawned').length === 3, 'the events');
    expect(daemon.log()).not.toContain('events unread');
  });
});

test('the end of a connection ends its watching and observing', async () => {
  await using daemon = await startDaemon();
  await using worker = await connectRaw(daemon);
  await worker.spawn('p', 'cat');
  {
    await using watcher = await connectRaw(daemon);
    await watcher.call('holdfast.watch');
    await watcher.call('holdfast.observe', { id: 'p' });
    await watcher.close();
  }
  await waitUntil(
    async () => (await worker.call('holdfast.sessions')).sessions[0].observers === 0,
    'the observer to be gone',
  );
  await worker.call('holdfast.release', { all: true });
  expect(daemon.log()).not.toContain('recovered panic');
});
