/** One client's connection over a real socket: order, half-close, pressure, takeover (spec wire.md §2, §9; process.md §8). */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { prepareDaemon, startDaemon } from '../../support/daemon.ts';
import { fixture } from '../../support/fixtures.ts';
import { type ProcessFacts, processFacts, residentBytes, untilEnded } from '../../support/processes.ts';
import { waitUntil } from '../../support/wait.ts';
import { connectRaw, type RawConnection, type Reply } from '../../tools/raw-connection.ts';

/** So long that a close that waits for it fails the test. */
const never = 10 * 60_000;

/** Lines of the client in order of arrival, shortened: `reply 3`, `p1 1`, `p1 exit`. */
function arrivals(client: RawConnection): string[] {
  return client.lines.map((line) => {
    const { id, processId, stream, seq } = JSON.parse(line);
    return processId === undefined ? `reply ${id}` : `${processId} ${stream === 'exit' ? 'exit' : seq}`;
  });
}

function untilReplies(client: RawConnection, ids: readonly number[]): Promise<Reply[]> {
  return client.waitFor(
    () => {
      const found = ids.map((id) => client.replies.find((reply) => reply.id === id));
      return found.every((reply) => reply !== undefined) ? (found as Reply[]) : undefined;
    },
    `the replies ${ids.join(', ')}`,
  );
}

/** The connection has answered everything it was sent before this. */
async function settled(client: RawConnection): Promise<void> {
  await client.call('server.ping');
}

describe('requests of one connection', () => {
  test('that cannot be read or have no token are answered in the order of their lines', async () => {
    await using daemon = await startDaemon();
    await using client = await connectRaw(daemon);
    const lines = Array.from({ length: 300 }, (_, index) =>
      index % 3 === 0 ? '{not json' : `{"jsonrpc":"2.0","id":${index},"method":"server.ping","auth":"wrong"}`,
    );
    client.send(`${lines.join('\n')}\n`);
    await client.waitFor(() => client.replies.length === 300, 'every reply');
    expect(client.replies.map(({ id }) => id)).toEqual(lines.map((_, index) => (index % 3 === 0 ? null : index)));
  });

  test('are answered while an earlier one takes its time, and so are those of others', async () => {
    await using daemon = await startDaemon();
    await using client = await connectRaw(daemon);
    await client.spawn('stubborn', ...fixture('ignore-term.sh'));
    await client.untilOutput('stubborn', 'ready');
    const slow = client.post('process.killAndWait', { id: 'stubborn', timeoutMs: 30_000 });
    await settled(client);
    await using other = await connectRaw(daemon);
    await settled(other);
    expect(client.replies.some(({ id }) => id === slow)).toBe(false);
    await client.kill('stubborn', 'KILL');
    expect((await untilReplies(client, [slow]))[0]?.result).toEqual({ found: true, died: true });
  });

  test('are obeyed however many file and git requests hang', async () => {
    await using daemon = await prepareDaemon({ profile: 'current' });
    const bin = join(daemon.dir, 'bin');
    mkdirSync(bin);
    // What is no repository is told without git.
    const repository = join(daemon.dir, 'repository');
    execFileSync('git', ['init', '--quiet', repository]);
    writeFileSync(join(bin, 'git'), '#!/bin/sh\nexec sleep 3600\n', { mode: 0o755 });
    daemon.env.SHELL = '/bin/false';
    daemon.env.PATH = `${bin}:${daemon.env.PATH}`;
    await daemon.start();
    await using client = await connectRaw(daemon);
    await client.spawn('cat', 'cat');
    const hanging = Array.from({ length: 100 }, () => client.post('git.info', { path: repository }));
    await client.kill('cat');
    await client.exitOf('cat');
    expect(client.replies.some(({ id }) => hanging.includes(id as number))).toBe(false);
  });

  test('to one process’s stdin take effect in the order in which they came', async () => {
    await using daemon = await startDaemon();
    await using client = await connectRaw(daemon);
    await client.spawn('cat', 'cat');
    const pieces = Array.from({ length: 500 }, (_, index) => `${index}\n`);
    for (const piece of pieces) {
      client.post('process.stdin', { id: 'cat', data: Buffer.from(piece).toString('base64') });
    }
    await client.untilOutput('cat', '\n499\n');
    expect(client.stream('cat').text()).toBe(pieces.join(''));
  });

  test('for one process written in one burst all find it, also while its start still waits for the login shell', async () => {
    await using daemon = await startDaemon({ env: { SHELL: slowShell() } });
    await using client = await connectRaw(daemon);
    const spawn = client.post('process.spawn', { id: 'p1', command: 'cat' });
    const stdin = client.post('process.stdin', { id: 'p1', data: 'aGVsbG8K' });
    const again = client.post('process.stdin', { id: 'p1', data: 'aGVsbG8K', offset: 0 });
    const attach = client.post('process.reattach', { id: 'p1', fromSeq: 99 });
    const kill = client.post('process.killAndWait', { id: 'p1', signal: 'KILL' });
    const replies = await untilReplies(client, [spawn, stdin, again, attach, kill]);
    expect(replies.map(({ result }) => result)).toEqual([
      { success: true },
      { success: true, applied: 6 },
      { success: true, applied: 6, duplicate: true },
      { found: true, running: true, firstSeq: 0, lastSeq: 0, stdinApplied: 6 },
      { found: true, died: true },
    ]);
  });

  test('for a process whose start fails are answered after it, in one burst too', async () => {
    await using daemon = await startDaemon({ env: { SHELL: slowShell() } });
    await using client = await connectRaw(daemon);
    const ids = [
      client.post('process.spawn', { id: 'p1', command: '/nonexistent' }),
      client.post('process.stdin', { id: 'p1', data: 'eA==' }),
      client.post('process.spawn', { id: 'p1', command: 'true' }),
      client.post('process.stdin', { id: 'p1', data: '' }),
    ];
    const [failed, lost, started, found] = await untilReplies(client, ids);
    expect(failed?.error?.message).toBe('fork/exec /nonexistent: no such file or directory');
    expect(lost?.error?.message).toBe('Process not found');
    expect(started?.result).toEqual({ success: true });
    expect(found?.error?.message ?? found?.result).toEqual({ success: true, applied: 0 });
  });
});

/** A login shell that answers after a moment. */
function slowShell(): string {
  return fileURLToPath(new URL('../../fixtures/slow-login-shell.sh', import.meta.url));
}

describe('frames', () => {
  test('of a process come after the reply of its spawn, however fast it is', async () => {
    await using daemon = await startDaemon();
    await using client = await connectRaw(daemon);
    const ids = Array.from({ length: 60 }, (_, index) =>
      client.post('process.spawn', { id: `p${index}`, command: 'sh', args: ['-c', 'echo out; echo err >&2'] }),
    );
    await Promise.all(ids.map((_, index) => client.exitOf(`p${index}`)));
    const seen = arrivals(client);
    for (const [index, id] of ids.entries()) {
      expect(seen.indexOf(`reply ${id}`)).toBeLessThan(seen.indexOf(`p${index} 1`));
      expect(seen.indexOf(`p${index} 1`)).toBeLessThan(seen.indexOf(`p${index} exit`));
    }
  });

  test('of a replay come before its reply, live ones after it, none twice and none missing', async () => {
    await using daemon = await startDaemon();
    await using writer = await connectRaw(daemon);
    await writer.spawn('flood', ...fixture('count-forever.ts', '--every', '0'));
    await writer.waitFor(() => writer.stream('flood').lastSeq > 50, 'some frames');
    await using reader = await connectRaw(daemon);
    const result = await reader.reattach('flood', 10);
    const atReply = reader.stream('flood').lastSeq;
    await reader.waitFor(() => reader.stream('flood').lastSeq > result.lastSeq + 50, 'live frames');
    await reader.kill('flood', 'KILL');
    await reader.exitOf('flood');
    expect(result).toMatchObject({ found: true, running: true, firstSeq: 1 });
    const seen = arrivals(reader);
    const reply = seen.findIndex((arrival) => arrival.startsWith('reply'));
    expect(seen.slice(0, reply)).toEqual(
      Array.from({ length: result.lastSeq - 10 }, (_, index) => `flood ${index + 11}`),
    );
    expect(seen[reply + 1]).toBe(`flood ${result.lastSeq + 1}`);
    expect(atReply).toBeGreaterThanOrEqual(result.lastSeq);
    const { duplicates, gaps, afterExit } = reader.stream('flood');
    expect({ duplicates, gaps, afterExit }).toEqual({ duplicates: 0, gaps: [{ after: 0, before: 11 }], afterExit: 0 });
  });

  test('of many processes at once stay whole and in order for each of them', async () => {
    await using daemon = await startDaemon();
    await using client = await connectRaw(daemon);
    const names = Array.from({ length: 8 }, (_, index) => `p${index}`);
    const script = 'for i in $(seq 1 400); do echo "$0 $i"; echo "$0 $i" >&2; done';
    for (const name of names) {
      client.post('process.spawn', { id: name, command: 'sh', args: ['-c', script, name] });
    }
    await Promise.all(names.map((name) => client.exitOf(name)));
    for (const name of names) {
      const expected = Array.from({ length: 400 }, (_, index) => `${name} ${index + 1}\n`).join('');
      const { duplicates, gaps } = client.stream(name);
      expect({ duplicates, gaps }).toEqual({ duplicates: 0, gaps: [] });
      expect(client.stream(name).text('stdout')).toBe(expected);
      expect(client.stream(name).text('stderr')).toBe(expected);
    }
    expect(client.strays).toEqual([]);
  });

  test('of an ended process come before the answer to the kill that ended it', async () => {
    await using daemon = await startDaemon();
    await using client = await connectRaw(daemon);
    for (let round = 0; round < 20; round++) {
      await client.spawn('cat', 'cat');
      const reply = await client.request('process.killAndWait', { id: 'cat' });
      expect(reply.result).toEqual({ found: true, died: true });
      const seen = arrivals(client);
      expect(seen.lastIndexOf('cat exit')).toBe(seen.lastIndexOf(`reply ${reply.id}`) - 1);
    }
  });
});

describe('a client that ends its half', () => {
  test('with nothing in flight is let go at once', async () => {
    await using daemon = await startDaemon({ timings: { halfCloseMs: never } });
    await using client = await connectRaw(daemon);
    await settled(client);
    client.halfClose();
    await client.untilClosed();
    expect(client.error).toBeUndefined();
  });

  test('gets the answers to everything it has sent, the line without an end among them', async () => {
    await using daemon = await startDaemon({ timings: { halfCloseMs: never } });
    await using client = await connectRaw(daemon);
    for (let count = 0; count < 200; count++) {
      client.post('server.ping');
    }
    client.send(`{"jsonrpc":"2.0","id":"last","method":"server.ping","auth":"${daemon.token}"}`);
    client.halfClose();
    await client.untilClosed();
    expect(client.replies.map(({ id }) => id)).toEqual([
      ...Array.from({ length: 200 }, (_, index) => index + 1),
      'last',
    ]);
  });

  test('gets the answer of a handler that is still at work', async () => {
    await using daemon = await startDaemon({ timings: { halfCloseMs: never } });
    await using client = await connectRaw(daemon);
    await client.spawn('stubborn', ...fixture('ignore-term.sh'));
    await client.untilOutput('stubborn', 'ready');
    client.post('process.killAndWait', { id: 'stubborn', timeoutMs: 200 });
    client.halfClose();
    await client.untilClosed();
    expect(client.replies.at(-1)?.result).toEqual({ found: true, died: true, escalated: true });
  });

  test('gets no more frames, and what it started runs on', async () => {
    await using daemon = await startDaemon({ timings: { halfCloseMs: never } });
    await using client = await connectRaw(daemon);
    await client.spawn('counter', ...fixture('count-forever.ts', '--every', '1'));
    await client.spawn('stubborn', ...fixture('ignore-term.sh'));
    await client.untilOutput('stubborn', 'ready');
    client.post('process.killAndWait', { id: 'stubborn', timeoutMs: 300 });
    client.halfClose();
    await client.untilClosed();
    expect(client.replies.at(-1)?.result).toMatchObject({ died: true, escalated: true });
    expect(client.stream('stubborn').exit).toBeUndefined();
    await using next = await connectRaw(daemon, { continues: client });
    const result = await next.reattach('counter');
    expect(result.running).toBe(true);
    await next.waitFor(() => next.stream('counter').lastSeq > result.lastSeq + 20, 'more frames');
    expect(next.stream('counter').gaps).toEqual([]);
  });

  test('right after a reattach gets the whole replay and the reply first, also when it reads slowly', async () => {
    await using daemon = await startDaemon({ timings: { halfCloseMs: never } });
    await using writer = await connectRaw(daemon);
    await writer.spawn('noise', ...fixture('write-noise.ts', '--bytes', '6000000'));
    await writer.exitOf('noise');
    await using reader = await connectRaw(daemon);
    reader.pauseReading();
    reader.post('process.reattach', { id: 'noise', fromSeq: 0 });
    reader.halfClose();
    await daemon.untilLogged(/Connection closed: @/);
    reader.resumeReading();
    await reader.untilClosed();
    expect(reader.stream('noise').sha256()).toBe(writer.stream('noise').sha256());
    expect(reader.stream('noise').gaps).toEqual([]);
    expect(reader.stream('noise').exit?.raw).toBe(writer.stream('noise').exit?.raw);
    expect(reader.lines.at(-1)).toBe(reader.replies[0]?.raw);
    expect(reader.replies[0]?.result).toMatchObject({ found: true, running: false });
  });

  test('is not waited for longer than the bound', async () => {
    await using daemon = await startDaemon({ timings: { halfCloseMs: 300 } });
    await using client = await connectRaw(daemon);
    await client.spawn('stubborn', ...fixture('ignore-term.sh'));
    await client.untilOutput('stubborn', 'ready');
    client.post('process.killAndWait', { id: 'stubborn', timeoutMs: 30_000 });
    client.halfClose();
    await client.untilClosed();
    expect(client.replies).toHaveLength(1);
    await using other = await connectRaw(daemon);
    expect(await other.reattach('stubborn', 0)).toMatchObject({ found: true, running: true });
  });
});

test('a client that goes away does not stop a kill that it has started', async () => {
  await using daemon = await startDaemon();
  await using client = await connectRaw(daemon);
  const { pid } = await client.spawn('stubborn', ...fixture('ignore-term.sh'), { wantPid: true });
  await client.untilOutput('stubborn', 'ready');
  const target = processFacts(pid) as ProcessFacts;
  client.post('process.killAndWait', { id: 'stubborn', timeoutMs: 300 });
  await settled(client);
  client.destroy();
  await untilEnded(target);
});

describe('a client that does not read', () => {
  test('has its further requests wait until its answers have left, and then gets every one of them', async () => {
    await using daemon = await startDaemon();
    const file = join(daemon.dir, 'large');
    const marker = join(daemon.dir, 'marker');
    writeFileSync(file, Buffer.alloc(2_000_000, 'x'));
    await using client = await connectRaw(daemon);
    await using other = await connectRaw(daemon);
    await settled(client);
    const before = residentBytes(daemon.pid());
    client.pauseReading();
    const reads = Array.from({ length: 100 }, () => client.post('files.read', { path: file, maxBytes: 2_000_000 }));
    for (let count = 0; count < 3; count++) {
      await settled(other);
    }
    // More than the socket takes and the daemon reads ahead; the marker stands behind it.
    const padding = 'x'.repeat(100_000);
    for (let count = 0; count < 30; count++) {
      client.post('server.ping', { padding });
    }
    const spawn = client.post('process.spawn', { id: 'marker', command: 'touch', args: [marker] });
    for (let count = 0; count < 200; count++) {
      await settled(other);
    }
    expect(existsSync(marker)).toBe(false);
    expect(residentBytes(daemon.pid()) - before).toBeLessThan(200_000_000);
    client.resumeReading();
    const replies = await untilReplies(client, [...reads, spawn]);
    expect(replies.slice(0, -1).every(({ result }) => result.content.length === 2_000_000)).toBe(true);
    await waitUntil(() => existsSync(marker), 'the request behind the answers to be served');
  });

  test('is still obeyed while a long replay is on its way to it', async () => {
    await using daemon = await startDaemon();
    await using writer = await connectRaw(daemon);
    await writer.spawn('noise', ...fixture('write-noise.ts', '--bytes', '11000000'));
    await writer.exitOf('noise');
    await writer.spawn('cat', 'cat');
    await using reader = await connectRaw(daemon);
    reader.pauseReading();
    reader.post('process.reattach', { id: 'noise', fromSeq: 0 });
    reader.post('process.kill', { id: 'cat', signal: 'KILL' });
    await writer.exitOf('cat');
    reader.resumeReading();
    await reader.exitOf('noise');
    expect(reader.stream('noise').sha256()).toBe(writer.stream('noise').sha256());
  });

  test('costs the other clients and the daemon’s memory nothing, its child little, and is told in the log what it missed', async () => {
    await using daemon = await startDaemon({ timings: { readerStallMs: 500 } });
    await using slow = await connectRaw(daemon);
    await using other = await connectRaw(daemon);
    const done = join(daemon.dir, 'sha256');
    const before = residentBytes(daemon.pid());
    slow.pauseReading();
    slow.post('process.spawn', {
      id: 'noise',
      command: fixture('write-noise.ts')[0],
      args: [...fixture('write-noise.ts', '--bytes', '60000000', '--sha256', done)[1]],
    });
    await waitUntil(() => existsSync(done), 'the child to finish although nobody reads');
    await settled(other);
    const line = await daemon.untilLogged(/slow reader dropped/);
    const match =
      /WARN {2}\[frameSink\] slow reader dropped: process noise evicted seq (\d+) before it was sent; reattach with fromSeq (\d+)$/.exec(
        line,
      );
    const [missed, fromSeq] = [Number(match?.[1]), Number(match?.[2])];
    expect(fromSeq).toBe(missed - 1);
    expect(residentBytes(daemon.pid()) - before).toBeLessThan(100_000_000);
    // What was on its way still arrives, up to the frame before the one in the log.
    slow.resumeReading();
    await slow.untilClosed();
    expect(slow.stream('noise').lastSeq).toBe(fromSeq);
    expect(slow.stream('noise').gaps).toEqual([]);
    expect(daemon.log().match(/slow reader dropped/g)).toHaveLength(1);

    await using again = await connectRaw(daemon, { continues: slow });
    const result = await again.reattach('noise', fromSeq);
    await again.exitOf('noise');
    expect(result.firstSeq).toBeGreaterThan(missed);
    expect(again.stream('noise').gaps).toEqual([{ after: fromSeq, before: result.firstSeq }]);
    expect(again.stream('noise').lastSeq).toBeGreaterThanOrEqual(result.lastSeq);
  });

  test('completes its reattach however much the process writes meanwhile, and is then told what it missed', async () => {
    await using daemon = await startDaemon({ profile: 'next' });
    await using writer = await connectRaw(daemon, { keep: 'figures' });
    const noise = fixture('write-noise.ts', '--bytes').flat();
    const done = join(daemon.dir, 'sha256');
    const script = '"$@" 11000000; read go; "$@" 60000000 --sha256 "$0"';
    await writer.spawn('noise', 'sh', ['-c', script, done, ...noise]);
    await writer.waitFor(() => writer.stream('noise').bytes.stdout === 11_000_000, 'the first part');
    await using reader = await connectRaw(daemon);
    reader.pauseReading();
    reader.post('process.reattach', { id: 'noise', fromSeq: 0 });
    // The takeover closes the old connection, so the promise stands; now the window goes round under it.
    await writer.untilClosed();
    await using other = await connectRaw(daemon);
    await other.stdin('noise', 'go\n');
    await waitUntil(() => existsSync(done), 'the child to have written everything');
    reader.resumeReading();
    await reader.untilClosed();
    const [reply] = reader.replies;
    const { firstSeq, lastSeq } = reply?.result ?? {};
    const seqs = reader.stream('noise').frames.map(({ seq }) => seq);
    expect(seqs).toEqual(Array.from({ length: lastSeq - firstSeq + 1 }, (_, index) => firstSeq + index));
    expect(await daemon.untilLogged(/slow reader dropped/)).toMatch(
      new RegExp(`process noise evicted seq ${lastSeq + 1} before it was sent; reattach with fromSeq ${lastSeq}$`),
    );
  });
});

describe.each(['S', 'current', 'next'] as const)(
  'profile %s: a process taken over by another connection',
  (profile) => {
    const closesOld = profile === 'next';

    test(`leaves the old one ${closesOld ? 'closed' : 'open and usable'}, with no frame above the reported number`, async () => {
      await using daemon = await startDaemon({ profile });
      await using old = await connectRaw(daemon);
      await old.spawn('counter', ...fixture('count-forever.ts', '--every', '1'));
      await old.spawn('mine', 'cat');
      await old.waitFor(() => old.stream('counter').lastSeq > 20, 'some frames');
      await using taker = await connectRaw(daemon);
      const { lastSeq } = await taker.reattach('counter', 0);
      await taker.waitFor(() => taker.stream('counter').lastSeq > lastSeq + 50, 'live frames');
      if (closesOld) {
        await old.untilClosed();
        expect((await taker.request('process.stdin', { id: 'mine', data: '' })).result).toMatchObject({
          success: true,
        });
      } else {
        await settled(old);
        await old.stdin('mine', 'still here\n');
        await old.untilOutput('mine', 'still here');
      }
      expect(old.stream('counter').lastSeq).toBeLessThanOrEqual(lastSeq);
      expect(old.stream('counter').gaps).toEqual([]);
      expect(taker.stream('counter').gaps).toEqual([]);
    });

    test('again by the same connection closes nothing and repeats the frames', async () => {
      await using daemon = await startDaemon({ profile });
      await using client = await connectRaw(daemon);
      await client.spawn('cat', 'cat');
      await client.stdin('cat', 'once\n');
      await client.untilOutput('cat', 'once');
      const results = [await client.reattach('cat', 0), await client.reattach('cat', 0)];
      const expected = { found: true, running: true, firstSeq: 1, lastSeq: 1, stdinApplied: 5 };
      expect(results).toEqual([expected, expected]);
      expect(client.stream('cat').frames.map(({ seq }) => seq)).toEqual([1, 1, 1]);
      await client.stdin('cat', 'twice\n');
      await client.untilOutput('cat', 'twice');
      expect(client.stream('cat').frames.map(({ seq }) => seq)).toEqual([1, 1, 1, 2]);
      expect(client.ended).toBe(false);
    });

    test('that had an unfinished replay still gets the rest of it and its reply, unless it is closed', async () => {
      await using daemon = await startDaemon({ profile });
      await using writer = await connectRaw(daemon);
      await writer.spawn('noise', ...fixture('write-noise.ts', '--bytes', '8000000'));
      await writer.exitOf('noise');
      await using slow = await connectRaw(daemon);
      slow.pauseReading();
      const id = slow.post('process.reattach', { id: 'noise', fromSeq: 0 });
      await waitUntil(() => daemon.log().match(/New connection/g)?.length === 3, 'the connection');
      await (closesOld ? writer.untilClosed() : settled(writer));
      await using taker = await connectRaw(daemon);
      const { lastSeq } = await taker.reattach('noise', 0);
      slow.resumeReading();
      if (closesOld) {
        await slow.untilClosed();
        expect(slow.stream('noise').gaps).toEqual([]);
      } else {
        expect((await untilReplies(slow, [id]))[0]?.result).toMatchObject({ found: true, lastSeq });
        expect(slow.stream('noise').sha256()).toBe(writer.stream('noise').sha256());
      }
    });
  },
);
