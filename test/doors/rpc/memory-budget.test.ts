/** What a client can make the daemon hold (spec extensions.md §4 `memory-budget`), seen from the client. */
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startDaemon, type TestDaemon } from '../../support/daemon.ts';
import { fixture } from '../../support/fixtures.ts';
import { residentBytes } from '../../support/processes.ts';
import { waitUntil } from '../../support/wait.ts';
import { connectRaw, type RawConnection } from '../../tools/raw-connection.ts';

const mebibyte = 1024 * 1024;

async function measured(budget: number, profile: 'S' | 'current' = 'S') {
  const flags = ['-memory-budget', String(budget), '-metrics-addr', '127.0.0.1:0'];
  const daemon = await startDaemon({ profile, flags });
  const line = await daemon.untilLogged(/metrics: listening on /);
  const url = `http://127.0.0.1:${/:(\d+)$/.exec(line)?.[1]}/metrics`;
  const value = async (name: string): Promise<number> => {
    const text = await (await fetch(url, { headers: { connection: 'close' } })).text();
    return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
  };
  return { daemon, value, held: () => value('holdfast_held_bytes') };
}

async function settled(...clients: readonly RawConnection[]): Promise<void> {
  for (let round = 0; round < 5; round++) {
    await Promise.all(clients.map((client) => client.call('server.ping')));
  }
}

function bigFile(daemon: TestDaemon, bytes: number): string {
  const path = join(daemon.dir, `file-${bytes}`);
  writeFileSync(path, Buffer.alloc(bytes, 'all the bytes of a file, é and so on\n'));
  return path;
}

test('many long files that a client asks for and does not read make the daemon hold one of them', async () => {
  const { daemon, held } = await measured(256 * mebibyte);
  await using _ = daemon;
  const bytes = 40 * mebibyte;
  const path = bigFile(daemon, bytes);
  await using client = await connectRaw(daemon);
  await using other = await connectRaw(daemon);
  await settled(client, other);
  const before = residentBytes(daemon.pid());
  client.pauseReading();
  for (let count = 0; count < 8; count++) {
    client.post('files.read', { path, maxBytes: bytes });
  }
  await waitUntil(async () => (await held()) > bytes || undefined, 'the first answer');
  await settled(other);
  expect(await held()).toBeLessThan(1.2 * bytes);
  expect(residentBytes(daemon.pid()) - before).toBeLessThan(3 * bytes);
  client.destroy();
  await waitUntil(async () => (await held()) < 2 * mebibyte || undefined, 'the memory to be given back');
});

test('a long file arrives whole in one frame, and what is asked meanwhile is answered behind it', async () => {
  await using daemon = await startDaemon();
  const bytes = 30 * mebibyte + 7;
  const path = bigFile(daemon, bytes);
  await using client = await connectRaw(daemon);
  const pings = [1, 2, 3].map(() => client.post('server.ping'));
  const { content, exists } = await client.call('files.read', { path, maxBytes: bytes });
  expect(exists).toBe(true);
  const hash = (data: Buffer | string) => createHash('sha256').update(data).digest('hex');
  const sent = Buffer.alloc(bytes, 'all the bytes of a file, é and so on\n').toString();
  expect(hash(content)).toBe(hash(sent));
  expect(pings.length).toBe(3);
});

test('a file that has no room in the budget is refused with the number and what to do, and others are served', async () => {
  const { daemon, value } = await measured(16 * mebibyte);
  await using _ = daemon;
  const path = bigFile(daemon, 30 * mebibyte);
  await using client = await connectRaw(daemon);
  const { error } = await client.request('files.read', { path, maxBytes: 30 * mebibyte });
  expect(error).toEqual({
    code: -32603,
    message: expect.stringMatching(
      /^memory budget of 16777216 bytes reached: an answer needs 31457280 bytes, \d+ are free; end processes, read replies, or raise memory-budget$/,
    ),
  });
  expect(await value('holdfast_memory_budget_refused_total')).toBe(1);
  expect(daemon.log()).toMatch(
    /WARN {2}\[Server\] memory budget of 16777216 bytes reached \(memory-budget, \d+ held\): new work that holds bytes is refused; what runs goes on\n/,
  );
  expect((await client.call('files.read', { path: bigFile(daemon, 100_000) })).exists).toBe(true);
});

test('kills that wait count with their long ids, are refused beyond the budget, and are let go when answered', async () => {
  const { daemon, held } = await measured(32 * mebibyte, 'current');
  await using _ = daemon;
  await using client = await connectRaw(daemon);
  await using other = await connectRaw(daemon);
  await other.spawn('stubborn', ...fixture('ignore-term.sh'));
  await other.untilOutput('stubborn', 'ready');
  await settled(client, other);
  const before = await held();
  const id = 'i'.repeat(1_000_000);
  const line = (count: number) =>
    JSON.stringify({
      ...{ jsonrpc: '2.0', id: `${count} ${id}`, method: 'process.killAndWait', auth: daemon.token },
      params: { id: 'stubborn', timeoutMs: 30_000, escalate: false },
    });
  for (let count = 0; count < 10; count++) {
    client.sendLine(line(count));
  }
  await waitUntil(async () => (await held()) - before > 9_900_000 || undefined, 'ten of them to wait');
  expect(client.replies.every(({ result }) => result?.pong === true)).toBe(true);
  const pings = client.replies.length;
  for (let count = 10; count < 40; count++) {
    client.sendLine(line(count));
  }
  const refused = await client.waitFor(
    () => client.lines.find((reply) => reply.includes('memory budget of 33554432 bytes reached')),
    'one to be refused',
  );
  expect(refused).toContain('"code":-32603');
  expect(await held()).toBeLessThan(40 * mebibyte);
  // What runs can still be ended, and that answers those that wait.
  await other.kill('stubborn', 'KILL');
  await client.waitFor(() => client.lines.length === 40 + pings, 'every answer');
  await waitUntil(async () => (await held()) - before < 2 * mebibyte || undefined, 'their memory to be given back');
});

test('input that waits for a process that does not read is let go with its client (profile S)', async () => {
  const { daemon, held } = await measured(256 * mebibyte);
  await using _ = daemon;
  await using other = await connectRaw(daemon);
  await other.spawn('deaf', 'sleep', ['3600']);
  await using client = await connectRaw(daemon);
  const data = Buffer.alloc(700_000).toString('base64');
  const count = 60;
  for (let request = 0; request < count; request++) {
    client.post('process.stdin', { id: 'deaf', data });
  }
  const taken = 16 * mebibyte;
  await waitUntil(async () => (await held()) > 1.5 * taken || undefined, 'requests to wait');
  client.destroy();
  await waitUntil(async () => (await held()) < 1.2 * taken || undefined, 'the waiting ones to be let go');
  const state = await other.reattach('deaf', 0);
  expect(state.stdinApplied).toBe(Math.floor(taken / 700_000) * 700_000);
});

test('a spawn is refused when nothing more can be given back, and goes when a process is released', async () => {
  const { daemon } = await measured(8 * mebibyte);
  await using _ = daemon;
  await using client = await connectRaw(daemon);
  await client.spawn('large', 'sh', ['-c', `head -c ${6 * mebibyte} /dev/zero; exec cat`]);
  await waitUntil(() => client.stream('large').bytes.stdout === 6 * mebibyte || undefined, 'its output');
  const { error } = await client.request('process.spawn', { id: 'more', command: 'true' });
  expect(error).toMatchObject({
    code: -32603,
    message: expect.stringMatching(/^memory budget of 8388608 bytes reached: a new process needs 1048576 bytes, /),
  });
  await client.stdin('large', 'still here\n');
  await client.untilOutput('large', 'still here\n');
  await client.call('holdfast.release', { id: 'large' });
  await client.spawn('more', 'true');
  await client.exitOf('more');
});
