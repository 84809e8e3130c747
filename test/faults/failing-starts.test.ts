/** Fault 16: a child that cannot be started, in each way. The text is the system's own, nothing is registered, nothing leaks. */
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { asUser, otherUsers } from '../support/as-user.ts';
import { startDaemon } from '../support/daemon.ts';
import * as needs from '../support/needs.ts';
import { connectRaw, type RawConnection } from '../tools/raw-connection.ts';
import { expectNothingLeft, holdingsOf } from './support/leaks.ts';
import { byLength, limitMs } from './support/length.ts';

const times = byLength(1_000, 10_000);

/** A user that nobody else is: limits of a user count all of its processes. */
const lonelyUser = 61_016;

async function refusal(client: RawConnection, id: string, command: string, more: object = {}): Promise<string> {
  const reply = await client.request('process.spawn', { id, command, ...more });
  expect(reply.error?.code, reply.raw).toBe(-32603);
  // Nothing is registered.
  expect(await client.reattach(id, 0)).toMatchObject({ found: false });
  return reply.error?.message ?? '';
}

test('each way in which exec can fail has the text of the system, and a thousand failures leak nothing', {
  timeout: limitMs(60),
}, async () => {
  await using daemon = await startDaemon();
  await using client = await connectRaw(daemon);
  const before = await holdingsOf(daemon, client);
  const at = (name: string) => join(daemon.dir, name);
  const program = (name: string, content: string, mode = 0o755) => {
    writeFileSync(at(name), content);
    chmodSync(at(name), mode);
    return at(name);
  };
  const gone = at('gone');
  mkdirSync(gone);
  rmSync(gone, { recursive: true });

  const ways: [text: string, command: string, more?: object][] = [
    [`fork/exec ${at('none')}: no such file or directory`, at('none')],
    [`fork/exec ${at('text')}: permission denied`, program('text', '#!/bin/sh\n', 0o644)],
    [`fork/exec ${daemon.dir}: permission denied`, daemon.dir],
    [`fork/exec ${at('garbage')}: exec format error`, program('garbage', 'no program at all\n')],
    [`fork/exec ${at('empty')}: exec format error`, program('empty', '')],
    [`fork/exec ${at('lost')}: no such file or directory`, program('lost', '#!/nowhere/interpreter\n')],
    ['fork/exec /bin/true: argument list too long', '/bin/true', { args: ['x'.repeat(140_000)] }],
    [`chdir ${gone}: stat ${gone}: no such file or directory`, '/bin/true', { cwd: gone }],
    [`chdir ${at('text')}: not a directory`, '/bin/true', { cwd: at('text') }],
    ['exec: "no-such-command": executable file not found in $PATH', 'no-such-command'],
    ['fork/exec /bin/true\0: invalid argument', '/bin/true\0'],
    ['exec: environment variable contains NUL', '/bin/true', { env: { A: 'b\0' } }],
  ];

  let count = 0;
  while (count < times) {
    for (const [text, command, more] of ways) {
      expect(await refusal(client, `p${count++}`, command, more)).toBe(text);
    }
  }
  await expectNothingLeft(daemon, before);
  await client.spawn('works', 'echo', ['fine']);
  await client.untilOutput('works', 'fine');
});

needs.testNeeding(needs.linux, needs.privateMounts())(
  'a program on a file system mounted noexec is refused with the text of the system',
  {},
  async () => {
    await using daemon = await startDaemon({
      through: [
        'unshare',
        '--mount',
        '--propagation',
        'private',
        'sh',
        '-c',
        'mkdir m && mount -t tmpfs -o size=1m,noexec none m && exec "$@"',
        'sh',
      ],
    });
    await using client = await connectRaw(daemon);
    const path = join(daemon.dir, 'm', 'program');
    await client.spawn('make', 'sh', ['-c', `printf '#!/bin/sh\\nexit 0\\n' >${path} && chmod 755 ${path}`]);
    expect(await client.exitOf('make')).toMatchObject({ exitCode: 0 });
    expect(await refusal(client, 'p', path)).toBe(`fork/exec ${path}: permission denied`);
  },
);

needs.testNeeding(needs.linux, otherUsers())(
  'where no process can be made any more a spawn says so, running sessions go on, and it works again afterwards',
  { timeout: limitMs(60) },
  async () => {
    // The limit counts threads too: room for the launcher's and the daemon's, then for some children.
    await using daemon = await startDaemon({ through: [...asUser(lonelyUser), 'prlimit', '--nproc=60', '--'] });
    await using client = await connectRaw(daemon);
    const before = await holdingsOf(daemon, client);
    await client.spawn('running', 'cat');

    const started: string[] = [];
    let reply = await client.request('process.spawn', { id: 'p0', command: 'sleep', args: ['3600'] });
    for (let number = 1; reply.error === undefined; number++) {
      started.push(`p${number - 1}`);
      expect(number).toBeLessThan(60);
      reply = await client.request('process.spawn', { id: `p${number}`, command: 'sleep', args: ['3600'] });
    }
    expect(reply.error).toEqual({ code: -32603, message: 'fork/exec sleep: resource temporarily unavailable' });
    await client.stdin('running', 'still here\n');
    await client.untilOutput('running', 'still here\n');

    for (const id of [...started, 'running']) {
      await client.kill(id, 'KILL');
      await client.exitOf(id);
    }
    await expectNothingLeft(daemon, before);
    await client.spawn('again', 'echo', ['fine']);
    await client.untilOutput('again', 'fine');
  },
);
