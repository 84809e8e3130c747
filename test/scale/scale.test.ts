/** Many of everything at once: idle sessions, streams, connections. Numbers are bounded so that a small machine does it in a minute. */
import { expect, test } from 'vitest';
import type { Host } from '../../src/client/index.ts';
import { startDaemon } from '../support/daemon.ts';
import { connectTo, type Followed, start } from '../support/host.ts';
import { openDescriptors } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';

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
  await using client = await connectTo(daemon);
  const idle: Followed[] = [];
  await inBatches(1_000, 50, async (index) => {
    idle[index] = await start(client, `idle${index}`, '/bin/cat');
  });
  expect(await client.request('server.ping')).toEqual({ pong: true });

  const busy = await start(client, 'busy', 'sh', stream);
  expect((await busy.ended()).code).toBe(0);
  expect(busy.stdout.length).toBe(streamBytes);

  await inBatches(1_000, 50, async (index) => {
    await idle[index]?.write(`hello ${index}\n`);
    await idle[index]?.until(`hello ${index}\n`);
  });
});

test('two hundred processes stream at once, and nobody loses or mixes a byte', { timeout: minute }, async () => {
  await using daemon = await startDaemon();
  const clients = await Promise.all(Array.from({ length: 4 }, () => connectTo(daemon)));
  try {
    await inBatches(200, 200, async (index) => {
      const client = clients[index % clients.length] as Host;
      const job = await start(client, `s${index}`, 'sh', ['-c', `yes ${index} | head -c ${streamBytes}`]);
      expect((await job.ended()).code).toBe(0);
      const line = `${index}\n`;
      const whole = line.repeat(Math.ceil(streamBytes / line.length)).slice(0, streamBytes);
      expect(job.stdout === whole).toBe(true);
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
    await using host = await connectTo(daemon);
    await (await start(host, 'first', 'true')).ended();
  }
  const before = openDescriptors(pid).size;
  const clients = await Promise.all(Array.from({ length: 500 }, () => connectTo(daemon)));
  try {
    const replies = await Promise.all(clients.map((client) => client.request('server.ping')));
    expect(replies.every(({ pong }) => pong === true)).toBe(true);
    const [first] = clients as [Host];
    expect((await (await start(first, 'shared', 'sh', stream)).ended()).code).toBe(0);
  } finally {
    await Promise.all(clients.map((client) => client.close()));
  }
  await waitUntil(() => openDescriptors(pid).size <= before, 'the descriptors of the connections to be closed');
});
