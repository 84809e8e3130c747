/** What an adapter promises about the folder a daemon runs in (platform/platform.ts, spec modes.md §5–7). */
import {
  closeSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { HostError } from '../../platform/errors.ts';
import type { RunDirectory } from '../../platform/run-directories.ts';
import { waitUntil } from '../support/wait.ts';
import { type Machine, temporaryFolder } from './machine.ts';
import { runFixture } from './running-child.ts';

export function runDirectoryContract({ platform }: Machine): void {
  const { runDirectories } = platform;

  function open(folder = join(temporaryFolder(), 'run')): RunDirectory {
    runDirectories.create(folder);
    const directory = runDirectories.open(folder);
    onTestFinished(() => directory.close());
    return directory;
  }

  const record = { pid: 4711, role: 'serve', node: 'boot/ns', instanceId: 'ab'.repeat(16), startedAt: 1785456789123 };

  describe('the folder', () => {
    test('is made with its parents, and an existing one is taken as it is', () => {
      const folder = join(temporaryFolder(), 'a', 'b', 'run');
      runDirectories.create(folder);
      writeFileSync(join(folder, 'mine'), '');
      runDirectories.create(folder);
      expect(readdirSync(folder)).toEqual(['mine']);
      if (platform.name === 'posix') {
        expect(statSync(join(folder, '..')).mode & 0o777).toBe(0o700);
      }
    });

    test('holds files without a name, which are gone with their descriptor', () => {
      const folder = join(temporaryFolder(), 'run');
      runDirectories.create(folder);
      const files = [runDirectories.openNameless(folder), runDirectories.openNameless(folder)] as const;
      if (platform.name === 'posix') {
        // Windows may show the name of a file that is deleted as long as it is open.
        expect(readdirSync(folder)).toEqual([]);
      }
      writeSync(files[0], 'one');
      writeSync(files[1], 'two', 100_000);
      const bytes = Buffer.alloc(3);
      expect([readSync(files[0], bytes, 0, 3, 0), bytes.toString()]).toEqual([3, 'one']);
      expect([readSync(files[1], bytes, 0, 3, 100_000), bytes.toString()]).toEqual([3, 'two']);
      for (const file of files) {
        closeSync(file);
      }
      expect(readdirSync(folder)).toEqual([]);
    });

    test('cannot be made where a file stands', () => {
      const file = join(temporaryFolder(), 'file');
      writeFileSync(file, '');
      expect(() => runDirectories.create(join(file, 'run'))).toThrow(HostError);
      expect(() => runDirectories.create(file)).toThrow(HostError);
    });

    test('is refused when it is missing or no folder', () => {
      const folder = temporaryFolder();
      expect(() => runDirectories.open(join(folder, 'missing'))).toThrow(HostError);
      writeFileSync(join(folder, 'file'), '');
      expect(() => runDirectories.open(join(folder, 'file'))).toThrow(HostError);
    });

    test('reports changes until it is told to stop', async () => {
      const directory = open();
      let changes = 0;
      const stop = directory.watch(() => changes++);
      writeFileSync(join(directory.path, 'new'), '');
      await waitUntil(() => changes > 0 || undefined, 'a change');
      stop();
    });
  });

  describe('a published file', () => {
    test('holds all of its content, replaces an older one, and leaves no temporary behind', () => {
      const directory = open();
      directory.publish('rpc.pipe', Buffer.from('first, and longer'));
      const owned = directory.publish('rpc.pipe', Buffer.from('second'));
      expect(readFileSync(owned.path, 'utf8')).toBe('second');
      expect(directory.readText('rpc.pipe', 100)).toBe('second');
      expect(readdirSync(directory.path)).toEqual(['rpc.pipe']);
    });

    test('is removed by its owner', () => {
      const directory = open();
      directory.publish('daemon.token', Buffer.from('secret')).remove();
      expect(readdirSync(directory.path)).toEqual([]);
    });

    test('stays when somebody else has put another in its place, even with the same content', () => {
      const directory = open();
      const ours = directory.publish('daemon.token', Buffer.from('secret'));
      directory.publish('daemon.token', Buffer.from('secret'));
      ours.remove();
      expect(directory.readText('daemon.token', 100)).toBe('secret');
    });

    test('stays when a folder is in its place, and a second removal is harmless', () => {
      const directory = open();
      const ours = directory.publish('daemon.token', Buffer.from('secret'));
      ours.remove();
      mkdirSync(ours.path);
      ours.remove();
      expect(existsSync(ours.path)).toBe(true);
    });
  });

  describe('other files', () => {
    test('are read up to a limit; a missing one and a folder have no text', () => {
      const directory = open();
      writeFileSync(join(directory.path, 'text'), 'abcdef');
      mkdirSync(join(directory.path, 'folder'));
      expect(directory.readText('text', 4)).toBe('abcd');
      expect(directory.readText('missing', 4)).toBeUndefined();
      expect(directory.readText('folder', 4)).toBeUndefined();
    });

    test('a leftover is removed, a missing one is no failure', () => {
      const directory = open();
      writeFileSync(join(directory.path, 'rpc.pipe'), 'old');
      directory.removeLeftover('rpc.pipe');
      directory.removeLeftover('rpc.pipe');
      expect(readdirSync(directory.path)).toEqual([]);
    });
  });

  describe('the lock', () => {
    test('is held by one at a time, and the others can read who it is', () => {
      const directory = open();
      const first = directory.tryLock('daemon.lock', { create: true });
      if (first.state !== 'taken') {
        throw new Error(`the lock is ${first.state}`);
      }
      first.lock.write(record);
      expect(directory.tryLock('daemon.lock', { create: true })).toEqual({ state: 'held', record });
      expect(directory.tryLock('daemon.lock', { create: false })).toEqual({ state: 'held', record });
      first.lock.clearAndRelease();
      first.lock.clearAndRelease();
      expect(directory.readText('daemon.lock', 100)).toBe('');
      const second = directory.tryLock('daemon.lock', { create: false });
      if (second.state !== 'taken') {
        throw new Error(`the lock is ${second.state}`);
      }
      second.lock.releaseUnchanged();
    });

    test('leaves the record to those who only looked', () => {
      const directory = open();
      writeFileSync(join(directory.path, 'daemon.lock'), JSON.stringify(record));
      const attempt = directory.tryLock('daemon.lock', { create: false });
      if (attempt.state !== 'taken') {
        throw new Error(`the lock is ${attempt.state}`);
      }
      attempt.lock.releaseUnchanged();
      expect(JSON.parse(directory.readText('daemon.lock', 1000) ?? '')).toEqual(record);
    });

    test('is never made by those who only look', () => {
      const directory = open();
      expect(directory.tryLock('daemon.lock', { create: false }).state).toBe('missing');
      expect(readdirSync(directory.path)).toEqual([]);
    });

    test('a folder in its place is not readable as a lock', () => {
      const directory = open();
      mkdirSync(join(directory.path, 'daemon.lock'));
      expect(directory.tryLock('daemon.lock', { create: true }).state).toBe('unreadable');
    });

    test('a shorter record leaves nothing of a longer one', () => {
      const directory = open();
      const attempt = directory.tryLock('daemon.lock', { create: true });
      if (attempt.state !== 'taken') {
        throw new Error(`the lock is ${attempt.state}`);
      }
      attempt.lock.write(record);
      attempt.lock.write({ pid: 1, role: 'serve' });
      expect(directory.readText('daemon.lock', 1000)).toBe('{"pid":1,"role":"serve"}');
      attempt.lock.clearAndRelease();
    });

    test('is dropped by the system when its holder dies', async () => {
      const directory = open();
      const holder = runFixture(platform, 'hold-the-lock', [directory.path]);
      expect(await holder.line()).toBe('taken');
      const attempt = directory.tryLock('daemon.lock', { create: true });
      expect(attempt).toEqual({ state: 'held', record: { pid: holder.child.pid, role: 'serve' } });
      holder.child.signal('KILL', 'tree');
      await holder.over();
      const next = await waitUntil(() => {
        const again = directory.tryLock('daemon.lock', { create: true });
        return again.state === 'taken' ? again.lock : undefined;
      }, 'the lock');
      next.clearAndRelease();
    });
  });

  describe('exclusive work', () => {
    test('is never done by two at once', async () => {
      const directory = open();
      const other = runDirectories.open(directory.path);
      onTestFinished(() => other.close());
      let inside = 0;
      let most = 0;
      const work = async () => {
        most = Math.max(most, ++inside);
        await new Promise((resolve) => setTimeout(resolve, 20));
        inside--;
      };
      await Promise.all([directory.exclusively(work), other.exclusively(work), directory.exclusively(work)]);
      expect(most).toBe(1);
      expect(readdirSync(directory.path)).toEqual([]);
    });

    test('goes on after it failed once, and after its owner died in the middle of it', async () => {
      const directory = open();
      await expect(directory.exclusively(() => Promise.reject(new Error('failed')))).rejects.toThrow('failed');
      const owner = runFixture(platform, 'stay-inside-exclusive-work', [directory.path]);
      await owner.line();
      let ours = false;
      const done = directory.exclusively(() => {
        ours = true;
      });
      expect(ours).toBe(false);
      owner.child.signal('KILL', 'tree');
      await done;
      await owner.over();
    });
  });

  describe('the log', () => {
    const openLog = (path: string, rotate: 'unlink' | 'rename') => {
      const log = runDirectories.openLog(path, rotate);
      if ('declined' in log) {
        throw new Error(log.declined);
      }
      return log.fd;
    };

    test('starts empty, and the old one is kept or not as asked', () => {
      const { path: folder } = open();
      const path = join(folder, 'remote-server.log');
      for (const [rotate, text] of [
        ['unlink', 'one'],
        ['rename', 'two'],
        ['rename', 'three'],
        ['unlink', 'four'],
      ] as const) {
        const fd = openLog(path, rotate);
        writeSync(fd, text);
        closeSync(fd);
        expect(readFileSync(path, 'utf8')).toBe(text);
      }
      expect(readFileSync(`${path}.old`, 'utf8')).toBe('two');
    });

    test('is there although a folder stands where the old one should go', () => {
      const { path: folder } = open();
      const path = join(folder, 'remote-server.log');
      writeFileSync(path, 'older lines');
      mkdirSync(join(`${path}.old`, 'inside'), { recursive: true });
      const fd = openLog(path, 'rename');
      writeSync(fd, 'new\n');
      closeSync(fd);
      expect(readFileSync(path, 'utf8')).toMatch(/new\n$/);
      expect(readdirSync(`${path}.old`)).toEqual(['inside']);
    });

    test('is declined where a folder stands in its place', () => {
      const { path: folder } = open();
      const path = join(folder, 'remote-server.log');
      mkdirSync(path);
      writeFileSync(join(path, 'inside'), '');
      expect(runDirectories.openLog(path, 'unlink')).toMatchObject({ declined: expect.stringContaining(path) });
      expect(readdirSync(path)).toEqual(['inside']);
    });

    test('two writers append, neither overwrites the other', () => {
      const { path: folder } = open();
      const path = join(folder, 'remote-server.log');
      const fd = openLog(path, 'unlink');
      writeSync(fd, 'first\n');
      writeFileSync(path, 'stranger\n', { flag: 'a' });
      writeSync(fd, 'second\n');
      closeSync(fd);
      expect(readFileSync(path, 'utf8')).toBe('first\nstranger\nsecond\n');
    });
  });
}
