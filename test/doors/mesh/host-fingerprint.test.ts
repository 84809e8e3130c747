/** Which machine a daemon folder belongs to (spec mesh.md §3.3). */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadPlatform } from '../../../platform/load.ts';
import type { RunDirectory } from '../../../platform/run-directories.ts';
import { checkHost, fingerprintOf, laterFingerprintOf, stableMac } from '../../../src/doors/mesh/host-fingerprint.ts';
import { MeshLog } from '../../../src/doors/mesh/log.ts';
import { TestDaemon } from './test-daemon.ts';

const machine = { hostId: 'linux:0123456789abcdef0123456789abcdef', stableMac: '02:00:00:00:00:01' };

test('the fingerprint, and that of later generations, have the values of the page', () => {
  expect(fingerprintOf(machine)).toBe('77f5dc1fb6630ed7f56363825f0e63a683dbf7525d9b345a6608b5c21c3a7bb5');
  expect(laterFingerprintOf(machine)).toBe('66061ba646df08f17fb4fa2bcba20d2f4a4dcc00f10c5fd67a97b9fad9bd4156');
});

describe('the address of the machine', () => {
  const card = (mac: string, internal = false) => [
    { address: '10.0.0.1', netmask: '255.0.0.0', family: 'IPv4' as const, mac, internal, cidr: '10.0.0.1/8' },
  ];

  test('is that of the first card by name that no program has made', () => {
    expect(
      stableMac({
        lo: card('00:00:00:00:00:00', true),
        enp3s0: card('02:00:00:00:00:03'),
        DOCKER0: card('02:00:00:00:00:01'),
        'br-1': card('02:00:00:00:00:01'),
        eth1: card('02:00:00:00:00:04'),
        ens1: card('00:00:00:00:00:00'),
        abc: card('02:00:00:00:00:09', true),
        wg0: card('02:00:00:00:00:02'),
      }),
    ).toBe('02:00:00:00:00:03');
  });

  test('is empty where there is none', () => {
    expect(stableMac({})).toBe('');
    expect(stableMac({ veth1: card('02:00:00:00:00:01') })).toBe('');
  });
});

describe('a folder that was used before', async () => {
  const { runDirectories } = await loadPlatform();
  const base = mkdtempSync('/tmp/hfm-');
  const folder = join(base, 'daemon');
  const file = join(folder, 'host_fingerprint.json');
  let directory: RunDirectory;
  let said = '';
  const take = (text: string): void => {
    said += text;
  };
  const log = new MeshLog({ print: take, complain: take });

  beforeEach(() => {
    mkdirSync(folder, { mode: 0o700 });
    directory = runDirectories.open(folder);
    said = '';
  });
  afterEach(() => {
    directory.close();
    rmSync(folder, { recursive: true });
  });
  afterAll(() => rmSync(base, { recursive: true }));

  const record = () => JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  const check = (host = machine, policy: 'refuse' | 'warn' | 'allow' = 'refuse') =>
    checkHost(directory, host, policy, log);

  test('is written down at the first start, and silent at the next', () => {
    check();
    expect(JSON.parse(said)).toEqual({
      msg: 'host_fingerprint_written',
      fingerprint_prefix: '77f5dc1fb6630ed7',
      ts: expect.any(String),
    });
    expect(readFileSync(file, 'utf8')).toMatch(/^\{\n {2}"schema_version": 1,\n/);
    expect(record()).toEqual({
      schema_version: 1,
      fingerprint: fingerprintOf(machine),
      host_id: machine.hostId,
      stable_mac: machine.stableMac,
      written_at: expect.stringMatching(/^\d{4}-/),
    });
    said = '';
    check();
    expect(said).toBe('');
  });

  test('is known by what a later generation has written', () => {
    check();
    writeFileSync(file, JSON.stringify({ ...record(), schema_version: 2, fingerprint: laterFingerprintOf(machine) }));
    check();
  });

  test('acceptance 4: is the same with another network card, which is written down', () => {
    check();
    const other = { ...machine, stableMac: '02:00:00:00:00:02' };
    check(other);
    expect(record().stable_mac).toBe(other.stableMac);
    // Two machines of which neither has an id are told apart by nothing else.
    check({ hostId: '', stableMac: 'a' }, 'allow');
    writeFileSync(file, JSON.stringify({ ...record(), host_id: '' }));
    expect(() => check({ hostId: '', stableMac: 'b' })).toThrow(/host_fingerprint mismatch/);
  });

  test('by another machine is warned about, or let pass, as the policy has it', () => {
    check();
    const other = { ...machine, hostId: 'linux:other' };
    said = '';
    check(other, 'allow');
    expect(said).toBe('');
    check(other, 'warn');
    expect(said).toBe(
      'WARN: host_fingerprint mismatch: this daemon dir was started on a different host. (continuing per [clone] policy=warn)\n',
    );
    expect(record().host_id).toBe(machine.hostId);
  });

  test.each(['', 'no JSON', '[]', '{"fingerprint":1}', 'null'])('is no hindrance when the record is %j', (text) => {
    writeFileSync(file, text);
    check();
    expect(readFileSync(file, 'utf8')).toBe(text);
  });
});

test('acceptance 4: of another host the start is refused with both ids; after accept-host it starts', async () => {
  await using daemon = await TestDaemon.start();
  await daemon.stopped();
  const file = join(daemon.daemonFolder, 'host_fingerprint.json');
  const kept = JSON.parse(readFileSync(file, 'utf8')) as { host_id: string };
  writeFileSync(file, JSON.stringify({ ...kept, host_id: 'linux:other', fingerprint: '0'.repeat(64) }));
  expect(await daemon.run(['up'])).toMatchObject({
    code: 4,
    stderr: [
      'host_fingerprint mismatch: this daemon dir was started on a different host.',
      '  stored host_id: linux:other',
      `  current host_id: ${kept.host_id}`,
      'Run `claudemesh daemon accept-host` to write a fresh fingerprint, or',
      'run `claudemesh daemon remint` to mint a new keypair (Sprint 7+).',
      '',
    ].join('\n'),
  });
  expect(daemon.leftFiles).toEqual([]);
  const prefix = /^[0-9a-f]{16}$/;
  const accepted = await daemon.run(['accept-host', '--json']);
  expect(JSON.parse(accepted.stdout)).toEqual({ ok: true, fingerprint_prefix: expect.stringMatching(prefix) });
  expect((await daemon.run(['accept-host'])).stdout).toMatch(/^host fingerprint accepted: [0-9a-f]{16}…\n$/);
  await daemon.launch();
});
