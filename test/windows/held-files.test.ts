/** A virus scanner that has a file open for a moment makes neither a removal nor a replacement fail. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import { opened } from '../../platform/win32/handles.ts';
import { createPlatform } from '../../platform/win32/index.ts';
import { temporaryFolder } from '../platform/machine.ts';

const { files } = createPlatform();

/** Opens a file as a scanner does: nobody may delete it meanwhile. @returns what closes it */
function hold(path: string): () => void {
  let handle: kernel32.Handle | undefined = opened(
    kernel32.CreateFileW(path, kernel32.GENERIC_READ, kernel32.FILE_SHARE_READ, null, kernel32.OPEN_EXISTING, 0, null),
    'CreateFile',
  );
  const close = (): void => {
    if (handle !== undefined) {
      kernel32.CloseHandle(handle);
      handle = undefined;
    }
  };
  onTestFinished(close);
  return close;
}

function folderWithFile(): { readonly folder: string; readonly file: string } {
  const folder = join(temporaryFolder(), 'tree');
  mkdirSync(join(folder, 'inner'), { recursive: true });
  const file = join(folder, 'inner', 'fresh.exe');
  writeFileSync(file, 'fresh');
  return { folder, file };
}

test('a file that is held for a moment is removed, and so is the tree it lies in', async () => {
  const single = folderWithFile();
  const closeSingle = hold(single.file);
  const removed = files.remove(single.file);
  await delay(50);
  closeSingle();
  await removed;
  expect(existsSync(single.file)).toBe(false);

  const tree = folderWithFile();
  const closeInTree = hold(tree.file);
  const cleared = files.removeTree(tree.folder);
  await delay(50);
  closeInTree();
  await cleared;
  expect(existsSync(tree.folder)).toBe(false);
});

test('a file takes its place although the one before is held for a moment', async () => {
  const { folder, file } = folderWithFile();
  const next = join(folder, 'next.exe');
  writeFileSync(next, 'next');
  const close = hold(file);
  const renamed = files.rename(next, file);
  await delay(50);
  close();
  await renamed;
  expect(readFileSync(file, 'utf8')).toBe('next');
});

test('a file that is held for ever is named, and the rest of the tree is gone', async () => {
  const { folder, file } = folderWithFile();
  writeFileSync(join(folder, 'other'), 'other');
  hold(file);
  await expect(files.removeTree(folder)).rejects.toThrow(
    `unlinkat ${file}: The process cannot access the file because it is being used by another process.`,
  );
  expect(existsSync(join(folder, 'other'))).toBe(false);
  expect(existsSync(file)).toBe(true);
});
