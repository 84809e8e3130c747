/** A daemon that has none of our extensions: what the library does without them, and what it says about the rest. */
import { describe, expect, test } from 'vitest';
import { connect, HoldfastError, UnsupportedError } from '../../src/client/index.ts';
import { startDaemon } from '../support/daemon.ts';
import { collect, connectTo, proxyTo, quick, untilText } from '../support/host.ts';

describe.each(['S', 'current', 'next', 'latest'] as const)('profile %s without extensions', (profile) => {
  test('programs run and are taken over, and what needs an extension says so with the version of the daemon', async () => {
    await using daemon = await startDaemon({ profile, withoutExtensions: true });
    await using host = await connectTo(daemon);
    const { version } = await host.server.capabilities();
    expect(host.daemon).toMatchObject({ hasExtensions: false, version });
    const job = await host.spawn({ id: 'cat', command: 'cat' });
    expect(job.existing).toBe(false);
    await job.write('hello\n');

    const unsupported = { kind: 'unsupported', message: expect.stringContaining(`version ${version}`) };
    expect(() => job.end()).toThrow(UnsupportedError);
    expect(() => job.end()).toThrow(expect.objectContaining(unsupported));
    for (const refused of [host.observe('cat'), host.sessions(), host.describe(), job.release()]) {
      await expect(refused).rejects.toMatchObject(unsupported);
    }
    expect(() => host.watch()).toThrow(UnsupportedError);

    await host.close();
    await using other = await connectTo(daemon);
    const same = await other.spawn({ id: 'cat', command: 'never-started' });
    expect(same.existing).toBe(true);
    expect(same.pid).toBe(job.pid);
    await same.write('again\n');
    await untilText(same.stdout, 'hello\nagain\n');
    await same.kill('KILL');
    // Nobody can tell which signal it was in profile S.
    expect(await same.exit).toMatchObject({ code: -1, signal: profile === 'S' ? undefined : 'SIGKILL' });
  });

  test('a lost reply of a spawn starts nothing twice, and a cut link loses nothing', async () => {
    await using daemon = await startDaemon({ profile, withoutExtensions: true });
    await using proxy = await proxyTo(daemon);
    await using host = await connect({ socket: proxy.address, token: daemon.token, ...quick });
    // The daemon hears the request, and its answer vanishes.
    proxy.setRules({});
    const counter = `${daemon.dir}/starts`;
    let cuts = 0;
    host.on('disconnected', () => cuts++);
    proxy.strike('half-open');
    const spawned = host.spawn({ command: 'sh', args: ['-c', `echo x >>${counter}; head -c 3000000 /dev/zero`] });
    proxy.strike('cut');
    const job = await spawned;
    proxy.strike('cut');
    const [output] = await Promise.all([collect(job.stdout), collect(job.stderr)]);
    expect(output.bytes).toBe(3_000_000);
    expect((await job.exit).code).toBe(0);
    expect((await host.files.read({ path: counter })).content).toBe('x\n');
    expect(cuts).toBeGreaterThan(0);
  });
});

test('a program that cannot be started is an error of kind spawn here too', async () => {
  await using daemon = await startDaemon({ withoutExtensions: true });
  await using host = await connectTo(daemon);
  const failure = await host.spawn({ command: '/no/such/program' }).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(HoldfastError);
  expect(failure).toMatchObject({ kind: 'spawn', message: expect.stringContaining('fork/exec /no/such/program') });
});
