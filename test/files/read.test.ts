import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { devices, procFiles, testNeeding } from '../support/needs.ts';
import { coversNext, everyProfile } from '../support/profiles.ts';
import { asOrdinaryUser, call, scratchFolder } from './support.ts';

const profiles = everyProfile;
const notRegular = '-32602 files.read: not a regular file';
const exceeds = '-32602 files.read: file exceeds maxBytes';

/** Linux has files there that tell no size; macOS has no such folder. */

const read = (path: string, more: object = {}, options = {}) => call('files.read', { path, ...more }, options);

test('content comes as text, a missing file as such', async () => {
  const folder = scratchFolder();
  writeFileSync(join(folder, 'hello.txt'), 'hi\n');
  writeFileSync(join(folder, 'empty'), '');
  symlinkSync('hello.txt', join(folder, 'link'));
  symlinkSync('none', join(folder, 'dangling'));
  for (const profile of profiles) {
    expect(await read(`${folder}/hello.txt`, {}, { profile })).toBe('{"content":"hi\\n","exists":true}');
    expect(await read(`${folder}/link`, {}, { profile })).toBe('{"content":"hi\\n","exists":true}');
    expect(await read(`${folder}/empty`, {}, { profile })).toBe('{"content":"","exists":true}');
    expect(await read(`${folder}/none`, {}, { profile })).toBe('{"content":"","exists":false}');
    expect(await read(`${folder}/dangling`, {}, { profile })).toBe('{"content":"","exists":false}');
    expect(await call('files.read', '{}', { profile })).toBe('{"content":"","exists":false}');
    expect(await read(folder, {}, { profile })).toBe('-32602 files.read: path is a directory');
  }
});

test('bytes that are not UTF-8 are shown one by one, a genuine replacement character as it is', async () => {
  const folder = scratchFolder();
  writeFileSync(join(folder, 'f'), Buffer.concat([Buffer.from([0xe2, 0x82]), Buffer.from('z\ufffd<é')]));
  expect(await read(`${folder}/f`)).toBe('{"content":"\\ufffd\\ufffdz\ufffd\\u003cé","exists":true}');
});

test('a file fits or is refused, never cut', async () => {
  const folder = scratchFolder();
  const file = join(folder, 'f');
  const ofSize = (size: number) => writeFileSync(file, 'a'.repeat(size));
  for (const profile of profiles) {
    ofSize(262_144);
    expect(await read(file, {}, { profile })).toBe(`{"content":"${'a'.repeat(262_144)}","exists":true}`);
    ofSize(262_145);
    for (const maxBytes of [undefined, 0, -1]) {
      expect(await read(file, { maxBytes }, { profile })).toBe(exceeds);
    }
    expect(await read(file, { maxBytes: 262_145 }, { profile })).toContain('"exists":true');
    ofSize(5);
    expect(await read(file, { maxBytes: 5 }, { profile })).toBe('{"content":"aaaaa","exists":true}');
    expect(await read(file, { maxBytes: 4 }, { profile })).toBe(exceeds);
  }
  const huge = `{"path":"${file}","maxBytes":9223372036854775807}`;
  expect(await call('files.read', huge)).toBe('{"content":"aaaaa","exists":true}');
});

test('a file that no reply could hold is refused before it is read, with the number that counts', async () => {
  const folder = scratchFolder();
  writeFileSync(join(folder, 'sparse'), '');
  truncateSync(join(folder, 'sparse'), 2 ** 40);
  expect(await read(`${folder}/sparse`, { maxBytes: 2 ** 41 })).toMatch(
    /^-32603 read .*\/sparse: file too large: at most \d+ bytes fit a reply/,
  );
});

testNeeding(procFiles)('files of /proc that tell no size are read, whatever the limit', {}, async () => {
  for (const profile of profiles) {
    const { content } = JSON.parse(await read('/proc/self/status', { maxBytes: 1 }, { profile }));
    expect(content).toContain(`Pid:\t${process.pid}\n`);
  }
});

testNeeding(procFiles)('a file of /proc that never ends is refused instead of filling the memory', {}, async () => {
  // One number for each page of the address space: hundreds of gigabytes.
  expect(await read('/proc/self/pagemap')).toMatch(/^-32603 read \/proc\/self\/pagemap: /);
});

test('a FIFO is refused at once in every profile, with and without a writer', async () => {
  const folder = scratchFolder();
  spawnSync('mkfifo', [join(folder, 'fifo')]);
  for (const profile of profiles) {
    expect(await read(`${folder}/fifo`, {}, { profile })).toBe(notRegular);
  }
});

test('the writer that waits at a refused FIFO goes on where the profile opens it', async () => {
  const folder = scratchFolder();
  spawnSync('mkfifo', [join(folder, 'fifo')]);
  for (const profile of ['current', 'next'] as const) {
    const writer = spawn('sh', ['-c', ': > "$0/fifo"; : > "$0/opened"', folder], { stdio: 'ignore' });
    try {
      // Until the writer waits, the read finds none: each of them is refused, and one of them lets it in.
      while (!existsSync(join(folder, 'opened'))) {
        expect(await read(`${folder}/fifo`, {}, { profile })).toBe(notRegular);
      }
    } finally {
      writer.kill('SIGKILL');
      spawnSync('rm', ['-f', join(folder, 'opened')]);
    }
  }
});

test('devices are refused, but for the null device where the profile reads it as empty', async () => {
  const folder = scratchFolder();
  symlinkSync('/dev/null', join(folder, 'link'));
  for (const path of ['/dev/zero', '/dev/urandom']) {
    for (const profile of profiles) {
      expect(await read(path, {}, { profile })).toBe(notRegular);
    }
  }
  for (const path of ['/dev/null', '/dev/../dev//null', `${folder}/link`]) {
    expect(await read(path)).toBe(notRegular);
    expect(await read(path, {}, { profile: 'current' })).toBe('{"content":"","exists":true}');
    expect(await read(path, {}, { profile: 'next' })).toBe('{"content":"","exists":true}');
  }
});

testNeeding(devices())('a second node with the numbers of the null device is another file', {}, async () => {
  const folder = scratchFolder();
  execFileSync('mknod', [join(folder, 'null'), 'c', '1', '3']);
  for (const profile of profiles) {
    expect(await read(`${folder}/null`, {}, { profile })).toBe(notRegular);
  }
});

test('the operator can have the null device refused in N, but not in N+', async () => {
  expect(await read('/dev/null', {}, { profile: 'current', regularOnly: true })).toBe(notRegular);
  expect(await read('/dev/null', {}, { profile: 'next', regularOnly: true })).toBe('{"content":"","exists":true}');
});

test('a socket is refused as the profile says', async () => {
  const folder = scratchFolder();
  const server = createServer().listen(join(folder, 'socket'));
  await new Promise((resolve) => server.once('listening', resolve));
  try {
    expect(await read(`${folder}/socket`)).toBe(notRegular);
    for (const profile of ['current', 'next'] as const) {
      expect(await read(`${folder}/socket`, {}, { profile })).toMatch(
        /^-32603 open .*\/socket: (no such device or address|operation not supported on socket)$/,
      );
    }
  } finally {
    server.close();
  }
});

test('what is asked first gives the error its word', async () => {
  const folder = scratchFolder();
  writeFileSync(join(folder, 'f'), '');
  symlinkSync('loop', join(folder, 'loop'));
  const long = 'n'.repeat(300);
  const cases = [
    ['f/../f', 'not a directory'],
    ['f/', 'not a directory'],
    ['loop', 'too many levels of symbolic links'],
    [long, 'file name too long'],
    ['a\0b', 'invalid argument'],
  ];
  for (const profile of profiles) {
    const word = coversNext(profile) ? 'open' : 'stat';
    for (const [name, reason] of cases) {
      expect(await read(`${folder}/${name}`, {}, { profile })).toBe(`-32603 ${word} ${folder}/${name}: ${reason}`);
    }
  }
});

test('what may not be read says so, special files only where nothing else is said first', async () => {
  const folder = scratchFolder();
  chmodSync(folder, 0o755);
  writeFileSync(join(folder, 'f'), 'secret', { mode: 0 });
  spawnSync('mkfifo', ['-m', '000', join(folder, 'fifo')]);
  mkdirSync(join(folder, 'closed'), { mode: 0 });
  for (const profile of profiles) {
    const asUser = (name: string) => asOrdinaryUser(() => read(`${folder}/${name}`, {}, { profile }));
    expect(await asUser('f')).toBe(`-32603 open ${folder}/f: permission denied`);
    expect(await asUser('fifo')).toBe(profile === 'S' ? notRegular : `-32603 open ${folder}/fifo: permission denied`);
    const word = coversNext(profile) ? 'open' : 'stat';
    expect(await asUser('closed/x')).toBe(`-32603 ${word} ${folder}/closed/x: permission denied`);
  }
});

test('no descriptor is left behind by any kind of read', async () => {
  const folder = scratchFolder();
  writeFileSync(join(folder, 'f'), 'x');
  const open = () => readdirSync('/dev/fd').length;
  const before = open();
  for (let round = 0; round < 100; round++) {
    for (const profile of profiles) {
      await read(`${folder}/f`, {}, { profile });
      await read(`${folder}/f`, { maxBytes: -1 }, { profile });
      await read('/dev/zero', {}, { profile });
      await read(folder, {}, { profile });
      await call('files.list', { path: folder }, { profile });
    }
  }
  expect(open()).toBe(before);
});
