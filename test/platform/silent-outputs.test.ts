/** Outputs that get their socket when they are first written to (platform/posix/child-output.ts). */
import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { createPlatform } from '../../platform/posix/index.ts';
import { waitUntil } from '../support/wait.ts';
import { fixture } from './fixture.ts';
import { RunningChild } from './running-child.ts';

const platform = createPlatform();

const shell = (script: string) => new RunningChild(platform, { command: '/bin/sh', args: ['-c', script] });

test('what a program writes as its last act arrives whole, however many end at once', async () => {
  for (let round = 0; round < 6; round++) {
    const all = Array.from({ length: 10 }, (_, index) => ({
      running: shell(`printf out${index}; printf err${index} >&2`),
      wanted: [`out${index}`, `err${index}`],
    }));
    for (const { running, wanted } of all) {
      expect(await running.over()).toEqual({ code: 0, signal: undefined });
      expect([running.text('stdout'), running.text('stderr')]).toEqual(wanted);
    }
  }
});

test('the first word after a long silence arrives, while others that say nothing come and go', async () => {
  const silent = shell('read word; printf "$word"; read end');
  for (let round = 0; round < 5; round++) {
    expect((await shell('exit 0').over()).code).toBe(0);
  }
  expect(silent.happened).toEqual([]);
  await new Promise<void>((done) => silent.child.writeInput(Buffer.from('word\n'), done));
  await waitUntil(() => silent.text('stdout') === 'word' || undefined, 'the word');
  silent.child.closeInput();
  expect((await silent.over()).code).toBe(1);
});

test('the end of both outputs is told once when they are closed from our side before anything was written', async () => {
  const silent = shell('read end; exit 4');
  silent.child.closeOutput();
  silent.child.closeOutput();
  silent.child.closeInput();
  expect(await silent.over()).toEqual({ code: 4, signal: undefined });
  expect([...silent.happened].sort()).toEqual(['end', 'stderr end', 'stdout end']);
});

test.each([
  ['by itself', [], 0],
  ['at once', ['exit'], 3],
])('a process that waits for nothing but a silent output sees it close, and ends %s', (_, words, code) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [fixture('see-an-output-close'), ...words]);
  expect([stdout.toString(), stderr.toString(), status]).toEqual(['closed', '', code]);
});
