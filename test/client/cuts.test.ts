/** A connection that is cut again and again, at random places of the byte stream. */
import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { connect } from '../../src/client/index.ts';
import { startDaemon } from '../support/daemon.ts';
import { collect, proxyTo, quick } from '../support/host.ts';

/** Numbers that are the same in each run of one seed, so that a failure can be repeated. */
function randomNumbers(seed: string): (below: number) => number {
  let count = 0;
  return (below) => createHash('sha256').update(`${seed} ${count++}`).digest().readUInt32LE(0) % below;
}

test.each(['S', 'current', 'next'] as const)(
  'profile %s: a link that is cut 100 times in both directions looks like one that was never cut',
  { timeout: 60_000 },
  async (profile) => {
    const random = randomNumbers(`cuts ${profile}`);
    await using daemon = await startDaemon({ profile });
    await using proxy = await proxyTo(daemon);
    let cuts = 0;
    const nextCut = () => {
      const rule = `cut ${200 + random(120_000)}`;
      proxy.setRules(cuts % 2 === 0 ? { toClient: rule } : { toTarget: rule });
    };
    nextCut();
    await using host = await connect({ socket: proxy.address, token: daemon.token, ...quick });
    host.on('disconnected', () => {
      cuts++;
      if (cuts < 100) {
        nextCut();
      } else {
        proxy.setRules({});
      }
    });
    const job = await host.spawn({ command: 'tee', args: ['/dev/stderr'] });
    const output = Promise.all([collect(job.stdout), collect(job.stderr)]);
    const sent = createHash('sha256');
    let bytes = 0;
    for (let line = 0; cuts < 100; line++) {
      const text = `${line} ${'x'.repeat(random(20_000))}\n`;
      sent.update(text);
      bytes += text.length;
      await job.write(text);
    }
    await job.end();
    const expected = { bytes, sha256: sent.digest('hex') };
    expect(await output).toEqual([expected, expected]);
    expect((await job.exit).code).toBe(0);
    expect(cuts).toBe(100);
  },
);
