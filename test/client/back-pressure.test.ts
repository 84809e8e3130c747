/** A consumer that does not read: its program is paced, nobody's memory grows, and nothing is lost. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { fixture } from '../support/fixtures.ts';
import { connectTo, textOf } from '../support/host.ts';
import { residentBytes } from '../support/processes.ts';

const mebibyte = 1024 * 1024;
/** spec process.md §9. */
const window = 16 * mebibyte;
const slack = 8 * mebibyte;
const flood = 100 * mebibyte;

/** A line of the output of a program, as it comes. */
async function* linesOf(program: ChildProcess): AsyncGenerator<string> {
  let text = '';
  for await (const chunk of program.stdout ?? []) {
    text += chunk;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
      yield text.slice(0, end);
      text = text.slice(end + 1);
    }
  }
}

function startLateConsumer(daemon: TestDaemon, warmUp: string, command: string): ChildProcess {
  const script = fileURLToPath(new URL('../fixtures/late-consumer.ts', import.meta.url));
  return spawn(process.execPath, [script, daemon.socket, daemon.token, warmUp, command], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
}

const noise = (bytes: number, sum: string): string =>
  fixture('write-noise.ts', '--bytes', String(bytes), '--sha256', sum).flat().join(' ');

test('output that nobody reads for longer than the daemon is patient waits, and arrives whole', {
  timeout: 60_000,
}, async () => {
  const readerStallMs = 6_000;
  await using daemon = await startDaemon({ timings: { readerStallMs } });
  const sum = join(daemon.dir, 'sum');
  const consumer = startLateConsumer(daemon, noise(4 * window, join(daemon.dir, 'warm')), noise(flood, sum));
  try {
    const lines = linesOf(consumer);
    expect((await lines.next()).value).toBe('ready');
    const pids = { client: consumer.pid ?? 0, daemon: daemon.pid() };
    const before = { client: residentBytes(pids.client), daemon: residentBytes(pids.daemon) };
    await daemon.untilLogged(/Process flood: its client reads more slowly than it writes; holding it back/);
    const highest = { ...before };
    for (const until = performance.now() + 2 * readerStallMs; performance.now() < until; await sleep(100)) {
      highest.client = Math.max(highest.client, residentBytes(pids.client));
      highest.daemon = Math.max(highest.daemon, residentBytes(pids.daemon));
    }
    expect(existsSync(sum), 'the program must not have been able to write everything').toBe(false);
    expect(daemon.log()).not.toMatch(/Process flood: .*(?:dropped|no longer)/);
    expect(highest.client - before.client).toBeLessThan(window + slack);
    expect(highest.daemon - before.daemon).toBeLessThan(window + slack);

    consumer.stdin?.write('go on\n');
    const { value } = await lines.next();
    expect(JSON.parse(value ?? '')).toEqual({ bytes: flood, sha256: readFileSync(sum, 'utf8'), code: 0 });
    expect(daemon.log()).not.toMatch(/Process flood: .*(?:dropped|no longer)/);
  } finally {
    consumer.kill('SIGKILL');
  }
});

test('what is answered does not wait behind output that nobody reads, up to 16 MiB of it', async () => {
  await using daemon = await startDaemon();
  await using host = await connectTo(daemon);
  const flood = 10 * mebibyte;
  const flooding = await host.spawn({ id: 'flooding', command: 'head', args: ['-c', String(flood), '/dev/zero'] });
  for (let asked = 0; asked < 50; asked++) {
    expect(await host.server.ping()).toEqual({ pong: true });
  }
  expect((await textOf(flooding.stdout)).length).toBe(flood);
  expect((await flooding.exit).code).toBe(0);
});

test('output of ended programs that nobody reads holds nothing back', async () => {
  await using daemon = await startDaemon();
  await using host = await connectTo(daemon);
  // Together more than what may wait for a consumer; each of them small enough to come whole.
  for (let index = 0; index < 12; index++) {
    const job = await host.spawn({ command: 'head', args: ['-c', '1000000', '/dev/zero'] });
    expect((await job.exit).code).toBe(0);
  }
  const last = await host.spawn({ command: 'echo', args: ['heard'] });
  expect(await textOf(last.stdout)).toBe('heard\n');
});
