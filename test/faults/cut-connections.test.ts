/** Fault table: a million-line stream through a cut connection with equal SHA-256; 200 connections opening and closing. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { startDaemon } from '../support/daemon.ts';
import { fixture } from '../support/fixtures.ts';
import { startFaultProxy } from '../tools/fault-proxy.ts';
import { connectRaw, type RawConnection } from '../tools/raw-connection.ts';
import { expectNothingLeft, holdingsOf } from './support/leaks.ts';
import { byLength, limitMs } from './support/length.ts';
import { WatchedRun } from './support/watched-run.ts';

const lines = 1_000_000;
/** The first cut; each later one comes so many bytes further into its connection, so that they fall all over the frames. */
const firstCut = 300_007;
const further = byLength(50_021, 1_009);

const connections = 200;
const rounds = byLength(2, 100);

describe.each(['S', 'next'] as const)('profile %s', (profile) => {
  test('a million lines arrive with equal SHA-256 through connections that are cut again and again', {
    timeout: limitMs(60),
  }, async () => {
    await using daemon = await startDaemon({ profile });
    using run = new WatchedRun(daemon.dir);
    await using proxy = await startFaultProxy({
      listen: join(daemon.dir, 'proxy'),
      target: daemon.socket,
      toClient: `cut ${firstCut}`,
    });
    const through = { socket: proxy.address, token: daemon.token };
    const keep = { keep: 'figures', observer: run.observer } as const;

    let client: RawConnection = await connectRaw(through, { name: 'c0', ...keep });
    client.post('process.spawn', { id: 'lines', command: 'seq', args: [String(lines)] });
    let cuts = 0;
    for (; client.stream('lines').exit === undefined; cuts++) {
      await client.waitFor(() => client.ended || client.stream('lines').exit !== undefined, 'the cut').catch(() => {});
      client.destroy();
      proxy.setRules({ toClient: `cut ${firstCut + cuts * further}` });
      client = await connectRaw(through, { name: `c${cuts + 1}`, ...keep, continues: client });
      client.post('process.reattach', { id: 'lines', fromSeq: client.stream('lines').lastSeq });
    }
    client.destroy();

    const wanted = createHash('sha256');
    for (let line = 1; line <= lines; line++) {
      wanted.update(`${line}\n`);
    }
    const stream = client.stream('lines');
    expect(stream.exit).toMatchObject({ exitCode: 0 });
    expect(stream.sha256()).toBe(wanted.digest('hex'));
    expect(stream.gaps).toEqual([]);
    expect(cuts).toBeGreaterThan(5);
    run.verify();
  });
});

test('two hundred connections that open and close in every way leave nothing and disturb nobody', {
  timeout: limitMs(60),
}, async () => {
  await using daemon = await startDaemon({ profile: 'current' });
  using run = new WatchedRun(daemon.dir);
  await using steady = await connectRaw(daemon, { name: 'steady', observer: run.observer });
  const before = await holdingsOf(daemon, steady);
  await steady.spawn('count', ...fixture('count-forever.ts', '--every', '1', ...run.child('count')));
  await steady.spawn('shared', 'cat');

  const comings: ((client: RawConnection) => Promise<unknown> | unknown)[] = [
    (client) => client.destroy(),
    (client) => client.close(),
    (client) => client.call('server.ping'),
    (client) => client.send('{"jsonrpc":"2.0","id":1,"meth'),
    (client) => client.post('server.ping'),
    (client) => client.reattach('shared', 0),
    (client) => client.post('process.reattach', { id: 'shared', fromSeq: 0 }),
    async (client) => {
      client.post('server.ping');
      client.halfClose();
      await client.untilClosed();
      expect(client.replies).toHaveLength(1);
    },
    async (client) => {
      client.sendLine('x'.repeat(1_048_576));
      await client.untilClosed();
    },
  ];
  for (let round = 0; round < rounds; round++) {
    await Promise.all(
      Array.from({ length: connections }, async (_, index) => {
        const client = await connectRaw(daemon);
        await comings[index % comings.length]?.(client);
        client.destroy();
      }),
    );
    // The one that was here all the time has been served all the time.
    await steady.call('server.ping');
  }
  expect(await steady.reattach('shared')).toMatchObject({ found: true, running: true });
  await steady.stdin('shared', 'still ours\n');
  await steady.untilOutput('shared', 'still ours\n');
  for (const id of ['count', 'shared']) {
    await steady.kill(id);
    await steady.exitOf(id);
  }
  await expectNothingLeft(daemon, before);
  run.complete('count');
  run.verify();
});
