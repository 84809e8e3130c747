/** The example broker as a server author starts from it: folders with keys, and what daemons ask of a broker. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitUntil } from '../../support/wait.ts';
import { message, TestConnection } from './broker/test-connection.ts';
import type { Member } from './members.ts';

const example = fileURLToPath(new URL('../../../docs/examples/mesh-broker.mjs', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'hfm-'));
let broker: ChildProcess;
let printed = '';
let url = '';

beforeAll(async () => {
  const port = await freePort();
  url = `ws://127.0.0.1:${port}/ws`;
  await start(port);
});
afterAll(() => {
  broker.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

async function start(port: number): Promise<void> {
  broker = spawn(process.execPath, [example, String(port), folder, 'alice', 'bob'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  printed = '';
  broker.stdout?.setEncoding('utf8').on('data', (text: string) => {
    printed += text;
  });
  await waitUntil(() => printed.includes(`# CLAUDEMESH_CONFIG_DIR=${join(folder, 'bob')} is bob\n`), 'the broker');
}

function memberOf(name: string): Member {
  const { meshes } = JSON.parse(readFileSync(join(folder, name, 'config.json'), 'utf8')) as { meshes: Member[] };
  const [mesh] = meshes;
  if (mesh === undefined) {
    throw new Error(`${name} has no mesh`);
  }
  return { ...mesh, displayName: name };
}

test('each name gets a folder of its own with keys that only the owner reads', () => {
  for (const name of ['alice', 'bob']) {
    expect(statSync(join(folder, name)).mode & 0o777).toBe(0o700);
    expect(statSync(join(folder, name, 'config.json')).mode & 0o777).toBe(0o600);
  }
  expect(memberOf('alice').pubkey).not.toBe(memberOf('bob').pubkey);
  expect(printed).not.toContain(memberOf('alice').secretKey);
});

test('two members exchange messages by name, and everybody hears who comes', async () => {
  await using alice = await TestConnection.open(memberOf('alice'), url);
  await using bob = await TestConnection.open(memberOf('bob'), url);
  expect(await alice.broker.send(message('bob', 'hello'))).toMatchObject({ ok: true });
  expect(await bob.broker.send(message('*', 'to all'))).toMatchObject({ ok: true });
  expect(await waitUntil(() => bob.messages[0], 'the message')).toMatchObject({ body: 'hello' });
  expect(await waitUntil(() => alice.messages[0], 'the answer')).toMatchObject({ body: 'to all', senderName: 'bob' });
  expect(alice.events[0]).toMatchObject({ kind: 'peer_join', data: { name: 'bob' } });
  bob.broker.changeProfile({ summary: 'busy', title: 'T' });
  const peers = await waitUntil(async () => {
    const found = (await alice.broker.peers()).find(({ displayName }) => displayName === 'bob');
    return found?.summary === 'busy' && (found.profile as object) && found;
  }, 'the summary');
  expect(peers.profile).toEqual({ title: 'T' });
});

test('what is sent to a member who is away waits for it, in order', async () => {
  await using alice = await TestConnection.open(memberOf('alice'), url);
  for (const text of ['one', 'two', 'three']) {
    expect(await alice.broker.send(message(memberOf('bob').pubkey, text))).toMatchObject({ ok: true });
  }
  await using bob = await TestConnection.open(memberOf('bob'), url);
  await waitUntil(() => bob.messages.length === 3, 'all three');
  expect(bob.messages.map(({ body }) => body)).toEqual(['one', 'two', 'three']);
});

test('strangers are refused, and keys stay over a restart', async () => {
  await using stranger = await TestConnection.start({ ...memberOf('alice'), memberId: 'bob' }, url);
  expect(await stranger.line('broker_reconnect_scheduled')).toMatchObject({ code: 1008, reason: 'unauthorized' });
  const before = memberOf('alice');
  await using alice = await TestConnection.open(before, url);
  const ended = new Promise((resolve) => broker.once('exit', resolve));
  broker.kill('SIGKILL');
  await ended;
  await start(Number(new URL(url).port));
  expect(memberOf('alice')).toEqual(before);
  await alice.until('open');
});

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => probe.once('listening', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
