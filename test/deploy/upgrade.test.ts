/** `holdfast upgrade`: what a deployment does on the host itself. */
import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { targets } from '../../build/executable/targets.ts';
import { targetNames } from '../../src/operate/deploy/executable.ts';
import { buildMs, executableName, sharedBuild } from '../executable/build.ts';
import { prepareDaemon, type TestDaemon } from '../support/daemon.ts';
import { cleanEnvironment, runHoldfast } from '../support/holdfast.ts';
import { connectTo } from '../support/host.ts';
import { expectSchema } from '../support/schemas.ts';
import { waitUntil } from '../support/wait.ts';

const upgrade = (daemon: TestDaemon, ...words: readonly string[]) =>
  runHoldfast(['upgrade', '--socket', daemon.socket, ...words], { env: daemon.env });

test('deploy knows the systems that executables are built for, by the same names', () => {
  expect([...targetNames]).toEqual(targets.map(({ name }) => name));
});

describe('the daemon', () => {
  test('is started where none runs when that is asked for, and not otherwise', async () => {
    await using daemon = await prepareDaemon();
    expect(await upgrade(daemon)).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/: none runs\nnothing to do\n$/),
    });
    expect((await upgrade(daemon, '--start', '--check')).stdout).toMatch(/none runs; one would be started/);
    const report = expectSchema('upgrade', (await upgrade(daemon, '--start', '--json')).stdout);
    expect(report).toMatchObject({ program: { state: 'in place' }, daemon: { state: 'started', sessions: 0 } });
    expect((await upgrade(daemon, '--start')).stdout).toMatch(/runs this program already.*\nnothing to do\n$/);
  });

  test('that is durable is replaced with its token and flags, and a stream goes on', async () => {
    await using daemon = await prepareDaemon();
    await daemon.start(['-durable', '-max-sessions', '7']);
    const token = () => readFileSync(join(daemon.runDir, 'daemon.token'), 'utf8');
    const before = token();
    {
      await using client = await connectTo(daemon);
      const job = await client.spawn({ command: 'sh', args: ['-c', 'echo before; cat; exit 5'] });
      let text = '';
      const read = (async () => {
        for await (const chunk of job.stdout) {
          text += chunk.toString();
        }
      })();
      await waitUntil(() => text === 'before\n' || undefined, 'the first line');
      const { pid } = await client.describe();
      expect((await upgrade(daemon, '--restart', '--check')).stdout).toMatch(
        /would be replaced, pid \d+, durable, 1 session runs/,
      );
      const done = await upgrade(daemon, '--restart', '--json');
      expect(done).toMatchObject({ code: 0, stderr: '' });
      expect(expectSchema('upgrade', done.stdout)).toMatchObject({
        daemon: { state: 'replaced', durable: true, sessions: 1 },
      });
      await job.write('after\n');
      await job.end();
      expect(await job.exit).toMatchObject({ code: 5 });
      await read;
      expect(text).toBe('before\nafter\n');
      const now = await client.describe();
      expect({ isOther: now.pid !== pid, limits: now.limits }).toMatchObject({
        isOther: true,
        limits: { maxSessions: 7 },
      });
    }
    expect(token()).toBe(before);
  });

  test('that is not durable is left while a session runs, unless that is asked for', async () => {
    await using daemon = await prepareDaemon();
    await daemon.start();
    await using client = await connectTo(daemon);
    await client.spawn({ command: 'sleep', args: ['1000'] });
    const left = await upgrade(daemon, '--restart');
    expect(left).toMatchObject({ code: 5, stderr: '' });
    expect(left.stdout).toMatch(
      /left as it is, .*: it is not durable, and 1 session that runs would end with it; wait for their end, or end them with --end-sessions\n/,
    );
    expect((await upgrade(daemon, '--restart', '--end-sessions')).stdout).toMatch(
      /replaced, pid \d+, not durable, 0 sessions/,
    );
  });

  test('whose token only its client knows is left, with what to do', async () => {
    await using daemon = await prepareDaemon();
    await daemon.start();
    // A token that came by -token-fd is in no file.
    rmSync(join(daemon.runDir, 'daemon.token'));
    const left = await upgrade(daemon, '--restart');
    expect(left.code).toBe(5);
    expect(left.stdout).toContain('it was started by a client that keeps the token to itself');
  });
});

describe('the executable', () => {
  let folder: string;
  let own: string;
  let later: string;
  const env = () => cleanEnvironment(folder);
  const run = (...words: readonly string[]) => runHoldfast(words, { env: env(), program: own });

  beforeAll(async () => {
    folder = mkdtempSync('/tmp/hf-');
    mkdirSync(join(folder, 'bin'));
    own = join(folder, 'bin/holdfast');
    later = join(folder, 'later');
    const built = join(await sharedBuild(), executableName);
    copyFileSync(built, own);
    copyFileSync(built, later);
    appendFileSync(later, '\n');
  }, buildMs);

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test('gives way to another file, whole and tried, or stays as it is', { timeout: 120_000 }, async () => {
    const [before, after] = [own, later].map((file) => readFileSync(file));
    expect((await run('upgrade', '--from', later, '--check')).stdout).toContain(`program  ${own}: would be replaced\n`);
    const broken = join(folder, 'broken');
    writeFileSync(broken, (before as Buffer).subarray(0, 1_000_000));
    const refused = await run('upgrade', '--from', broken);
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toMatch(/^holdfast upgrade: \S+\/broken does not run here, so nothing was replaced: /);
    writeFileSync(broken, 'no program');
    expect((await run('upgrade', '--from', broken)).stderr).toContain(
      '/broken is no program of linux-x64, linux-arm64',
    );
    expect(readFileSync(own).equals(before as Buffer)).toBe(true);
    expect(await run('upgrade', '--from', later)).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(`program  ${own}: replaced\n`),
      stderr: '',
    });
    expect(readFileSync(own).equals(after as Buffer)).toBe(true);
    expect(readdirSync(join(folder, 'bin'))).toEqual(['holdfast']);
    expect((await run('upgrade', '--from', later)).stdout).toMatch(/in place\n.*\nnothing to do\n$/);
  });

  test('is not what an installation from source has, which says how it is updated', async () => {
    const { code, stderr } = await runHoldfast(['upgrade', '--from', later], { env: env() });
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining('runs from source') });
  });
});
