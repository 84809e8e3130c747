/** Many of everything at once: idle sessions, streams, connections. Numbers are bounded so that a small machine does it in a minute. */
import { expect, test } from 'vitest';
import { startDaemon } from '../support/daemon.ts';
import { openDescriptors } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';
import { connectRaw, type RawConnection } from '../tools/raw-connection.ts';

const minute = 60_000;
/** A child that writes this many bytes, whatever the machine. */
const streamBytes = 200_000;
const stream = ['-c', `head -c ${streamBytes} /dev/zero`];

async function inBatches(count: number, size: number, work: (index: number) => Promise<unknown>): Promise<void> {
  for (let first = 0; first < count; first += size) {
    await Promise.all(Array.from({ length: Math.min(size, count - first) }, (_, index) => work(first + index)));
  }
}

test('a thousand idle sessions leave the daemon usable, and each of them answers', { timeout: minute }, async () => {
  await using daemon = await startDaemon();
  await using client = await connectRaw(daemon);
  await inBatches(1_000, 50, (index) => client.spawn(`idle${index}`, '/bin/cat'));
  expect(await client.call('server.ping')).toEqual({ pong: true });

  await client.spawn('busy', 'sh', stream);
  expect((await client.exitOf('busy')).exitCode).toBe(0);
  expect(client.stream('busy').bytes.stdout).toBe(streamBytes);

  await inBatches(1_000, 50, async (index) => {
    await client.stdin(`idle${index}`, `hello ${index}\n`);
    await client.untilOutput(`idle${index}`, `hello ${index}\n`);
  });
});

test('two hundred processes stream at once, and nobody loses or mixes a byte', { timeout: minute }, async () => {
  await using daemon = await startDaemon();
  const clients = await Promise.all(Array.from({ length: 4 }, () => connectRaw(daemon)));
  try {
    await inBatches(200, 200, async (index) => {
      const client = clients[index % clients.length] as RawConnection;
      await client.spawn(`s${index}`, 'sh', ['-c', `yes ${index} | head -c ${streamBytes}`]);
      expect((await client.exitOf(`s${index}`, { timeoutMs: 45_000 })).exitCode).toBe(0);
      const line = `${index}\n`;
      const whole = line.repeat(Math.ceil(streamBytes / line.length)).slice(0, streamBytes);
      expect(client.stream(`s${index}`).text() === whole).toBe(true);
    });
  } finally {
    await Promise.all(clients.map((client) => client.close()));
  }
});

test('five hundred connections are served, and closed ones leave nothing open', { timeout: minute }, async () => {
  await using daemon = await startDaemon();
  const pid = daemon.pid();
  // The first one waits for the login shell's PATH, and its client is gone again.
  {
    await using first = await connectRaw(daemon);
    await first.spawn('first', 'true');
    await first.exitOf('first');
  }
  const before = openDescriptors(pid).size;
  const clients = await Promise.all(Array.from({ length: 500 }, () => connectRaw(daemon)));
  try {
    const replies = await Promise.all(clients.map((client) => client.call('server.ping')));
    expect(replies.every(({ pong }) => pong === true)).toBe(true);
    const [first] = clients;
    await first?.spawn('shared', 'sh', stream);
    expect((await first?.exitOf('shared'))?.exitCode).toBe(0);
  } finally {
    await Promise.all(clients.map((client) => client.close()));
  }
  await waitUntil(() => openDescriptors(pid).size <= before, 'the descriptors of the connections to be closed');
});
