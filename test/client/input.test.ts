/** Input that is larger than what anybody keeps, and input that nobody takes. */
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { connect } from '../../src/client/index.ts';
import { startDaemon } from '../support/daemon.ts';
import { collect, connectTo, proxyTo, quick, textOf } from '../support/host.ts';
import { waitUntil } from '../support/wait.ts';

const mebibyte = 1024 * 1024;

// Profile S holds the answer while the queue of the child is full, the others refuse.
test.each(['S', 'current'] as const)(
  'profile %s: 40 MiB for a program that begins to read late arrive whole and in order',
  async (profile) => {
    await using daemon = await startDaemon({ profile });
    await using host = await connectTo(daemon);
    const gate = join(daemon.dir, 'gate');
    const script = `until [ -e ${gate} ]; do sleep 0.05; done; exec cat`;
    const job = await host.spawn({ id: 'late', command: 'sh', args: ['-c', script] });
    const output = collect(job.stdout);
    const hash = createHash('sha256');
    const writer = job.stdin.getWriter();
    const writing = (async () => {
      for (let piece = 0; piece < 40; piece++) {
        const data = Buffer.alloc(mebibyte, `${piece} `);
        hash.update(data);
        await writer.write(data);
      }
      await writer.close();
    })();
    await daemon.untilLogged(/Process late: .*stdin/);
    writeFileSync(gate, '');
    await writing;
    expect(await output).toEqual({ bytes: 40 * mebibyte, sha256: hash.digest('hex') });
  },
);

test('while nobody answers, writes wait when the limit is kept, and go on when the connection is back', async () => {
  await using daemon = await startDaemon();
  const proxy = await proxyTo(daemon);
  await using host = await connect({ socket: proxy.address, token: daemon.token, ...quick });
  const job = await host.spawn({ command: 'wc', args: ['-c'], inputBufferBytes: mebibyte });
  const disconnected = new Promise((resolve) => host.once('disconnected', resolve));
  await proxy[Symbol.asyncDispose]();
  await disconnected;
  const writer = job.stdin.getWriter();
  let accepted = 0;
  const writing = (async () => {
    for (let piece = 0; piece < 32; piece++) {
      await writer.write(Buffer.alloc(mebibyte / 8));
      accepted++;
    }
    await writer.close();
  })();
  await waitUntil(() => accepted === 8, 'the limit to be kept');
  await new Promise((resolve) => setImmediate(resolve));
  expect(accepted).toBe(8);
  await using again = await proxyTo(daemon);
  await writing;
  expect(await textOf(job.stdout)).toBe(`${4 * mebibyte}\n`);
  expect(again.connections).toBe(1);
});

test('100 000 single letters that nobody waits for arrive in order', async () => {
  await using daemon = await startDaemon();
  await using proxy = await proxyTo(daemon);
  await using host = await connect({ socket: proxy.address, token: daemon.token, ...quick });
  const job = await host.spawn({ command: 'cat' });
  const output = textOf(job.stdout);
  let sent = '';
  for (let index = 0; index < 100_000; index++) {
    const letter = String.fromCharCode(97 + (index % 26));
    sent += letter;
    void job.write(letter);
    if (index % 20_000 === 10_000) {
      await new Promise((resolve) => setImmediate(resolve));
      proxy.strike('cut');
    }
  }
  await job.end();
  expect(await output).toBe(sent);
});

test('one write that is larger than the limit is taken', async () => {
  await using daemon = await startDaemon();
  await using host = await connectTo(daemon);
  const job = await host.spawn({ command: 'wc', args: ['-c'], inputBufferBytes: 1000 });
  await job.write('x'.repeat(100_000));
  await job.write('');
  await job.end();
  expect(await textOf(job.stdout)).toBe('100000\n');
});

test('memory that is used again after a write does not change what arrives', async () => {
  await using daemon = await startDaemon();
  await using host = await connectTo(daemon);
  const job = await host.spawn({ command: 'cat' });
  const memory = Buffer.from('first');
  const written = job.write(memory);
  memory.fill('x');
  await written;
  await job.end();
  expect(await textOf(job.stdout)).toBe('first');
});

test('input for a program that has ended, and after the end of the input, is an error that says so', async () => {
  await using daemon = await startDaemon();
  await using host = await connectTo(daemon);
  const ended = await host.spawn({ id: 'ended', command: 'true' });
  await ended.exit;
  await expect(ended.write('x')).rejects.toMatchObject({
    kind: 'closed',
    message: 'session ended has ended; its process takes no more input',
  });
  const closed = await host.spawn({ command: 'sleep', args: ['60'] });
  await closed.end();
  await expect(closed.write('x')).rejects.toMatchObject({ kind: 'closed', message: expect.stringContaining('end()') });
  await closed.kill();
});

test('a request longer than a daemon reads is refused here, and the connection goes on', async () => {
  await using daemon = await startDaemon();
  await using host = await connectTo(daemon);
  await expect(host.files.stat({ path: 'x'.repeat(mebibyte) })).rejects.toMatchObject({
    kind: 'protocol',
    message: expect.stringContaining('the most a daemon reads is 1048575'),
  });
  expect(await host.server.ping()).toEqual({ pong: true });
});
