/** The end of a daemon in which one step fails: the others are taken all the same (spec modes.md §8). */
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startDaemon } from '../support/daemon.ts';
import { connectTo, start } from '../support/host.ts';
import { isRunning, processFacts } from '../support/processes.ts';

/** Which step fails, and what is left undone by that. */
const steps = {
  'metrics.close.before': 'nothing that can be seen',
  'sessions.leave.before': 'the children',
  'publication.remove.before': 'the socket and the token',
  'ownership.release.before': 'the record in the lock',
} as const;

test.each(Object.entries(steps))('a failure at %s leaves nothing else behind than %s', async (point, undone) => {
  await using daemon = await startDaemon({
    profile: 'next',
    flags: ['-metrics-addr', '127.0.0.1:0'],
    failpoints: `${point}=panic`,
  });
  await using client = await connectTo(daemon);
  const { pid } = await start(client, 'p', 'sleep', ['1000']);
  const child = processFacts(pid);
  const disconnected = once(client, 'disconnected');
  await daemon.stop();
  await disconnected;
  const log = daemon.log();
  expect(log).toContain(`[Server] shutdown: Error: failpoint ${point}: panic\n`);
  expect(log).toMatch(/\[Server\] cleanup: closed 2 connection\(s\), killed \d child process group\(s\)\n$/);
  expect({
    'the children': child !== undefined && isRunning(child),
    'the socket and the token': existsSync(daemon.socket) && existsSync(join(daemon.runDir, 'daemon.token')),
    'the record in the lock': readFileSync(join(daemon.runDir, 'daemon.lock'), 'utf8') !== '',
  }).toEqual({
    'the children': undone === 'the children',
    'the socket and the token': undone === 'the socket and the token',
    'the record in the lock': undone === 'the record in the lock',
  });
});

test('an end without failures leaves nothing, and is told from the request to the clean-up', async () => {
  await using daemon = await startDaemon({ profile: 'next' });
  await using client = await connectTo(daemon);
  const { pid } = await start(client, 'p', 'sleep', ['1000']);
  const child = processFacts(pid);
  await daemon.stop();
  expect(child !== undefined && isRunning(child)).toBe(false);
  const lines = daemon.log().split('\n');
  const told = lines.slice(lines.findIndex((line) => line.includes('server.shutdown received')));
  expect(told.map((line) => line.replace(/^\S+ \S+ +/, '')).filter((line) => !/Connection closed/.test(line))).toEqual([
    'INFO  [ServerHandler] server.shutdown received over RPC',
    'INFO  [Server] shutdown requested',
    expect.stringMatching(
      /^INFO {2}\[process\.Manager\] Process p: end asked for by shutdown \(shutdown KILL\), PID=\d+$/,
    ),
    expect.stringMatching(/^INFO {2}\[process\.Manager\] Process p exited/),
    'INFO  [Server] cleanup: closed 2 connection(s), killed 1 child process group(s)',
    '',
  ]);
});
