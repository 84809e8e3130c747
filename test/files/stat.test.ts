import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { modeText } from '../../src/doors/rpc/mode-text.ts';
import { asOrdinaryUser, call, scratchFolder } from './support.ts';

const realHome = process.env.HOME;
afterEach(() => {
  process.env.HOME = realHome;
});

test('a file, a folder and a missing path are told with all four keys in their order', async () => {
  const folder = scratchFolder();
  writeFileSync(join(folder, 'a.txt'), 'hi\n', { mode: 0o644 });
  chmodSync(join(folder, 'a.txt'), 0o644);
  expect(await call('files.stat', { path: join(folder, 'a.txt') })).toBe(
    '{"exists":true,"isDir":false,"size":3,"mode":"-rw-r--r--"}',
  );
  chmodSync(folder, 0o755);
  expect(await call('files.stat', { path: folder })).toMatch(
    /^\{"exists":true,"isDir":true,"size":\d+,"mode":"drwxr-xr-x"\}$/,
  );
  expect(await call('files.stat', { path: join(folder, 'none') })).toBe(
    '{"exists":false,"isDir":false,"size":0,"mode":""}',
  );
  expect(await call('files.stat', '{}')).toBe('{"exists":false,"isDir":false,"size":0,"mode":""}');
  expect(await call('files.stat', 'null')).toBe('{"exists":false,"isDir":false,"size":0,"mode":""}');
});

test('links are followed, and one that leads nowhere is missing', async () => {
  const folder = scratchFolder();
  writeFileSync(join(folder, 'a.txt'), '12345');
  symlinkSync('a.txt', join(folder, 'link'));
  symlinkSync('none', join(folder, 'dangling'));
  symlinkSync('loop', join(folder, 'loop'));
  expect(await call('files.stat', { path: join(folder, 'link') })).toContain('"size":5');
  expect(await call('files.stat', { path: join(folder, 'dangling') })).toContain('"exists":false');
  expect(await call('files.stat', { path: join(folder, 'loop') })).toBe(
    `-32603 stat ${folder}/loop: too many levels of symbolic links`,
  );
});

test('every failure but "missing" is an error in the words of the C library, with the path as it was sent', async () => {
  const folder = scratchFolder();
  writeFileSync(join(folder, 'a.txt'), '');
  const long = 'n'.repeat(300);
  expect(await call('files.stat', { path: `${folder}/a.txt/../a.txt` })).toBe(
    `-32603 stat ${folder}/a.txt/../a.txt: not a directory`,
  );
  expect(await call('files.stat', { path: `${folder}/a.txt/` })).toBe(`-32603 stat ${folder}/a.txt/: not a directory`);
  expect(await call('files.stat', { path: `${folder}/${long}` })).toBe(
    `-32603 stat ${folder}/${long}: file name too long`,
  );
  expect(await call('files.stat', { path: `${folder}/a\0b` })).toBe(`-32603 stat ${folder}/a\0b: invalid argument`);
});

test('a folder that may not be searched is an error, not a missing path', async () => {
  const folder = scratchFolder();
  chmodSync(folder, 0o755);
  mkdirSync(join(folder, 'closed'), { mode: 0o700 });
  if (process.geteuid?.() !== 0) {
    chmodSync(join(folder, 'closed'), 0);
  }
  expect(await asOrdinaryUser(() => call('files.stat', { path: `${folder}/closed/x` }))).toBe(
    `-32603 stat ${folder}/closed/x: permission denied`,
  );
});

test('special files and bits have the letters of the contract, not those of ls', async () => {
  const folder = scratchFolder();
  spawnSync('mkfifo', ['-m', '600', join(folder, 'fifo')]);
  const server = createServer().listen(join(folder, 'socket'));
  await new Promise((resolve) => server.once('listening', resolve));
  writeFileSync(join(folder, 'program'), '');
  chmodSync(join(folder, 'program'), 0o4755);
  mkdirSync(join(folder, 'sticky'));
  chmodSync(join(folder, 'sticky'), 0o1777);
  const modeOf = async (path: string) => JSON.parse(await call('files.stat', { path })).mode;
  try {
    expect(await modeOf(join(folder, 'fifo'))).toBe('prw-------');
    expect(await modeOf(join(folder, 'socket'))).toMatch(/^S[rwx-]{9}$/);
    expect(await modeOf(join(folder, 'program'))).toBe('urwxr-xr-x');
    expect(await modeOf(join(folder, 'sticky'))).toBe('dtrwxrwxrwx');
    expect(await modeOf('/dev/null')).toBe('Dcrw-rw-rw-');
  } finally {
    server.close();
  }
});

test.each([
  ['blockDevice', 0o600, 'Drw-------'],
  ['characterDevice', 0o7000, 'Dugct---------'],
  ['file', 0o7777, 'ugtrwxrwxrwx'],
  ['file', 0, '----------'],
  ['other', 0o644, '?rw-r--r--'],
  ['directory', 0o2750, 'dgrwxr-x---'],
] as const)('a %s with the bits %o reads %s', (kind, permissions, text) => {
  expect(modeText({ kind, permissions })).toBe(text);
});

test('validate tells in a result what stat tells as an error', async () => {
  const folder = scratchFolder();
  writeFileSync(join(folder, 'a.txt'), '');
  expect(await call('files.validate', { path: folder })).toBe('{"valid":true,"isDir":true}');
  expect(await call('files.validate', { path: `${folder}/a.txt` })).toBe('{"valid":true,"isDir":false}');
  expect(await call('files.validate', { path: `${folder}/none` })).toBe(
    '{"valid":false,"isDir":false,"error":"Path does not exist"}',
  );
  expect(await call('files.validate', '{}')).toBe('{"valid":false,"isDir":false,"error":"Path does not exist"}');
  for (const profile of ['S', 'current', 'next'] as const) {
    expect(await call('files.validate', { path: `${folder}/a.txt/x` }, { profile })).toBe(
      `{"valid":false,"isDir":false,"error":"stat ${folder}/a.txt/x: not a directory"}`,
    );
  }
});

test.each([
  ['~', (home: string) => home],
  ['~/', (home: string) => home.replace(/\/$/, '')],
  ['~/f.txt', (home: string) => `${home.replace(/\/$/, '')}/f.txt`],
  ['~//f.txt', (home: string) => `${home.replace(/\/$/, '')}/f.txt`],
  ['~/./f.txt', (home: string) => `${home.replace(/\/$/, '')}/f.txt`],
  ['~/a/x/../b', (home: string) => `${home.replace(/\/$/, '')}/a/b`],
  ['~user/f', () => '~user/f'],
  ['/tmp/~/f', () => '/tmp/~/f'],
  ['$HOME/f', () => '$HOME/f'],
  [' ~/f', () => ' ~/f'],
])('the path %j means what the table of the contract says, in errors too', async (sent, expected) => {
  // Homes that are files make every path an error that shows its spelling.
  const folder = scratchFolder();
  writeFileSync(join(folder, 'file'), '');
  for (const home of [`${folder}/file/me`, `${folder}/file/me/`]) {
    process.env.HOME = home;
    const path = expected(home);
    const reply = await call('files.list', { path: sent });
    const reason = path.startsWith(folder) ? 'not a directory' : 'no such file or directory';
    expect(reply).toBe(`-32603 open ${path}: ${reason}`);
  }
});

test('without a home the tilde is a name like any other', async () => {
  for (const home of [undefined, '']) {
    if (home === undefined) {
      delete process.env.HOME;
    } else {
      process.env.HOME = home;
    }
    expect(await call('files.list', { path: '~/none' })).toBe('-32603 open ~/none: no such file or directory');
  }
});

test('params of the wrong type are refused, also where the method does not use them', async () => {
  for (const method of ['files.stat', 'files.list', 'files.read', 'files.validate']) {
    expect(await call(method, undefined)).toBe('-32602 Invalid params');
    for (const params of [
      '[]',
      '"x"',
      '1',
      'true',
      '{"path":123}',
      '{"maxBytes":"4"}',
      '{"maxBytes":4.0}',
      '{"maxBytes":1e3}',
    ]) {
      expect(await call(method, params), `${method} ${params}`).toBe('-32602 Invalid params');
    }
  }
  expect(await call('files.stat', '{"PATH":"/none","Path":null,"other":{"path":1}}')).toContain('"exists":false');
});
