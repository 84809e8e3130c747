/** Threats 1, 7 and 10: another user of the host, the token, and texts that pretend to be something else. */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { installed, root, testNeeding } from '../support/needs.ts';
import { connectRaw } from '../tools/raw-connection.ts';

const stranger = 61_017;

/** Asks the daemon for a ping as another user. @returns what came back, and what went wrong */
function pingAs(uid: number, daemon: TestDaemon): { readonly stdout: string; readonly stderr: string } {
  const ping = `{"jsonrpc":"2.0","id":1,"method":"server.ping","auth":"${daemon.token}"}\n`;
  const words = [
    `--reuid=${uid}`,
    `--regid=${uid}`,
    '--clear-groups',
    'socat',
    '-t2',
    '-',
    `UNIX-CONNECT:${daemon.socket}`,
  ];
  const { stdout, stderr } = spawnSync('setpriv', words, { input: ping, encoding: 'utf8' });
  return { stdout, stderr };
}

testNeeding(root, installed('socat', 'socat'), installed('setpriv', 'util-linux'))(
  'threat 1: another user cannot connect, not even with the token and with every mode opened by hand',
  {},
  async () => {
    await using daemon = await startDaemon();
    expect(lstatSync(daemon.socket).mode & 0o777).toBe(0o600);
    expect(lstatSync(daemon.runDir).mode & 0o777).toBe(0o700);
    expect(pingAs(stranger, daemon)).toEqual({ stdout: '', stderr: expect.stringContaining('Permission denied') });

    for (const folder of [daemon.dir, daemon.runDir]) {
      chmodSync(folder, 0o755);
    }
    chmodSync(daemon.socket, 0o666);
    expect(pingAs(stranger, daemon).stdout).toBe('');
    await daemon.untilLogged(/connection refused: peer has uid 61017, this daemon serves uid 0 only/);

    // Its own user is served as before, and a changed mode does not make it think that the path was taken from it.
    await using client = await connectRaw(daemon);
    expect(await client.call('server.ping')).toEqual({ pong: true });
  },
);

test('threat 7: the token is in no log, no argument list, no environment, no error and no metric', async () => {
  // Node's own debug output would show every byte that is read; it is for the user's programs, not for our runtime.
  const env = { NODE_DEBUG: '*', NODE_DEBUG_NATIVE: '*' };
  await using daemon = await startDaemon({ flags: ['-metrics-addr', '127.0.0.1:0'], profile: 'next', env });
  const metrics = /metrics: listening on (\S+)$/.exec(await daemon.untilLogged(/metrics: listening on /))?.[1];
  await using client = await connectRaw(daemon);
  const { token } = daemon;
  await client.spawn('p', 'sh', ['-c', 'env; cat /proc/$PPID/cmdline | tr "\\0" " "; cat']);
  const wrong = await client.request('files.stat', { path: `/none/${token}/\0` });
  expect(wrong.error?.message).toContain(token); // Said by the client itself; that one reply may repeat it.
  client.sendLine(`{"jsonrpc":"2.0","id":77,"method":"${token}","auth":"${token}x"}`);
  await client.request('process.spawn', { id: 'none', command: `nope-${token}` });
  await client.untilOutput('p', 'src/main.');

  const facts = daemon.process();
  const scraped = await fetch(`http://${metrics}/metrics`, { headers: { connection: 'close' } });
  const seen = [
    daemon.log(),
    await scraped.text(),
    readFileSync(`/proc/${facts.pid}/cmdline`, 'latin1'),
    readFileSync(`/proc/${facts.pid}/environ`, 'latin1'),
    ...daemon
      .processes()
      .flatMap(({ pid }) => [
        readFileSync(`/proc/${pid}/cmdline`, 'latin1'),
        readFileSync(`/proc/${pid}/environ`, 'latin1'),
      ]),
    ...client.stream('p').text('stdout').split('\n'),
  ];
  expect(seen[1]).toContain('claustrum_connections_total');
  expect(daemon.processes().length).toBeGreaterThan(1);
  expect(seen.filter((text) => text.includes(token))).toEqual([]);
  expect(daemon.log()).toContain('[redacted]');

  // On the disk it is where the contract puts it, and nowhere else.
  const holders = readdirSync(daemon.runDir).filter((name) => {
    const file = join(daemon.runDir, name);
    return lstatSync(file).isFile() && readFileSync(file, 'latin1').includes(token);
  });
  expect(holders).toEqual(['daemon.token']);
});

test('threat 10: a name that a client chose makes one line of the log, and nothing a terminal obeys', async () => {
  await using daemon = await startDaemon();
  await using client = await connectRaw(daemon);
  const names = [
    'a\n2026/01/01 00:00:00 ERROR [Server] forged',
    'b\u001b]0;owned\u0007',
    'c\u202egnp',
    'd\u009b31m',
    'e\r\n\r\n',
  ];
  for (const name of names) {
    await client.spawn(name, 'true');
    await client.exitOf(name);
    await client.request('process.spawn', { id: name, command: `nope-${name}`, cwd: daemon.dir });
  }
  const log = daemon.log();
  for (const letter of ['a', 'b', 'c', 'd', 'e']) {
    expect(
      log.split('\n').filter((line) => line.includes(`Process ${letter}`) && line.includes('started')),
    ).toHaveLength(1);
  }
  expect(log).not.toMatch(/^2026\/01\/01 00:00:00 ERROR/m);
  expect(log).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/);
  expect(
    execFileSync('grep', ['-c', 'forged', join(daemon.runDir, 'remote-server.log')], { encoding: 'utf8' }),
  ).not.toBe('0\n');
});
