import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { waitUntil } from '../support/wait.ts';
import { connectRaw } from './raw-connection.ts';

const output = (seq: number, text: string, stream = 'stdout', id = 'p1') =>
  `{"type":"stream","processId":${JSON.stringify(id)},"stream":"${stream}","seq":${seq},"data":"${Buffer.from(text).toString('base64')}"}\n`;
const exit = (seq: number) => `{"type":"stream","processId":"p1","stream":"exit","seq":${seq},"exitCode":3}\n`;

let server: Server;
let directory: string;
let peer: Socket;
const sent: string[] = [];

/** A daemon's end of the connection, played by the test. */
async function open(options: Parameters<typeof connectRaw>[1] = {}) {
  const accepted = once(server, 'connection');
  const client = await connectRaw({ socket: join(directory, 's'), token: 'T' }, options);
  [peer] = (await accepted) as [Socket];
  peer.on('error', () => {});
  peer.on('data', (bytes: Buffer) => sent.push(bytes.toString()));
  return client;
}

beforeEach(async () => {
  sent.length = 0;
  directory = mkdtempSync('/tmp/hf-');
  server = createServer({ allowHalfOpen: true });
  await new Promise<void>((resolve) => server.listen(join(directory, 's'), resolve));
});
afterEach(() => {
  peer.destroy();
  server.close();
  rmSync(directory, { recursive: true });
});

test('a request gets the reply with its id, whatever else comes and however it is cut', async () => {
  await using client = await open();
  const reply = client.request('server.ping', { a: 1 });
  await waitUntil(() => sent.length > 0, 'the request');
  expect(sent.join('')).toBe('{"jsonrpc":"2.0","id":1,"method":"server.ping","params":{"a":1},"auth":"T"}\n');
  const raw = '{"jsonrpc":"2.0","id":1,"result":{"pong":true}}';
  for (const byte of Buffer.from(`${output(1, 'é\n')}{"jsonrpc":"2.0","id":9,"result":{}}\n${raw}\nnot a frame\n`)) {
    peer.write(Buffer.of(byte));
  }
  expect(await reply).toEqual({ jsonrpc: '2.0', id: 1, result: { pong: true }, raw });
  await waitUntil(() => client.strays.length > 0, 'the stray');
  expect(client.strays).toEqual(['not a frame']);
  expect(client.lines).toHaveLength(4);
  expect(client.stream('p1').text()).toBe('é\n');
});

test('a refused call throws the error frame', async () => {
  await using client = await open();
  const call = client.call('files.nope');
  peer.write('{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Unknown method: files.nope"}}\n');
  await expect(call).rejects.toThrow('Unknown method: files.nope');
});

test('frames of each process are kept raw, in order, with gaps, duplicates and what follows the exit named', async () => {
  await using client = await open();
  const odd = '"q"\\","stream":"';
  peer.write(
    output(1, 'one') + output(1, 'other', 'stdout', odd) + output(2, 'err', 'stderr') + output(2, 'err', 'stderr'),
  );
  peer.write(output(5, 'five') + exit(6));
  expect(await client.exitOf('p1')).toMatchObject({ seq: 6, exitCode: 3, raw: exit(6).trim() });
  const record = client.stream('p1');
  expect(record.frames.map(({ raw }) => `${raw}\n`)).toEqual([
    output(1, 'one'),
    ...[output(2, 'err', 'stderr'), output(2, 'err', 'stderr'), output(5, 'five'), exit(6)],
  ]);
  expect(record).toMatchObject({ count: 5, lastSeq: 6, duplicates: 1, gaps: [{ after: 2, before: 5 }], afterExit: 0 });
  expect([record.text(), record.text('stderr'), record.bytes]).toEqual(['onefive', 'err', { stdout: 7, stderr: 3 }]);
  expect(client.stream(odd).text()).toBe('other');
  peer.write(output(7, 'ghost'));
  await client.waitFor(() => record.afterExit === 1, 'the ghost');
});

test('figures are those of the kept frames, without keeping them', async () => {
  await using kept = await open();
  const frames =
    output(1, 'one') + output(2, 'two', 'stderr') + output(2, 'two', 'stderr') + output(3, 'three') + exit(4);
  peer.write(frames);
  await kept.exitOf('p1');
  await using figures = await open({ keep: 'figures' });
  peer.write(frames);
  await figures.exitOf('p1');
  const [a, b] = [kept.stream('p1'), figures.stream('p1')];
  expect([b.count, b.lastSeq, b.duplicates, b.bytes]).toEqual([a.count, a.lastSeq, a.duplicates, a.bytes]);
  expect([b.sha256(), b.sha256('stderr')]).toEqual([a.sha256(), a.sha256('stderr')]);
  expect([b.frames, figures.lines]).toEqual([[], []]);
  expect(() => b.output()).toThrow('not kept');
});

test('a second connection continues the streams of the first', async () => {
  await using first = await open();
  peer.write(output(1, 'one'));
  await first.untilOutput('p1', 'one');
  first.destroy();
  await using second = await open({ continues: first });
  const reattach = second.reattach('p1');
  await waitUntil(() => sent.length > 0, 'the request');
  expect(sent.join('')).toContain('"fromSeq":1');
  peer.write(`${output(2, 'two')}{"jsonrpc":"2.0","id":1,"result":{"found":true}}\n`);
  await reattach;
  expect(second.stream('p1')).toMatchObject({ count: 2, duplicates: 0, gaps: [] });
  expect(second.stream('p1').text()).toBe('onetwo');
});

test('waiting ends with what did come when the connection ends or nothing comes', async () => {
  await using client = await open();
  peer.write(`${output(1, 'one')}half a li`);
  await expect(client.waitFor(() => false, 'nothing', { timeoutMs: 50 })).rejects.toThrow(
    /waited 50 ms for nothing[\s\S]*p1: 1 frames/,
  );
  const waiting = client.exitOf('p1');
  peer.end();
  await expect(waiting).rejects.toThrow(/ended while waiting for the exit frame of p1/);
  expect([client.partial.toString(), client.error]).toEqual(['half a li', undefined]);
  await client.untilClosed();
});

test('a reader that is paused takes no more bytes', async () => {
  await using client = await open();
  client.pauseReading();
  peer.write(output(1, 'x'.repeat(8_000_000)));
  await waitUntil(() => peer.writableLength > 0 && peer.writableNeedDrain, 'back-pressure');
  expect(client.stream('p1').count).toBe(0);
  client.resumeReading();
  await client.waitFor(() => client.stream('p1').count === 1, 'the frame');
});

test('the daemon sees a half-close, a close and a destroy', async () => {
  const ends: string[] = [];
  await using client = await open();
  peer.on('end', () => ends.push('end'));
  client.send('last words');
  client.halfClose();
  await waitUntil(() => ends.length === 1, 'the half-close');
  expect(sent.join('')).toBe('last words');
  expect(client.ended).toBe(false);
  await client.close();
  await client.close();
  const other = await open();
  peer.on('end', () => ends.push('end'));
  other.destroy();
  await waitUntil(() => ends.length === 2, 'the end');
});
