import { tmpdir } from 'node:os';
import { expect, test } from 'vitest';
import { loadPlatform } from '../../platform/load.ts';
import { type CommandRequest, runCommand } from '../../src/base/run-command.ts';

const platform = await loadPlatform();

function shell(script: string, more: Partial<CommandRequest> = {}) {
  return runCommand(platform.processes, {
    command: '/bin/sh',
    args: ['-c', script],
    cwd: undefined,
    env: [['PATH', process.env.PATH ?? '']],
    maxOutputBytes: 1_000_000,
    ...more,
  });
}

test('both outputs, their order and the way it ended are kept', async () => {
  const result = await shell('echo one; sleep 0.2; echo two >&2; sleep 0.2; echo three; exit 7');
  expect(result.stdout.toString()).toBe('one\nthree\n');
  expect(result.stderr.toString()).toBe('two\n');
  expect(result.combined.toString()).toBe('one\ntwo\nthree\n');
  expect(result).toMatchObject({ failure: 'exit status 7', timedOut: false, overflowed: false });
  expect((await shell('kill -TERM $$')).failure).toBe('signal: terminated');
  expect((await shell(':')).failure).toBeUndefined();
});

test('standard input is what was given, or at its end', async () => {
  const input = Buffer.alloc(3_000_000, 'x');
  expect((await shell('wc -c', { input })).stdout.toString().trim()).toBe('3000000');
  expect((await shell('cat')).stdout.toString()).toBe('');
  // A program that does not read its input succeeds all the same.
  expect((await shell('exec 0<&-; exit 0', { input })).failure).toBeUndefined();
});

test('a program that cannot be started says why', async () => {
  expect(await shell('', { command: 'no-such-program' })).toMatchObject({
    exit: undefined,
    startFailure: 'ENOENT',
    failure: 'exec: "no-such-program": executable file not found in $PATH',
  });
  expect((await shell('', { cwd: `${tmpdir()}/no-such-folder` })).failure).toMatch(
    /^chdir .*no such file or directory$/,
  );
});

test('output in the border of the cap is kept, beyond it the program ends', async () => {
  const atCap = await shell('printf 1234567890', { maxOutputBytes: 10 });
  expect(atCap).toMatchObject({ overflowed: false, failure: undefined });
  expect(atCap.stdout.toString()).toBe('1234567890');
  expect(await shell('yes', { maxOutputBytes: 10 })).toMatchObject({ overflowed: true, failure: 'signal: killed' });
});

test('a program may be asked to end before it is killed', async () => {
  const polite = await shell('trap "echo bye; exit 4" TERM; echo on; while :; do sleep 0.05; done', {
    timeoutMs: 500,
    terminateGraceMs: 20_000,
  });
  expect(polite).toMatchObject({ timedOut: true, failure: 'exit status 4' });
  expect(polite.stdout.toString()).toBe('on\nbye\n');
  const deaf = await shell('trap "" TERM; while :; do sleep 0.05; done', { timeoutMs: 300, terminateGraceMs: 300 });
  expect(deaf).toMatchObject({ timedOut: true, failure: 'signal: killed' });
});

test('a descendant that holds the output is waited for, or for so long only', async () => {
  const waited = await shell('(sleep 0.5; echo late) & echo early');
  expect(waited.stdout.toString()).toBe('early\nlate\n');
  const cut = await shell('sleep 1000 & echo early', { outputGraceMs: 200 });
  expect(cut.stdout.toString()).toBe('early\n');
  expect(cut.failure).toBeUndefined();
});
