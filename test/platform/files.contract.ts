/** What an adapter promises about files and folders (platform/files.ts, spec files.md). */
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { SystemCallError } from '../../platform/errors.ts';
import { type Machine, temporaryFolder } from './machine.ts';

export function filesContract({ platform, openHandles, words, canLink }: Machine): void {
  const { files } = platform;

  const name = (text: string) => Buffer.from(text);

  async function failureOf(work: Promise<unknown>): Promise<SystemCallError> {
    const failure = await work.then(
      () => new Error('nothing failed'),
      (error: unknown) => error,
    );
    expect(failure).toBeInstanceOf(SystemCallError);
    return failure as SystemCallError;
  }

  async function contentOf(path: string): Promise<string> {
    const file = await files.openForReading(path);
    try {
      const buffer = Buffer.alloc(100);
      let text = '';
      for (let count = await file.read(buffer); count > 0; count = await file.read(buffer)) {
        text += buffer.toString('utf8', 0, count);
      }
      return text;
    } finally {
      await file.close();
    }
  }

  describe('looking at files', () => {
    test('a file and a folder are told apart, with size and time', async () => {
      const folder = temporaryFolder();
      const path = join(folder, 'file');
      writeFileSync(path, 'abc');
      const found = await files.status(path);
      expect(found).toMatchObject({ kind: 'file', size: 3, isNullDevice: false });
      expect(found.permissions & 0o600).toBe(0o600);
      expect(Math.abs(found.modifiedMs - Date.now())).toBeLessThan(60_000);
      expect(await files.status(folder)).toMatchObject({ kind: 'directory' });
      expect(await files.statusOfEntry(folder)).toMatchObject({ kind: 'directory' });
    });

    test('a missing path says what was asked of it', async () => {
      const path = join(temporaryFolder(), 'missing');
      const failure = await failureOf(files.status(path));
      expect(failure).toMatchObject({ code: 'ENOENT', message: `${words.statOperation} ${path}: ${words.noSuchFile}` });
      expect(await failureOf(files.openForReading(path))).toMatchObject({
        message: `open ${path}: ${words.noSuchFile}`,
      });
    });

    test('a NUL byte in a path is an invalid argument', async () => {
      const path = 'a\0b';
      const expected = { code: 'EINVAL', message: `open ${path}: invalid argument` };
      expect(await failureOf(files.openForReading(path))).toMatchObject(expected);
      expect(await failureOf(files.list(path, 'any'))).toMatchObject(expected);
    });

    test('content is read to its end', async () => {
      const path = join(temporaryFolder(), 'file');
      writeFileSync(path, 'x'.repeat(250));
      expect(await contentOf(path)).toBe('x'.repeat(250));
    });

    test('a listing has every entry once and knows the folders', async () => {
      const folder = temporaryFolder();
      mkdirSync(join(folder, 'sub'));
      writeFileSync(join(folder, 'ünï ☃'), '');
      writeFileSync(join(folder, '.hidden'), '');
      const entries = await files.list(folder, 'any');
      const found = entries.map((entry) => [entry.name.toString(), entry.isDirectory]);
      expect(found.sort()).toEqual([
        ['.hidden', false],
        ['sub', true],
        ['ünï ☃', false],
      ]);
    });

    test('what is no folder is refused in the way that was asked for', async () => {
      const path = join(temporaryFolder(), 'file');
      writeFileSync(path, '');
      expect(await failureOf(files.list(path, 'any'))).toMatchObject({
        message: `readdirent ${path}: ${words.notDirectory}`,
      });
      expect(await failureOf(files.list(path, 'folderOnly'))).toMatchObject({
        message: `open ${path}: ${words.notDirectory}`,
      });
    });
  });

  describe('a folder held open', () => {
    test('is made with its parents, and takes folders and files', async () => {
      const path = join(temporaryFolder(), 'a', 'b', 'c');
      const folder = await files.createFolders(path);
      await folder.createFolder(name('sub'));
      const sub = await folder.openFolder(name('sub'));
      const file = await sub.createFile(name('ünï ☃'), 0o600, 'new');
      await file.write(Buffer.from('con'));
      await file.write(Buffer.from('tent'));
      await file.close();
      expect(readFileSync(join(path, 'sub', 'ünï ☃'), 'utf8')).toBe('content');
      await sub.close();
      await folder.close();
    });

    test('empties an existing file or refuses it, as asked', async () => {
      const path = temporaryFolder();
      writeFileSync(join(path, 'file'), 'long content');
      const folder = await files.openFolder(path);
      expect(await failureOf(folder.createFile(name('file'), 0o600, 'new'))).toMatchObject({ code: 'EEXIST' });
      const file = await folder.createFile(name('file'), 0o600, 'empty');
      await file.write(Buffer.from('new'));
      await file.close();
      expect(readFileSync(join(path, 'file'), 'utf8')).toBe('new');
      await folder.close();
    });

    test('refuses a folder where a file is to be, and a file where a folder is', async () => {
      const path = temporaryFolder();
      mkdirSync(join(path, 'folder'));
      writeFileSync(join(path, 'file'), '');
      const folder = await files.openFolder(path);
      expect(await failureOf(folder.createFile(name('folder'), 0o600, 'empty'))).toMatchObject({ code: 'EISDIR' });
      expect(await failureOf(folder.createFolder(name('file')))).toMatchObject({ code: 'EEXIST' });
      expect(await failureOf(folder.openFolder(name('file')))).toMatchObject({ code: 'ENOTDIR' });
      expect(await failureOf(folder.openFolder(name('missing')))).toMatchObject({ code: 'ENOENT' });
      expect(await failureOf(folder.createFile(name('a\0b'), 0o600, 'new'))).toMatchObject({ code: 'EINVAL' });
      await folder.close();
    });

    test('reads a whole file, and says when there is none or too much of it', async () => {
      const path = temporaryFolder();
      writeFileSync(join(path, 'file'), 'content');
      writeFileSync(join(path, 'empty'), '');
      mkdirSync(join(path, 'sub'));
      const folder = await files.openFolder(path);
      expect((await folder.readFile(name('file'), 7)).toString()).toBe('content');
      expect((await folder.readFile(name('empty'), 0)).toString()).toBe('');
      expect(await failureOf(folder.readFile(name('file'), 6))).toMatchObject({ code: 'EFBIG' });
      expect(await failureOf(folder.readFile(name('missing'), 7))).toMatchObject({ code: 'ENOENT' });
      expect(await failureOf(folder.readFile(name('sub'), 7))).toBeInstanceOf(Error);
      await folder.close();
    });

    test('gives a file the name of another one, and removes folders only when they are empty', async () => {
      const path = temporaryFolder();
      writeFileSync(join(path, 'new'), 'new content');
      writeFileSync(join(path, 'old'), 'old content');
      mkdirSync(join(path, 'full', 'empty'), { recursive: true });
      const folder = await files.openFolder(path);
      await folder.rename(name('new'), name('old'));
      expect(readFileSync(join(path, 'old'), 'utf8')).toBe('new content');
      expect(await failureOf(folder.rename(name('missing'), name('old')))).toMatchObject({ code: 'ENOENT' });
      await failureOf(folder.removeFolder(name('full')));
      const full = await folder.openFolder(name('full'));
      await full.removeFolder(name('empty'));
      await full.close();
      await folder.removeFolder(name('full'));
      expect(await failureOf(folder.removeFolder(name('full')))).toMatchObject({ code: 'ENOENT' });
      expect(readFileSync(join(path, 'old'), 'utf8')).toBe('new content');
      await folder.close();
    });

    test('may be searched for itself, and removes files and trees', async () => {
      const path = temporaryFolder();
      writeFileSync(join(path, 'file'), '');
      mkdirSync(join(path, 'tree', 'deep'), { recursive: true });
      writeFileSync(join(path, 'tree', 'deep', 'file'), '');
      const folder = await files.openFolder(path);
      await (await folder.openFolder(name('.'))).close();
      await folder.removeFile(name('file'));
      await folder.removeFile(name('file'));
      await folder.removeTree(name('tree'));
      await folder.removeTree(name('tree'));
      expect(readdirSync(path)).toEqual([]);
      await folder.close();
      await folder.close();
    });
  });

  describe('removing', () => {
    test('takes a deep tree with read-only files, and a missing one is no failure', async () => {
      const path = join(temporaryFolder(), 'tree');
      let deep = path;
      for (let depth = 0; depth < 60; depth++) {
        deep = join(deep, 'd');
      }
      mkdirSync(deep, { recursive: true });
      writeFileSync(join(deep, 'read-only'), '', { mode: 0o400 });
      await files.removeTree(path);
      await files.removeTree(path);
      expect(existsSync(path)).toBe(false);
    });

    test('one entry goes, a full folder stays', async () => {
      const folder = temporaryFolder();
      mkdirSync(join(folder, 'empty'));
      mkdirSync(join(folder, 'full'));
      writeFileSync(join(folder, 'full', 'file'), '');
      await files.remove(join(folder, 'empty'));
      const failure = await failureOf(files.remove(join(folder, 'full')));
      expect(failure.message).toContain(`unlinkat ${join(folder, 'full')}: `);
      await files.remove(join(folder, 'full', 'file'));
      await files.remove(join(folder, 'full'));
      expect(readdirSync(folder)).toEqual([]);
      expect(await failureOf(files.remove(join(folder, 'full')))).toMatchObject({ code: 'ENOENT' });
    });

    if (canLink) {
      test('a link goes, what it leads to stays', async () => {
        const folder = temporaryFolder();
        mkdirSync(join(folder, 'target'));
        writeFileSync(join(folder, 'target', 'file'), 'kept');
        mkdirSync(join(folder, 'tree'));
        symlinkSync(join(folder, 'target'), join(folder, 'tree', 'link'), 'junction');
        expect(await files.statusOfEntry(join(folder, 'tree', 'link'))).toMatchObject({ kind: 'link' });
        expect(await files.list(join(folder, 'tree'), 'any')).toMatchObject([{ isDirectory: true }]);
        expect(await failureOf(files.openFolder(join(folder, 'tree', 'link')))).toMatchObject({ code: 'ENOTDIR' });
        await files.removeTree(join(folder, 'tree'));
        expect(readFileSync(join(folder, 'target', 'file'), 'utf8')).toBe('kept');
      });
    }
  });

  test('no folder or file stays open after its work', async () => {
    const path = temporaryFolder();
    const before = openHandles();
    for (let round = 0; round < 20; round++) {
      const folder = await files.openFolder(path);
      const file = await folder.createFile(name('file'), 0o600, 'empty');
      await file.close();
      await failureOf(folder.createFile(name('file'), 0o600, 'new'));
      await failureOf(folder.openFolder(name('file')));
      await folder.close();
      await contentOf(join(path, 'file'));
      await files.list(path, 'folderOnly');
    }
    expect(openHandles()).toBeLessThanOrEqual(before + 2);
  });
}
