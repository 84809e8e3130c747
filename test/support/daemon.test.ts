import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { prepareDaemon, startDaemon } from './daemon.ts';
import { fixture } from './fixtures.ts';
import { connectTo, start } from './host.ts';
import { requireKnownFailpoints } from './known-failpoints.ts';
import { isRunning, openDescriptors, processFacts, residentBytes } from './processes.ts';

test('a test gets a daemon that serves, and neither process nor file is left when it ends', async () => {
  let dir: string;
  let target: ReturnType<typeof processFacts>;
  {
    await using daemon = await startDaemon();
    await using client = await connectTo(daemon);
    expect(await client.request('server.ping')).toEqual({ pong: true });
    dir = daemon.dir;
    target = daemon.process();
    expect(isRunning(target)).toBe(true);
    expect(daemon.log()).toContain(`Claustrum remote server listening on ${daemon.socket}`);
    expect(openDescriptors(daemon.pid()).size).toBeGreaterThan(3);
    expect(residentBytes(daemon.pid())).toBeGreaterThan(1_000_000);
  }
  expect(isRunning(target)).toBe(false);
  expect(existsSync(dir)).toBe(false);
});

test('the profile that is asked for is served', async () => {
  await using daemon = await startDaemon({ profile: 'current' });
  await using client = await connectTo(daemon);
  expect(await client.request('server.capabilities')).toHaveProperty('instanceId');
});

test('what a session left in a process session of its own ends with the test, also after the daemon', async () => {
  const left = [];
  {
    await using daemon = await startDaemon();
    await using client = await connectTo(daemon);
    const p1 = await start(client, 'p1', ...fixture('leave-the-group.sh'));
    await p1.ended();
    const grandchild = processFacts(Number(p1.stdout));
    await start(client, 'p2', '/usr/bin/env', ['-i', '/bin/sleep', '3600']);
    left.push(...daemon.processes());
    expect(left.map(({ pid }) => pid)).toContain(grandchild?.pid);
    expect(left.length).toBeGreaterThanOrEqual(3);
    await daemon.kill();
    expect(daemon.daemons()).toEqual([]);
    expect(isRunning(grandchild as NonNullable<typeof grandchild>)).toBe(true);
  }
  expect(left.filter(isRunning)).toEqual([]);
});

test('a daemon can be stopped, killed and started again in the same run directory, and the log of each start is kept', async () => {
  await using daemon = await startDaemon();
  const first = daemon.pid();
  await daemon.stop();
  await daemon.start();
  const second = daemon.pid();
  await daemon.kill();
  await daemon.start(['-keep-children']);
  expect(new Set([first, second, daemon.pid()]).size).toBe(3);
  expect(daemon.log().match(/^Claustrum remote server listening on/gm)).toHaveLength(3);
  await daemon.untilLogged(/listening on/);
});

test('a start that fails says why, with the words of the launcher', async () => {
  await using daemon = await prepareDaemon();
  writeFileSync(daemon.runDir, 'a file where the folder belongs');
  await expect(daemon.start()).rejects.toThrow(/^the launcher exited with 1\n[\s\S]*claustrum: /);
  expect(() => daemon.pid()).toThrow(`0 daemons of ${daemon.socket}`);
});

test('other modes run with the environment of the daemon', async () => {
  await using daemon = await startDaemon();
  const version = await daemon.run(['-version']);
  expect(version).toMatchObject({ code: 0, stdout: expect.stringMatching(/^claustrum /) });
  const ping = { jsonrpc: '2.0', id: 1, method: 'server.ping', auth: daemon.token };
  const bridge = await daemon.run(['-bridge', '-socket', daemon.socket], `${JSON.stringify(ping)}\n`);
  expect(bridge).toMatchObject({ code: 0, stdout: '{"jsonrpc":"2.0","id":1,"result":{"pong":true}}\n' });
});

test('the environment of the test runner does not reach the daemon, changes of the test do', async () => {
  process.env.CLAUSTRUM_LOG_LEVEL = 'error';
  try {
    await using daemon = await startDaemon({ env: { MARK_OF_THE_TEST: 'yes', LC_ALL: undefined } });
    const environment = readFileSync(`/proc/${daemon.pid()}/environ`, 'utf8').split('\0');
    expect(environment).toContain('MARK_OF_THE_TEST=yes');
    expect(environment).toContain(`HOME=${join(daemon.dir, 'home')}`);
    expect(environment.filter((entry) => /^(CLAUSTRUM_LOG_LEVEL|VITEST|LC_ALL)/.test(entry))).toEqual([]);
  } finally {
    delete process.env.CLAUSTRUM_LOG_LEVEL;
  }
});

test('a failpoint that the source does not have is refused before anything starts', async () => {
  await expect(startDaemon({ failpoints: 'no.such.point=1*kill' })).rejects.toThrow(
    'the source has no failpoint no.such.point',
  );
  requireKnownFailpoints(' ; ');
});
