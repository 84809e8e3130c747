/** Fault 12: no descriptor is left. What runs goes on, what is new gets an error, and it recovers by itself. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect } from 'vitest';
import { prepareDaemon, startDaemon, type TestDaemon } from '../support/daemon.ts';
import { fixture } from '../support/fixtures.ts';
import { startScript } from '../support/holdfast.ts';
import * as needs from '../support/needs.ts';
import { openDescriptors } from '../support/processes.ts';
import { connectRaw, type RawConnection } from '../tools/raw-connection.ts';
import { expectNothingLeft, holdingsOf } from './support/leaks.ts';
import { full, limitMs } from './support/length.ts';
import { Injection } from './support/strace.ts';
import { WatchedRun } from './support/watched-run.ts';

const limit = 64;
const tooMany = { code: -32603, message: 'fork/exec true: too many open files' };

needs.testNeeding(needs.linux, needs.installed('prlimit', 'util-linux'))(
  'a daemon whose last descriptor is taken serves what it has, refuses what is new, and recovers when some come free',
  { timeout: limitMs(60) },
  async () => {
    await using daemon = await startDaemon({ profile: 'current' });
    using run = new WatchedRun(daemon.dir);
    await using steady = await connectRaw(daemon, { name: 'steady', keep: 'figures', observer: run.observer });
    const before = await holdingsOf(daemon, steady);
    await steady.spawn('count', ...fixture('count-forever.ts', '--every', '1', ...run.child('count')));
    const pid = daemon.pid();
    const soft = (limits: number) => execFileSync('prlimit', ['--pid', String(pid), `--nofile=${limits}:`]);
    soft(limit);

    const clients: RawConnection[] = [];
    let refused = 0;
    while (refused < 20) {
      const client = await connectRaw(daemon);
      client.post('server.ping');
      await client.waitFor(() => client.replies.length === 1 || client.ended, 'an answer or the end').catch(() => {});
      if (client.ended) {
        // Closed at once, not left to wait for a reply that never comes.
        refused++;
      } else {
        clients.push(client);
        expect(clients.length).toBeLessThan(limit);
      }
    }
    expect(openDescriptors(pid).size).toBeGreaterThanOrEqual(limit - 1);

    const { error } = await steady.request('process.spawn', { id: 'new', command: 'true' });
    expect(error).toEqual(tooMany);
    expect(await steady.reattach('new', 0)).toMatchObject({ found: false });
    const { lastSeq } = steady.stream('count');
    await steady.waitFor(() => steady.stream('count').lastSeq > lastSeq + 50, 'the session to go on');
    // Files cannot be read either; that is an error like any other.
    const read = await steady.request('files.read', { path: '/etc/hostname' });
    expect(read.error?.message).toContain('too many open files');

    for (const client of clients) {
      client.destroy();
    }
    await expect
      .poll(async () => (await steady.request('process.spawn', { id: 'new', command: 'true' })).error, {
        timeout: 10_000,
      })
      .toBeUndefined();
    await steady.exitOf('new');
    await using late = await connectRaw(daemon);
    expect(await late.call('server.ping')).toEqual({ pong: true });
    late.destroy();
    await steady.kill('count');
    await steady.exitOf('count');
    await expectNothingLeft(daemon, before);
    run.complete('count');
    run.verify();
  },
);

const calls: readonly (readonly [call: string, error: string])[] = full
  ? [
      ['accept4', 'EMFILE'],
      ['accept4', 'ENFILE'],
      ['accept4', 'ECONNABORTED'],
      ['pipe2', 'EMFILE'],
      ['pipe2', 'ENFILE'],
      ['openat', 'EMFILE'],
      ['openat', 'ENFILE'],
      ['openat', 'EINTR'],
    ]
  : [
      ['accept4', 'EMFILE'],
      ['pipe2', 'EMFILE'],
      ['openat', 'EMFILE'],
    ];

for (const [call, error] of calls) {
  needs.testNeeding(needs.linux, needs.root, needs.tracing())(
    `${error} at the n-th ${call}, for every n: an error or a success, never a hang, a leak or an end`,
    { timeout: limitMs(60) },
    async () => {
      // From source, which keeps what it loads later at hand: the bundle of the tests would have to open it.
      await using daemon = await prepareDaemon({ profile: 'current' });
      daemon.program = startScript;
      await daemon.start();
      await using steady = await connectRaw(daemon);
      const before = await holdingsOf(daemon, steady);
      await steady.spawn('cat', 'cat');
      const pid = daemon.pid();
      let struck = true;
      let nth = 0;
      while (struck) {
        nth++;
        await using injection = await Injection.start(pid, call, error, nth, join(daemon.dir, 'strace'));
        await scenario(daemon, `p${nth}`);
        await steady.stdin('cat', `${nth}\n`);
        await steady.untilOutput('cat', `${nth}\n`);
        struck = injection.hasStruck;
      }
      // At least one call was there to fail, so the loop has shown something.
      expect(nth).toBeGreaterThan(1);
      expect(daemon.pid()).toBe(pid);
      expect(daemon.log()).not.toContain('recovered panic');
      await steady.kill('cat');
      await steady.exitOf('cat');
      await expectNothingLeft(daemon, before);
    },
  );
}

/** Connects, starts a child, reads a file; whatever fails of it fails with words. */
async function scenario(daemon: TestDaemon, id: string): Promise<void> {
  await using client = await connectRaw(daemon);
  client.post('server.ping');
  await client.waitFor(() => client.replies.length === 1 || client.ended, 'an answer or the end').catch(() => {});
  if (client.ended) {
    return;
  }
  const spawned = await client.request('process.spawn', {
    id,
    command: 'sh',
    args: ['-c', 'echo x; exit 3'],
    wantPid: true,
  });
  if (spawned.error === undefined) {
    expect(await client.exitOf(id)).toMatchObject({ exitCode: 3 });
    expect(client.stream(id).text()).toBe('x\n');
  } else {
    expect(spawned.error).toMatchObject({ code: -32603, message: expect.stringMatching(/^fork\/exec sh: /) });
  }
  const read = await client.request('files.read', { path: '/etc/hostname' });
  if (read.error !== undefined) {
    expect(read.error).toMatchObject({ code: -32603, message: expect.stringContaining('/etc/hostname: ') });
  }
}
