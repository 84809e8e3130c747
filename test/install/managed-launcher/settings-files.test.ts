/** Settings files of every kind: an answer with its reason, never a hang (spec generation-n2.md §3.2, §3.3). */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { installFailpoints } from '../../../src/base/failpoints.ts';
import { devices, root, testNeeding } from '../../support/needs.ts';
import { PolicyFolder } from './policy-folder.ts';

const limit = 2_097_152;
const launcher = { processWrapper: '/bin/sh' };
const usable = (source: string) => ({ status: 'usable', argv: ['/bin/sh'], source });
const padded = (bytes: number): string => {
  const text = JSON.stringify(launcher);
  return text + ' '.repeat(bytes - text.length);
};

describe('a base file that cannot be read is named with its reason', () => {
  const fifo = (path: string): void => void execFileSync('mkfifo', [path]);

  test.each<[what: string, put: (folder: PolicyFolder) => void, reason: string]>([
    ['a FIFO without a writer', ({ base }) => fifo(base), 'not a regular file'],
    ['a folder', ({ base }) => void mkdirSync(base), 'is a directory'],
    ['a link to a folder', ({ base }) => symlinkSync('/usr', base), 'is a directory'],
    ['a link to a device', ({ base }) => symlinkSync('/dev/zero', base), 'not a regular file'],
    ['a link to a terminal', ({ base }) => symlinkSync('/dev/ptmx', base), 'not a regular file'],
    ['a link to itself', ({ base }) => symlinkSync(base, base), 'too many levels of symbolic links'],
    ['one byte too many', ({ base }) => writeFileSync(base, padded(limit + 1)), 'larger than 2 MiB'],
    [
      'a file of many gigabytes',
      (folder) => truncateSync(folder.put('managed-settings.json', ''), 2 ** 36),
      'larger than 2 MiB',
    ],
    [
      'UTF-16 in big-endian order',
      ({ base }) => writeFileSync(base, Buffer.from('feff007b007d', 'hex')),
      'not valid JSON',
    ],
    ['a no-break space in front', ({ base }) => writeFileSync(base, '\u00a0{}'), 'not valid JSON'],
    ['two values', ({ base }) => writeFileSync(base, '{}{}'), 'not valid JSON'],
    ['brackets to the limit', ({ base }) => writeFileSync(base, '['.repeat(limit)), 'not valid JSON'],
    ['an array', ({ base }) => writeFileSync(base, '[]'), 'not a JSON object'],
    ['null', ({ base }) => writeFileSync(base, 'null'), 'not a JSON object'],
    ['a number', ({ base }) => writeFileSync(base, '1'), 'not a JSON object'],
    ['a string', ({ base }) => writeFileSync(base, '"/bin/sh"'), 'not a JSON object'],
  ])('%s', async (_, put, reason) => {
    const folder = new PolicyFolder();
    put(folder);
    expect(await folder.resolve()).toEqual({ status: 'unreadable', reason, path: folder.base });
  });

  test('a socket', async () => {
    const folder = new PolicyFolder();
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(folder.base, resolve));
    expect(await folder.resolve()).toMatchObject({ status: 'unreadable', reason: 'not a regular file' });
    await new Promise((resolve) => server.close(resolve));
  });

  testNeeding(devices())('a device file', {}, async () => {
    const folder = new PolicyFolder();
    execFileSync('mknod', [folder.base, 'c', '1', '5']);
    expect(await folder.resolve()).toMatchObject({ status: 'unreadable', reason: 'not a regular file' });
  });

  describe.each<[what: string, mode: number, of: 'base' | 'drop-ins']>([
    ['of mode 000', 0o000, 'base'],
    ['in a drop-in folder of mode 000', 0o000, 'drop-ins'],
  ])('one %s', (_, mode, of) => {
    testNeeding(root)('that our user may not read', {}, async () => {
      const folder = new PolicyFolder();
      const path =
        of === 'base' ? folder.put('managed-settings.json', launcher) : join(folder.path, 'managed-settings.d');
      folder.put('managed-settings.d/1.json', launcher);
      chmodSync(path, mode);
      const reason =
        of === 'base' ? 'permission denied' : 'the drop-in directory could not be listed: permission denied';
      expect(await asNobody(() => folder.resolve())).toEqual({ status: 'unreadable', reason, path });
    });
  });
});

describe('a file that is read', () => {
  test.each<[what: string, content: string | Buffer]>([
    ['as long as it may be', padded(limit)],
    ['with a byte order mark', `\ufeff${JSON.stringify(launcher)}`],
    ['as UTF-16 in little-endian order', Buffer.from(`\ufeff${JSON.stringify(launcher)}`, 'utf16le')],
    [
      'as UTF-16 with an odd last byte',
      Buffer.concat([Buffer.from(`\ufeff${JSON.stringify(launcher)}`, 'utf16le'), Buffer.of(1)]),
    ],
    ['with white space around it', `\r\n\t ${JSON.stringify(launcher)} \n`],
    ['with a key twice, of which the last counts', '{"processWrapper":"/nothing","processWrapper":"/bin/sh"}'],
    [
      'with the key of the environment in front',
      '{"env":{"CLAUDE_CODE_PROCESS_WRAPPER":"/bin/sh"},"processWrapper":"/nothing"}',
    ],
    [
      'with the key of the environment behind',
      '{"processWrapper":"/nothing","env":{"CLAUDE_CODE_PROCESS_WRAPPER":"/bin/sh"}}',
    ],
    ['with an empty key of the environment', '{"env":{"CLAUDE_CODE_PROCESS_WRAPPER":""},"processWrapper":"/bin/sh"}'],
    [
      'with a key of the environment of another type',
      '{"env":{"CLAUDE_CODE_PROCESS_WRAPPER":1},"processWrapper":"/bin/sh"}',
    ],
    ['with an environment that is none', '{"env":["CLAUDE_CODE_PROCESS_WRAPPER"],"processWrapper":"/bin/sh"}'],
  ])('%s gives its launcher', async (_, content) => {
    const folder = new PolicyFolder();
    expect(await folder.resolve()).toEqual({ status: 'none' });
    folder.put('managed-settings.json', content);
    expect(await folder.resolve()).toEqual(usable(folder.base));
  });

  test.each<[what: string, content: string | Buffer]>([
    ['that is empty', ''],
    ['that is blank', ' \n'],
    ['that is a byte order mark alone', '\ufeff'],
    ['without the keys', '{"other":1}'],
    ['with an empty value', '{"processWrapper":""}'],
    ['with values of other types', '{"processWrapper":["/bin/sh"],"env":null}'],
    ['with a key in another case', '{"ProcessWrapper":"/bin/sh","env":{"claude_code_process_wrapper":"/bin/sh"}}'],
    ['with keys that every object inherits', '{"__proto__":{"processWrapper":"/bin/sh"}}'],
  ])('%s names none, and an earlier value survives it', async (_, content) => {
    const folder = new PolicyFolder();
    folder.put('managed-settings.json', launcher);
    folder.put('managed-settings.d/1.json', content);
    expect(await folder.resolve()).toEqual(usable(folder.base));
    rmSync(folder.base);
    expect(await folder.resolve()).toEqual({ status: 'none' });
  });

  test('shows a byte that is not UTF-8 as U+FFFD', async () => {
    const folder = new PolicyFolder();
    folder.put('managed-settings.json', Buffer.from('{"processWrapper":"/bin/sh \xff\xe2\x82"}', 'latin1'));
    expect(await folder.resolve()).toMatchObject({ argv: ['/bin/sh', '\ufffd\ufffd\ufffd'] });
  });
});

describe('drop-ins', () => {
  test('count in the order of their bytes, and the last one with a value wins', async () => {
    const folder = new PolicyFolder();
    folder.put('managed-settings.json', { processWrapper: '/bin/a' });
    for (const name of ['b', 'a', 'B', '\u00e4', 'z']) {
      folder.put(`managed-settings.d/${name}.json`, name === 'z' ? {} : launcher);
    }
    expect(await folder.resolve()).toEqual(usable(join(folder.path, 'managed-settings.d/\u00e4.json')));
  });

  test('are regular files and links; a link keeps its name', async () => {
    const folder = new PolicyFolder();
    folder.put('elsewhere', launcher);
    mkdirSync(join(folder.path, 'managed-settings.d/folder.json'), { recursive: true });
    execFileSync('mkfifo', [join(folder.path, 'managed-settings.d/fifo.json')]);
    symlinkSync('/nowhere', join(folder.path, 'managed-settings.d/z-dangling.json'));
    for (const name of ['.hidden.json', 'a.JSON', 'a.json.off']) {
      folder.put(`managed-settings.d/${name}`, 'not read');
    }
    expect(await folder.resolve()).toEqual({ status: 'none' });
    const link = join(folder.path, 'managed-settings.d/link.json');
    symlinkSync('../elsewhere', link);
    expect(await folder.resolve()).toEqual(usable(link));
    rmSync(link);
    symlinkSync('/usr', link);
    expect(await folder.resolve()).toEqual({ status: 'unreadable', reason: 'is a directory', path: link });
  });

  test('with names that are not UTF-8 are read', async () => {
    const folder = new PolicyFolder();
    mkdirSync(join(folder.path, 'managed-settings.d'));
    const path = Buffer.concat([
      Buffer.from(join(folder.path, 'managed-settings.d/')),
      Buffer.from('\xff.json', 'latin1'),
    ]);
    writeFileSync(path, JSON.stringify(launcher));
    expect(await folder.resolve()).toEqual(usable(join(folder.path, 'managed-settings.d/\ufffd.json')));
  });

  test('may be in a folder behind a link, and a plain file in the place of their folder is none', async () => {
    const folder = new PolicyFolder();
    folder.put('elsewhere/1.json', launcher);
    const dropIns = join(folder.path, 'managed-settings.d');
    symlinkSync('elsewhere', dropIns);
    expect(await folder.resolve()).toEqual(usable(join(dropIns, '1.json')));
    rmSync(dropIns);
    writeFileSync(dropIns, 'text');
    expect(await folder.resolve()).toEqual({ status: 'none' });
  });

  test('of which one is bad make the whole policy unreadable, whatever the others say', async () => {
    const folder = new PolicyFolder();
    folder.put('managed-settings.json', launcher);
    const bad = folder.put('managed-settings.d/1.json', '{');
    folder.put('managed-settings.d/2.json', launcher);
    expect(await folder.resolve()).toEqual({ status: 'unreadable', reason: 'not valid JSON', path: bad });
  });
});

describe('a file that is swapped between the look at it and its opening', () => {
  afterEach(() => installFailpoints(undefined));

  test.each<[by: string, swap: (path: string) => void, expected: object]>([
    ['a FIFO', (path) => void execFileSync('mkfifo', [path]), { status: 'unreadable', reason: 'not a regular file' }],
    ['a folder', (path) => void mkdirSync(path), { status: 'unreadable', reason: 'is a directory' }],
    ['a device', (path) => symlinkSync('/dev/zero', path), { status: 'unreadable', reason: 'not a regular file' }],
    ['nothing', () => {}, { status: 'none' }],
  ])('for %s', async (_, swap, expected) => {
    const folder = new PolicyFolder();
    folder.put('managed-settings.json', launcher);
    installFailpoints({
      pass() {},
      async passWaiting(point) {
        if (point === 'launcher.settings.open.before') {
          unlinkSync(folder.base);
          swap(folder.base);
        }
      },
    });
    expect(await folder.resolve()).toMatchObject(expected);
  });
});

describe('the variable for another folder', () => {
  const variable = (folder: PolicyFolder) => ({ CLAUDE_SSH_E2E_MANAGED_SETTINGS_DIR: folder.path });

  test('counts on a host without a policy', async () => {
    const host = new PolicyFolder();
    const other = new PolicyFolder();
    other.put('managed-settings.json', launcher);
    expect(await host.resolve(variable(other))).toEqual(usable(other.base));
    host.put('managed-settings.d/readme.txt', 'x');
    mkdirSync(join(host.path, 'managed-settings.d/1.json'));
    expect(await host.resolve(variable(other))).toEqual(usable(other.base));
    expect(await host.resolve({ CLAUDE_SSH_E2E_MANAGED_SETTINGS_DIR: '' })).toEqual({ status: 'none' });
  });

  test.each<[what: string, put: (host: PolicyFolder) => void]>([
    ['a base file', (host) => void host.put('managed-settings.json', '{}')],
    ['a base file that is a link to nowhere', (host) => symlinkSync('/nowhere', host.base)],
    ['a base file that is a folder', (host) => void mkdirSync(host.base)],
    ['a drop-in', (host) => void host.put('managed-settings.d/1.json', '{}')],
    ['a hidden drop-in', (host) => void host.put('managed-settings.d/.1.json', '{}')],
    [
      'a drop-in that is a link to nowhere',
      (host) => {
        host.put('managed-settings.d/readme', '');
        symlinkSync('/nowhere', join(host.path, 'managed-settings.d/1.json'));
      },
    ],
    [
      'something in the place of its drop-ins that cannot be listed',
      (host) => symlinkSync('managed-settings.d', join(host.path, 'managed-settings.d')),
    ],
  ])('does not switch off a policy that is %s', async (_, put) => {
    const host = new PolicyFolder();
    const other = new PolicyFolder();
    other.put('managed-settings.json', launcher);
    put(host);
    const ignored: string[] = [];
    const found = await host.resolve(variable(other), { onIgnoredVariable: (folder) => ignored.push(folder) });
    expect(found).not.toMatchObject({ status: 'usable' });
    expect(ignored).toEqual([host.path]);
  });

  testNeeding(root)('does not switch off a policy that our user may not see', {}, async () => {
    const host = new PolicyFolder();
    const other = new PolicyFolder();
    other.put('managed-settings.json', launcher);
    chmodSync(host.path, 0o000);
    expect(await asNobody(() => host.resolve(variable(other)))).toMatchObject({ status: 'unreadable' });
    expect(existsSync(host.path)).toBe(true);
  });
});

/** Root may read everything, so the call is made as another user. */
async function asNobody<T>(work: () => Promise<T>): Promise<T> {
  process.seteuid?.(65_534);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
  }
}
