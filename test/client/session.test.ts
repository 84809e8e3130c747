import { describe, expect, test } from 'vitest';
import { HoldfastError } from '../../src/client/index.ts';
import { startDaemon } from '../support/daemon.ts';
import { connectTo, textOf } from '../support/host.ts';

describe.each(['S', 'current', 'next', 'latest'] as const)('profile %s', (profile) => {
  test('a program runs, and its output, its errors and its exit code come back', async () => {
    await using daemon = await startDaemon({ profile });
    await using host = await connectTo(daemon);
    const job = await host.spawn({ command: 'sh', args: ['-c', 'echo out; echo err >&2; exit 3'] });
    expect(await textOf(job.stdout)).toBe('out\n');
    expect(await textOf(job.stderr)).toBe('err\n');
    expect(await job.exit).toEqual({ code: 3, signal: undefined, killedBy: undefined });
    expect(job.existing).toBe(false);
    expect(job.pid).toBeGreaterThan(0);
  });

  test('what is written arrives, and after end() the program sees the end of its input', async () => {
    await using daemon = await startDaemon({ profile });
    await using host = await connectTo(daemon);
    const job = await host.spawn({ command: 'cat' });
    await job.write('one\n');
    await job.write(new TextEncoder().encode('two\n'));
    await job.end();
    expect(await textOf(job.stdout)).toBe('one\ntwo\n');
    expect((await job.exit).code).toBe(0);
  });

  test('a killed program names its signal, whether its exit frame does or not', async () => {
    await using daemon = await startDaemon({ profile });
    await using host = await connectTo(daemon);
    const job = await host.spawn({ command: 'sleep', args: ['60'] });
    await job.kill('TERM');
    expect(await job.exit).toEqual({ code: -1, signal: 'SIGTERM', killedBy: 'client' });
    expect(await job.killAndWait()).toEqual({ found: true, died: true, alreadyExited: true });
  });
});

test('a program that cannot be started is an error of kind spawn in the words of the daemon', async () => {
  await using daemon = await startDaemon();
  await using host = await connectTo(daemon);
  const failure = await host.spawn({ id: 'x', command: 'no-such-program' }).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(HoldfastError);
  expect(failure).toMatchObject({ kind: 'spawn', code: -32603 });
  expect((failure as Error).message).toContain('"no-such-program": executable file not found in $PATH');
});
