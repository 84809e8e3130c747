/** Starts on the threads of libuv's pool (platform/posix/launch.ts), when those threads are taken. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { createPlatform } from '../../platform/posix/index.ts';
import type { Child } from '../../platform/processes.ts';
import { waitUntil } from '../support/wait.ts';
import { currentEnvironment, maxChunkBytes } from './running-child.ts';

/** libuv has so many threads unless somebody says otherwise. */
const poolThreads = Number(process.env.UV_THREADPOOL_SIZE ?? 4);

test('a file system that hangs holds up a few starts of a burst, not those after it', async () => {
  const { processes } = createPlatform();
  const ends: Promise<void>[] = [];
  const start = (): Child | Promise<Child> => {
    const { promise, resolve } = Promise.withResolvers<void>();
    ends.push(promise);
    return processes.spawnAmongMany({
      command: '/bin/true',
      args: [],
      cwd: undefined,
      env: currentEnvironment(),
      maxChunkBytes,
      onOutput: () => true,
      onOutputEnd: () => {},
      onEnd: resolve,
    });
  };
  const folder = mkdtempSync('/tmp/hf-');
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  // Who opens a FIFO for reading waits for its writer, and takes a thread of the pool meanwhile.
  const fifos = Array.from({ length: poolThreads }, (_, index) => join(folder, `fifo${index}`));
  execFileSync('mkfifo', fifos);
  const readers = fifos.map((fifo) => open(fifo, 'r'));

  const started: (Child | Promise<Child>)[] = [];
  // Two in a row each time: a single start is done at once anyway.
  const untilSecond = (isOnItsWay: boolean) =>
    waitUntil(
      () => {
        started.push(start(), start());
        return started.at(-1) instanceof Promise === isOnItsWay || undefined;
      },
      `a start ${isOnItsWay ? 'with' : 'without'} the pool`,
    );
  await untilSecond(true);
  await untilSecond(false);
  const waiting = started.filter((child) => child instanceof Promise);
  expect(waiting.length).toBeLessThanOrEqual(16);

  // The file system answers again: the starts that waited are done, each once.
  execFileSync('sh', ['-c', 'for fifo; do : >"$fifo" & done; wait', 'sh', ...fifos]);
  const handles: FileHandle[] = await Promise.all(readers);
  await Promise.all(handles.map((handle) => handle.close()));
  const children = await Promise.all(started);
  await Promise.all(ends);
  expect(new Set(children.map(({ pid }) => pid)).size).toBe(started.length);
  for (const child of children) {
    expect(child.collect().code).toBe(0);
    child.closeInput();
    child.closeOutput();
  }
});
