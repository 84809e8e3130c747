/**
 * Fault 8: a bad network between client and daemon, played by the fault proxy: single bytes, stalls, cuts at every byte,
 * resets, a peer that is gone without a word; through `-bridge` and without it.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { fixture } from '../support/fixtures.ts';
import { program } from '../support/holdfast.ts';
import { readStreamFrame, StreamRecord } from '../support/streams.ts';
import { waitUntil } from '../support/wait.ts';
import { type FaultProxy, type ProxyOptions, startFaultProxy } from '../tools/fault-proxy.ts';
import { Noise } from '../tools/noise.ts';
import { connectRaw } from '../tools/raw-connection.ts';
import { expectNothingLeft, holdingsOf } from './support/leaks.ts';
import { byLength, full, limitMs } from './support/length.ts';
import { isIdleFor, untilIdle } from './support/processor-time.ts';
import { WatchedRun } from './support/watched-run.ts';

/** Where a connection is cut, in bytes from its start. Every place in a full run. */
const cutsToClient = full ? range(1, 4096) : [...range(1, 40), ...range(41, 4096).filter((byte) => byte % 97 === 0)];
const stallMs = byLength(300, 5_000);
const silenceMs = byLength(1_000, 10 * 60_000);
function proxyOf(daemon: TestDaemon, rules: Pick<ProxyOptions, 'toTarget' | 'toClient'>): Promise<FaultProxy> {
  return startFaultProxy({ listen: join(daemon.dir, 'proxy'), target: daemon.socket, ...rules });
}

test('requests and output that arrive byte by byte are the same requests and the same output', {
  timeout: limitMs(60),
}, async () => {
  await using daemon = await startDaemon();
  using run = new WatchedRun(daemon.dir);
  await using proxy = await proxyOf(daemon, { toTarget: 'chunk 1', toClient: 'chunk 1' });
  await using client = await connectRaw(
    { socket: proxy.address, token: daemon.token },
    { name: 'c', observer: run.observer },
  );
  await client.spawn('echo', ...fixture('echo-lines.ts', ...run.child('echo')));
  const noise = new Noise('input');
  let offset = 0;
  for (const bytes of [1, 2, 3, 1000, 40_000]) {
    const { result } = await client.stdin('echo', noise.bytes(offset, bytes), offset);
    offset += bytes;
    expect(result).toEqual({ success: true, applied: offset });
  }
  await client.waitFor(() => client.stream('echo').bytes.stdout === offset, 'everything to come back');
  await client.kill('echo');
  await client.exitOf('echo');
  run.completeWithInput('echo');
  run.verify();
});

test('a network that stalls again and again in the middle of a frame loses nothing', {
  timeout: limitMs(60),
}, async () => {
  await using daemon = await startDaemon();
  using run = new WatchedRun(daemon.dir);
  await using proxy = await proxyOf(daemon, {});
  let client = await connectRaw(daemon, { name: 'first', keep: 'figures', observer: run.observer });
  const bytes = 2_000_000;
  await client.spawn(
    'noise',
    ...fixture('write-noise.ts', '--bytes', String(bytes), '--write', '5000', ...run.child('noise')),
  );
  for (const stall of [1, 50_003, 200_001, 700_019]) {
    proxy.setRules({ toClient: `stall ${stall}` });
    client.destroy();
    client = await connectRaw(
      { socket: proxy.address, token: daemon.token },
      { name: `at-${stall}`, keep: 'figures', observer: run.observer, continues: client },
    );
    client.post('process.reattach', { id: 'noise', fromSeq: client.stream('noise').lastSeq });
    await waitUntil(() => proxy.passed.toClient === stall || client.stream('noise').exit !== undefined, 'the stall');
    await sleep(stallMs);
    proxy.release();
    await client.waitFor(() => client.replies.length > 0, 'the reply after the stall');
  }
  await client.exitOf('noise');
  client.destroy();
  expect(client.stream('noise')).toMatchObject({ bytes: { stdout: bytes }, gaps: [] });
  run.complete('noise');
  run.verify();
});

test('a connection may be cut after any byte of the output: whoever reattaches has every byte once', {
  timeout: limitMs(60),
}, async () => {
  await using daemon = await startDaemon();
  await using steady = await connectRaw(daemon);
  const before = await holdingsOf(daemon, steady);
  const bytes = 3_000;
  await steady.spawn(
    'noise',
    ...fixture('write-noise.ts', '--bytes', String(bytes), '--write', '700', '--seed', 'cut'),
  );
  await steady.exitOf('noise');
  const wanted = steady.stream('noise').output();
  expect(wanted).toEqual(new Noise('cut').bytes(0, bytes));
  await using proxy = await proxyOf(daemon, {});
  const through = { socket: proxy.address, token: daemon.token };
  for (const cut of cutsToClient) {
    proxy.setRules({ toClient: `cut ${cut}` });
    await using first = await connectRaw(through);
    first.post('process.reattach', { id: 'noise', fromSeq: 0 });
    await first.waitFor(() => first.ended || first.replies.length > 0, 'the cut or the end').catch(() => {});
    first.destroy();
    await using second = await connectRaw(daemon, { continues: first });
    await second.reattach('noise');
    expect(second.stream('noise').output().equals(wanted), `cut after ${cut} bytes`).toBe(true);
    expect(second.stream('noise')).toMatchObject({ gaps: [], duplicates: 0 });
  }
  await expectNothingLeft(daemon, before);
});

test('a connection may be cut after any byte of a request: it takes effect whole or not at all, and once when repeated', {
  timeout: limitMs(60),
}, async () => {
  await using daemon = await startDaemon();
  using run = new WatchedRun(daemon.dir);
  await using steady = await connectRaw(daemon, { name: 'steady', observer: run.observer });
  await steady.spawn('echo', ...fixture('echo-lines.ts', ...run.child('echo')));
  await using proxy = await proxyOf(daemon, {});
  const line = 'exactly once\n';
  const request = (offset: number) =>
    JSON.stringify({
      ...{ jsonrpc: '2.0', id: 1, method: 'process.stdin', auth: daemon.token },
      params: { id: 'echo', data: Buffer.from(line).toString('base64'), offset },
    });
  let applied = 0;
  // The last two: the line without its end, and whole.
  for (let cut = 1; cut <= request(applied).length + 1; cut += byLength(7, 1)) {
    proxy.setRules({ toTarget: `cut ${cut}` });
    await using client = await connectRaw(
      { socket: proxy.address, token: daemon.token },
      { name: `cut-${cut}`, observer: run.observer },
    );
    client.sendLine(request(applied));
    await client.untilClosed();
    const { stdinApplied } = await steady.reattach('echo');
    expect([applied, applied + line.length]).toContain(stdinApplied);
    const { result } = await steady.stdin('echo', line, applied);
    applied += line.length;
    expect(result.applied).toBe(applied);
  }
  await steady.waitFor(() => steady.stream('echo').bytes.stdout === applied, 'every line to come back');
  await steady.kill('echo');
  await steady.exitOf('echo');
  run.completeWithInput('echo');
  run.verify();
});

test('a connection that is reset, or whose peer is gone without a word, holds nothing up and costs no processor time', {
  timeout: limitMs(60),
}, async () => {
  await using daemon = await startDaemon({ profile: 'current' });
  using run = new WatchedRun(daemon.dir);
  await using steady = await connectRaw(daemon, { name: 'steady', keep: 'figures', observer: run.observer });
  await using proxy = await proxyOf(daemon, {});
  const through = { socket: proxy.address, token: daemon.token };
  await using gone = await connectRaw(through, { name: 'gone', keep: 'figures', observer: run.observer });
  await gone.spawn('noise', ...fixture('write-noise.ts', '--bytes', '8000000', ...run.child('noise')));
  proxy.strike('half-open');

  const pid = daemon.pid();
  await steady.call('server.ping');
  await untilIdle(pid);
  expect(await isIdleFor(pid, silenceMs)).toBe(true);
  if (full) {
    await daemon.untilLogged(/closing connection idle 5m0s in both directions: @/);
  }
  const { lastSeq } = gone.stream('noise');
  await steady.reattach('noise', lastSeq);
  await steady.exitOf('noise');

  await using reset = await connectRaw(through, { name: 'reset', keep: 'figures', observer: run.observer });
  proxy.strike('rst');
  await reset.untilClosed();
  expect(await steady.call('server.ping')).toEqual({ pong: true });
  run.verify();
});

describe('through the bridge', () => {
  test('output that is cut off in mid-frame ends the bridge, and the next bridge brings the rest', {
    timeout: limitMs(60),
  }, async () => {
    await using daemon = await startDaemon();
    await using proxy = await proxyOf(daemon, { toClient: 'chunk 997; cut 150001' });
    const record = new StreamRecord('noise', true);
    const bytes = 400_000;
    const [command, args] = fixture('write-noise.ts', '--bytes', String(bytes), '--seed', 'bridge');
    let bridge = new Bridge(daemon, proxy.address, record);
    bridge.send('process.spawn', { id: 'noise', command, args });
    let bridges = 1;
    for (; record.exit === undefined; bridges++) {
      expect(await bridge.ended).toBe(0);
      bridge = new Bridge(daemon, proxy.address, record);
      bridge.send('process.reattach', { id: 'noise', fromSeq: record.lastSeq });
      await waitUntil(() => bridge.hasEnded || record.exit !== undefined, 'the next cut or the end');
    }
    bridge.input.end();
    expect(await bridge.ended).toBe(0);
    expect(record).toMatchObject({ gaps: [], bytes: { stdout: bytes } });
    expect(record.output().equals(new Noise('bridge').bytes(0, bytes))).toBe(true);
    expect(bridges).toBeGreaterThan(3);
  });

  test('the bridge ends when its input ends and when the daemon is killed, and uses no processor time while nothing comes', {
    timeout: limitMs(60),
  }, async () => {
    await using daemon = await startDaemon();
    await using proxy = await proxyOf(daemon, {});
    const byInput = new Bridge(daemon, daemon.socket);
    byInput.send('server.ping', {});
    await waitUntil(() => byInput.lines.length === 1, 'the reply');
    byInput.input.end();
    expect(await byInput.ended).toBe(0);

    const silent = new Bridge(daemon, proxy.address);
    silent.send('server.ping', {});
    await waitUntil(() => silent.lines.length === 1, 'the reply');
    proxy.strike('half-open');
    silent.send('server.ping', {});
    await untilIdle(silent.pid);
    expect(silent.hasEnded).toBe(false);
    proxy.strike('cut');
    expect(await silent.ended).toBe(0);

    const last = new Bridge(daemon, daemon.socket);
    last.send('server.ping', {});
    await waitUntil(() => last.lines.length === 1, 'the reply');
    await daemon.kill();
    expect(await last.ended).toBe(0);
  });
});

/** `holdfast -bridge` as ssh runs it: pipes for input and output. */
class Bridge {
  readonly lines: string[] = [];
  readonly ended: Promise<number | null>;
  hasEnded = false;
  readonly #daemon: TestDaemon;
  readonly #process: ChildProcessWithoutNullStreams;
  #rest = Buffer.alloc(0);
  #id = 0;

  constructor(daemon: TestDaemon, socket: string, record?: StreamRecord) {
    this.#daemon = daemon;
    this.#process = spawn(program, ['-bridge', '-socket', socket], { env: daemon.env });
    this.#process.stdin.on('error', () => {});
    this.#process.stdout.on('data', (bytes: Buffer) => {
      const all = Buffer.concat([this.#rest, bytes]);
      let start = 0;
      for (let end = all.indexOf(0x0a); end >= 0; end = all.indexOf(0x0a, start)) {
        const line = all.subarray(start, end);
        const frame = readStreamFrame(line);
        if (frame === undefined) {
          this.lines.push(line.toString());
        } else {
          record?.add(frame);
        }
        start = end + 1;
      }
      this.#rest = all.subarray(start);
    });
    this.ended = new Promise((resolve, reject) => {
      this.#process.on('error', reject).on('close', (code) => {
        this.hasEnded = true;
        resolve(code);
      });
    });
  }

  get pid(): number {
    return this.#process.pid as number;
  }

  get input(): NodeJS.WritableStream {
    return this.#process.stdin;
  }

  send(method: string, params: object): void {
    const { token } = this.#daemon;
    this.#process.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', id: ++this.#id, method, params, auth: token })}\n`);
  }
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}
