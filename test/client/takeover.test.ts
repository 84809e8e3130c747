/** Two clients and one session: a process has one receiver, and nobody fights for it. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { connect } from '../../src/client/index.ts';
import { startDaemon } from '../support/daemon.ts';
import { connectTo, proxyTo, quick, textOf, untilText } from '../support/host.ts';
import { waitUntil } from '../support/wait.ts';

test.each(['S', 'next'] as const)(
  'profile %s: a session that another client has taken meanwhile is not taken back',
  async (profile) => {
    const folder = mkdtempSync('/tmp/hf-');
    const wireLog = join(folder, 'wire.log');
    try {
      await using daemon = await startDaemon({ profile, flags: ['-wire-log', wireLog] });
      await using proxy = await proxyTo(daemon);
      await using first = await connect({ socket: proxy.address, token: daemon.token, ...quick });
      const job = await first.spawn({ id: 'shared', command: 'cat' });
      await job.write('one\n');
      await untilText(job.stdout, 'one\n');
      await waitUntil(
        () => readFileSync(wireLog, 'utf8').includes('holdfast.sessions'),
        'the library to know its claim',
      );
      expect(await first.server.ping()).toEqual({ pong: true });

      await using second = await connectTo(daemon);
      const taken = await second.session('shared');
      // Profile next has cut the first client off by now; in the other the network does.
      proxy.strike('cut');
      await expect(job.exit).rejects.toMatchObject({
        kind: 'closed',
        message: 'session shared was taken over by another client',
      });
      await taken.write('two\n');
      await taken.end();
      expect(await textOf(taken.stdout)).toBe('one\ntwo\n');
      expect((await taken.exit).code).toBe(0);
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
);

test('a connection of our own that the daemon has not missed yet is no other client', async () => {
  const folder = mkdtempSync('/tmp/hf-');
  const wireLog = join(folder, 'wire.log');
  try {
    await using daemon = await startDaemon({ flags: ['-wire-log', wireLog] });
    await using proxy = await proxyTo(daemon);
    await using host = await connect({
      ...{ socket: proxy.address, token: daemon.token, ...quick },
      ...{ idlePingMs: 100, pingTimeoutMs: 300 },
    });
    const job = await host.spawn({ command: 'cat' });
    await waitUntil(() => readFileSync(wireLog, 'utf8').includes('holdfast.sessions'), 'the library to know its claim');
    // The daemon goes on seeing the dead link as connected.
    proxy.strike('half-open');
    await job.write('after\n');
    await untilText(job.stdout, 'after\n');
  } finally {
    rmSync(folder, { recursive: true });
  }
});
