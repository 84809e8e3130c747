/** A connection that is cut again and again, at random places of the byte stream. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { connect } from '../../src/client/index.ts';
import { byLength, limitMs } from '../faults/support/length.ts';
import { startDaemon } from '../support/daemon.ts';
import { collect, proxyTo, quick, textOf } from '../support/host.ts';
import { Noise } from '../tools/noise.ts';

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

test('a link that is cut at every byte of what crosses it, in each direction, loses nothing', {
  timeout: limitMs(60),
}, async () => {
  // 4 bytes of base64 are a quantum, so that an odd step meets each place in one.
  const step = byLength(11, 1);
  await using daemon = await startDaemon({ profile: 'current' });
  await using proxy = await proxyTo(daemon);
  await using host = await connect({ socket: proxy.address, token: daemon.token, ...quick });
  const job = await host.spawn({ command: 'tee', args: ['/dev/stderr'] });
  const output = Promise.all([textOf(job.stdout), textOf(job.stderr)]);
  let sent = '';
  const exchange = async (): Promise<void> => {
    const line = `line ${sent.length}\n`;
    sent += line;
    await job.write(line);
  };
  for (const direction of ['toTarget', 'toClient'] as const) {
    // What crosses a link that is not cut: greeting, the session taken up again, input, and output.
    const connected = once(host, 'connected');
    proxy.onAccept = () => proxy.setRules({});
    proxy.strike('cut');
    await connected;
    await exchange();
    await host.server.ping();
    const whole = proxy.passed[direction];
    expect(whole).toBeGreaterThan(300);
    for (let bytes = 1; bytes < whole; bytes += step) {
      let accepted = 0;
      proxy.onAccept = () => proxy.setRules(accepted++ === 0 ? { [direction]: `cut ${bytes}` } : {});
      proxy.strike('cut');
      await exchange();
    }
  }
  proxy.onAccept = () => proxy.setRules({});
  await job.end();
  expect(await output).toEqual([sent, sent]);
  expect((await job.exit).code).toBe(0);
});

test.each([
  ['single bytes', 'chunk 1', byLength(20_000, 200_000)],
  ['halves of a frame', 'chunk 50', byLength(400_000, 2_000_000)],
])(
  '%s at a time, and cut in between, arrive whole in both directions',
  { timeout: limitMs(60) },
  async (_, rule, bytes) => {
    const random = randomNumbers(`pieces ${rule}`);
    const cuts = 5;
    await using daemon = await startDaemon();
    await using proxy = await proxyTo(daemon);
    let links = 0;
    proxy.onAccept = () => {
      const ending = links++ < cuts ? `; cut ${1_000 + random(Math.round(bytes / 2 / cuts))}` : '';
      proxy.setRules({
        toTarget: rule + (links % 2 === 0 ? ending : ''),
        toClient: rule + (links % 2 === 1 ? ending : ''),
      });
    };
    await using host = await connect({ socket: proxy.address, token: daemon.token, ...quick });
    const job = await host.spawn({ command: 'tee', args: ['/dev/stderr'] });
    const output = Promise.all([collect(job.stdout), collect(job.stderr)]);
    const noise = new Noise(rule).bytes(0, bytes);
    for (let from = 0; from < bytes; from += 1_000) {
      await job.write(noise.subarray(from, from + 1_000));
    }
    await job.end();
    const expected = { bytes, sha256: createHash('sha256').update(noise).digest('hex') };
    expect(await output).toEqual([expected, expected]);
    expect((await job.exit).code).toBe(0);
    expect(links).toBeGreaterThan(cuts);
  },
);
