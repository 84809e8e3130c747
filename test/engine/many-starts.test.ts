/** Many processes asked for at once: they are started beside each other (platform/posix/launch.ts `launchAmongMany`). */
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { startDaemon } from '../support/daemon.ts';
import { findByArguments, openDescriptors, untilEnded } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';
import { connectRaw } from '../tools/raw-connection.ts';

const slowShell = fileURLToPath(new URL('../fixtures/slow-login-shell.sh', import.meta.url));

describe.each(['S', 'next'] as const)('profile %s', (profile) => {
  test('a hundred processes of one burst run once each, with their own words, environment and folder', async () => {
    await using daemon = await startDaemon({ profile });
    await using client = await connectRaw(daemon);
    // Whatever a daemon opens for its first process and keeps; one that has ended at once would get no record.
    await client.spawn('first', 'cat');
    await client.kill('first');
    await client.exitOf('first');
    const before = openDescriptors(daemon.pid()).size;
    const ids = Array.from({ length: 100 }, (_, index) => `p${index}`);
    for (const id of ids) {
      const args = ['-c', 'echo "$0 $NAME $PWD"', id];
      client.post('process.spawn', { id, command: 'sh', args, env: { NAME: `name of ${id}` }, cwd: daemon.runDir });
    }
    for (const id of ids) {
      expect((await client.exitOf(id)).exitCode).toBe(0);
      expect(client.stream(id).text()).toBe(`${id} name of ${id} ${daemon.runDir}\n`);
    }
    expect(client.replies.filter(({ error }) => error !== undefined)).toEqual([]);
    await waitUntil(() => openDescriptors(daemon.pid()).size <= before || undefined, 'their pipes to be closed');
  });

  test('what a burst says about one process happens in the order it was said', async () => {
    await using daemon = await startDaemon({ profile });
    await using client = await connectRaw(daemon);
    const ids = Array.from({ length: 30 }, (_, index) => `p${index}`);
    for (const id of ids) {
      client.post('process.spawn', { id, command: 'head', args: ['-n', '2'] });
      client.post('process.stdin', { id, data: Buffer.from(`first ${id}\n`).toString('base64'), offset: 0 });
      client.post('process.stdin', { id, data: Buffer.from(`second ${id}\n`).toString('base64') });
    }
    for (const id of ids) {
      await client.exitOf(id);
      expect(client.stream(id).text()).toBe(`first ${id}\nsecond ${id}\n`);
    }
  });

  test('a process with ten thousand variables and words has them all, and what is said about it at once finds it', async () => {
    // The kernel passes on a quarter of what the stack may have.
    await using daemon = await startDaemon({ profile, through: ['prlimit', `--stack=${8 * 1024 * 1024}`] });
    await using client = await connectRaw(daemon);
    const env = Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`MANY_${index}`, 'x']));
    const args = ['-c', 'env | grep -c "^MANY_"; echo "$#"; head -n 1', 'sh', ...Object.keys(env)];
    client.post('process.spawn', { id: 'long', command: 'sh', args, env });
    client.post('process.stdin', { id: 'long', data: Buffer.from('typed\n').toString('base64') });
    expect((await client.exitOf('long')).exitCode).toBe(0);
    expect(client.stream('long').text()).toBe('10000\n10000\ntyped\n');
    const { error } = await client.request('process.spawn', { id: 'none', command: '/nowhere/at/all', args, env });
    expect(error?.message).toBe('fork/exec /nowhere/at/all: no such file or directory');
    const tooMany = Array.from({ length: 240_000 }, () => '');
    const refused = await client.request('process.spawn', { id: 'none', command: 'true', args: tooMany });
    expect(refused.error?.message).toBe('fork/exec true: argument list too long');
  });

  test('a start that fails among others says why, and the others are not touched by it', async () => {
    await using daemon = await startDaemon({ profile });
    await using client = await connectRaw(daemon);
    // Whatever a daemon opens for its first process and keeps; one that has ended at once would get no record.
    await client.spawn('first', 'cat');
    await client.kill('first');
    await client.exitOf('first');
    const before = openDescriptors(daemon.pid()).size;
    const asked = Array.from({ length: 40 }, (_, index) => {
      const command = index % 2 === 0 ? '/nowhere/at/all' : 'true';
      return { id: `p${index}`, command, reply: client.post('process.spawn', { id: `p${index}`, command }) };
    });
    await waitUntil(() => client.replies.length > asked.length || undefined, 'all replies');
    for (const { id, command, reply } of asked) {
      const error = client.replies.find((frame) => frame.id === reply)?.error;
      if (command === 'true') {
        expect((await client.exitOf(id)).exitCode).toBe(0);
      } else {
        expect(error).toEqual({ code: -32603, message: 'fork/exec /nowhere/at/all: no such file or directory' });
      }
    }
    await waitUntil(() => openDescriptors(daemon.pid()).size <= before || undefined, 'their pipes to be closed');
  });
});

test('a daemon that is told to end while it starts many processes leaves none of them', async () => {
  await using daemon = await startDaemon();
  await using client = await connectRaw(daemon);
  await client.call('server.ping');
  const mark = `31536${String(process.pid).padStart(6, '0')}`;
  for (let index = 0; index < 60; index++) {
    client.post('process.spawn', { id: `p${index}`, command: 'sleep', args: [mark] });
  }
  client.post('server.shutdown');
  await waitUntil(() => daemon.daemons().length === 0 || undefined, 'the daemon to end');
  await Promise.all(findByArguments(['sleep', mark]).map((left) => untilEnded(left)));
  expect(daemon.log()).toMatch(/cleanup: closed \d+ connection\(s\), killed \d+ child process group\(s\)\n/);
});

test('a client whose connection broke before its process was started finds it, and does not start it twice', async () => {
  // The start waits for the login shell, so that the connection is gone before there is a process.
  await using daemon = await startDaemon({ env: { SHELL: slowShell } });
  const first = await connectRaw(daemon);
  first.post('process.spawn', { id: 'job', command: 'sh', args: ['-c', 'echo once; cat'] });
  await first.call('server.ping');
  await first[Symbol.asyncDispose]();
  await using second = await connectRaw(daemon);
  expect(await second.reattach('job', 0)).toMatchObject({ found: true, running: true });
  await second.untilOutput('job', 'once\n');
  expect(daemon.log().match(/Process job started/g)).toHaveLength(1);
});
