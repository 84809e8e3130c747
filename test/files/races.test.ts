/**
 * Another process that swaps folders for links while we remove or unpack (threat 17 of docs/security.md).
 * The decoy the links lead to must come out of it unchanged.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { readdir, rmdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { byLength, limitMs } from '../faults/support/length.ts';
import { armFailpoints } from '../support/failpoint-rules.ts';
import { mounts, testNeeding } from '../support/needs.ts';
import { waitUntil } from '../support/wait.ts';
import { entry, targz } from './archive.ts';
import { extract, platform, scratchFolder, treeOf } from './support.ts';

const swapper = fileURLToPath(new URL('../fixtures/swap-for-link.ts', import.meta.url));

afterEach(() => armFailpoints({}));

/** A decoy, and a process that swaps `<folder>/out/victim` for a link to it. */
async function race() {
  const folder = scratchFolder();
  const decoy = join(folder, 'decoy');
  mkdirSync(join(decoy, 'sub'), { recursive: true });
  for (let index = 0; index < 50; index++) {
    writeFileSync(join(decoy, `f${index}`), 'kept');
  }
  writeFileSync(join(decoy, 'sub', 'f'), 'kept');
  const out = join(folder, 'out');
  placeOld(folder, out);
  const process_ = spawn(process.execPath, [swapper, join(out, 'victim'), decoy], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(process_.stdout, 'data');
  return {
    folder,
    decoy,
    out,
    async [Symbol.asyncDispose]() {
      process_.kill('SIGKILL');
      await once(process_, 'exit');
    },
  };
}

/** Puts old content in its place in one step; the victim has the names of the decoy. */
function placeOld(folder: string, out: string): void {
  const fresh = mkdtempSync(join(folder, 'fresh-'));
  mkdirSync(join(fresh, 'victim', 'sub'), { recursive: true });
  for (let index = 0; index < 50; index++) {
    writeFileSync(join(fresh, 'victim', `f${index}`), 'old');
  }
  // What was there is taken out of the swapper's reach before anybody removes it by path.
  const past = join(folder, 'past');
  if (existsSync(out)) {
    renameSync(out, past);
  }
  renameSync(fresh, out);
  rmSync(past, { recursive: true, force: true });
}

/** How one removes a tree who looks first and acts then. */
async function naiveRemove(path: string): Promise<void> {
  if (!lstatSync(path).isDirectory()) {
    return unlink(path);
  }
  for (const name of await readdir(path)) {
    await naiveRemove(join(path, name));
  }
  return rmdir(path);
}

test('the racer is a real one: a removal by path is led to the decoy', { timeout: limitMs(120) }, async () => {
  await using scene = await race();
  const before = treeOf(scene.decoy);
  for (let round = 0; treeOf(scene.decoy).length === before.length; round++) {
    expect(round, 'rounds without harm').toBeLessThan(20_000);
    await naiveRemove(join(scene.out, 'victim')).catch(() => {});
    placeOld(scene.folder, scene.out);
  }
});

test('a folder swapped for a link during its removal takes nothing with it', { timeout: limitMs(120) }, async () => {
  await using scene = await race();
  const before = treeOf(scene.decoy);
  const archivePath = join(scene.folder, 'arc.tgz');
  for (let round = 0; round < byLength(100, 10_000); round++) {
    placeOld(scene.folder, scene.out);
    writeFileSync(archivePath, targz(entry('f', { content: 'new' })));
    const { success, error } = await extract(archivePath, scene.out);
    if (!success) {
      expect(error).toMatch(/^(clean|mkdir|open) destDir: /);
    }
    expect(treeOf(scene.decoy)).toEqual(before);
  }
});

test('a folder swapped for a link during an extraction gets no file written elsewhere', {
  timeout: limitMs(120),
}, async () => {
  await using scene = await race();
  const before = treeOf(scene.decoy);
  const archivePath = join(scene.folder, 'arc.tgz');
  // Going to and fro, so that the folder is opened anew for each file; the names are those of the decoy.
  const entries = Array.from({ length: 50 }, (_, index) => [
    entry(`victim/f${index}`, { content: 'evil' }),
    entry(`other/f${index}`),
  ]).flat();
  for (let round = 0; round < byLength(60, 5_000); round++) {
    writeFileSync(archivePath, targz(...entries));
    const { success, error } = await extract(archivePath, scene.out, { profile: round % 2 === 0 ? 'S' : 'next' });
    if (!success) {
      expect(error).toMatch(/^((clean|mkdir|open) destDir|create|mkdir parent|write)/);
    }
    expect(treeOf(scene.decoy)).toEqual(before);
  }
});

/** Unpacks `archive` and swaps things at the failpoint, once it is reached. */
async function swapAt(point: string, archive: Buffer, swap: (out: string, decoy: string) => void) {
  const folder = scratchFolder();
  const decoy = join(folder, 'decoy');
  const out = join(folder, 'out');
  const pause = join(folder, 'pause');
  mkdirSync(decoy);
  writeFileSync(join(decoy, 'b'), 'kept');
  writeFileSync(join(folder, 'arc.tgz'), archive);
  armFailpoints({ HOLDFAST_FAILPOINTS: `${point}=pause(${pause})` });
  const outcome = extract(join(folder, 'arc.tgz'), out);
  await waitUntil(() => readdirSync(folder).includes('pause'), `the pause at ${point}`);
  swap(out, decoy);
  armFailpoints({});
  unlinkSync(pause);
  return { outcome: await outcome, decoy: treeOf(decoy), out };
}

test('a destination swapped for a link before the marker gets none where the link leads', async () => {
  const { outcome, decoy, out } = await swapAt('files.extract.marker.before', targz(entry('a')), (out, decoy) => {
    renameSync(out, `${out}.moved`);
    symlinkSync(decoy, out);
  });
  expect(outcome).toEqual({ success: true, fileCount: 1 });
  expect(decoy).toEqual(['b=kept']);
  expect(treeOf(`${out}.moved`)).toEqual(['.synced=', 'a=']);
});

test('a link planted in the place of a file to come is not written through', async () => {
  const archive = targz(entry('a'), entry('b', { content: 'evil' }));
  const { outcome, decoy, out } = await swapAt('files.extract.write', archive, (out, decoy) => {
    symlinkSync(join(decoy, 'b'), join(out, 'b'));
  });
  expect(outcome.error).toBe(`create b: open ${out}/b: too many levels of symbolic links`);
  expect(decoy).toEqual(['b=kept']);
});

test('a folder planted where the destination is about to be made is not taken for a fresh one', async () => {
  const { outcome, out } = await swapAt('files.extract.clean.after', targz(entry('a')), (out) => {
    mkdirSync(out);
    writeFileSync(join(out, 'planted'), '');
  });
  expect(outcome.error).toBe(`mkdir destDir: mkdir ${out}: file exists`);
  expect(treeOf(out)).toEqual(['planted=']);
});

testNeeding(mounts())('another file system mounted inside the destination keeps its content', {}, async () => {
  const folder = scratchFolder();
  const decoy = join(folder, 'decoy');
  const mounted = join(folder, 'out', 'sub', 'mounted');
  mkdirSync(decoy);
  writeFileSync(join(decoy, 'keep'), 'kept');
  mkdirSync(mounted, { recursive: true });
  writeFileSync(join(folder, 'out', 'old'), '');
  execFileSync('mount', ['--bind', decoy, mounted]);
  try {
    writeFileSync(join(folder, 'arc.tgz'), targz(entry('a')));
    const { error } = await extract(join(folder, 'arc.tgz'), join(folder, 'out'));
    expect(error).toBe(`clean destDir: unlinkat ${mounted}: ${platform.paths.reasonForCode('EBUSY')}`);
    expect(treeOf(folder)).toEqual([
      'decoy/',
      'decoy/keep=kept',
      'out/',
      'out/sub/',
      'out/sub/mounted/',
      'out/sub/mounted/keep=kept',
    ]);
  } finally {
    await once(spawn('umount', [mounted], { stdio: 'ignore' }), 'exit');
  }
});
