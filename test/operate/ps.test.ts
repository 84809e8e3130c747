/** `holdfast ps`: one row a session, with what its processes take (spec operators.md). */
import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { program } from '../support/holdfast.ts';
import { installed, testNeeding } from '../support/needs.ts';
import { chosenPids } from '../support/pid-namespace.ts';
import { expectSchema } from '../support/schemas.ts';
import { waitUntil } from '../support/wait.ts';
import { spawnLeaver, spawnShell, startHeld, untilEndedSession, verb, verbJson } from './sessions.ts';

const hostileId = 'evil\u001b[2J\u202e\nid\u0007';

test('each session has its row; an ended one is shown with --all only', async () => {
  await using held = await startHeld();
  const { daemon, host } = held;
  await spawnShell(host, 'runs', 'echo $$; sleep 3600');
  await spawnShell(host, 'ended', 'echo $$; exit 3');
  await spawnShell(host, 'killed', 'echo $$; kill -KILL $$');
  await untilEndedSession(host, 'ended');
  await untilEndedSession(host, 'killed');
  const { code, stdout, stderr } = await verb(daemon, 'ps', '--all');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const lines = stdout.trimEnd().split('\n');
  expect(lines[0]).toMatch(/^ID +PID +STATE +AGE +CPU% +MEM +OUT +IN +SEQ +CLIENT +COMMAND$/);
  expect(lines[1]).toMatch(/^runs +\d+ +running +\d+s +\S+ +\S+ +\d+ +0 +1 +attached +sh -c /);
  expect(lines[2]).toMatch(/^ended +\d+ +ended 3 /);
  expect(lines[3]).toMatch(/^killed +\d+ +ended KILL /);
  const rows = await verbJson(daemon, 'ps');
  expect(rows).toMatchObject([{ id: 'runs', state: 'running', daemon: daemon.socket, strays: [], waiting: [] }]);
  expect(rows[0].memoryBytes).toBeGreaterThan(0);
  const [row] = (await verbJson(daemon, 'ps', '--tree')) as [{ processes: { command: string }[] }];
  expect(row.processes.map(({ command }) => command)).toEqual(['sleep 3600']);
});

test('ids and commands from outside are text on the screen, and the table fits it', async () => {
  await using held = await startHeld();
  const { daemon, host } = held;
  await spawnShell(host, hostileId, `echo x; : '\u001b]0;title\u0007 ${'long '.repeat(40)}'; sleep 3600`);
  for (const columns of ['80', '132', '20']) {
    daemon.env.COLUMNS = columns;
    const { stdout } = await verb(daemon, 'ps', '--tree');
    expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
    for (const line of stdout.split('\n')) {
      expect(line.length).toBeLessThanOrEqual(Number(columns));
    }
  }
  const { stdout } = await verb(daemon, 'ps', '--json');
  expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
  expect(expectSchema('ps', stdout)).toMatchObject([{ id: hostileId }]);
});

test('what a session has left outside its group is counted with it, also after its end', async () => {
  await using held = await startHeld({ flags: ['-mark-children'] });
  const { daemon, host } = held;
  const tool = await spawnLeaver(host, 'agent');
  expect(await verbJson(daemon, 'ps')).toMatchObject([{ id: 'agent', strays: [] }]);
  await host.process.kill({ id: 'agent', signal: 'KILL' });
  await untilEndedSession(host, 'agent');
  const [row] = await verbJson(daemon, 'ps');
  expect(row).toMatchObject({ id: 'agent', state: 'exited', strays: [{ pid: tool.pid, command: 'sleep 3600' }] });
  expect(row.memoryBytes).toBeGreaterThan(0);
  expect((await verb(daemon, 'ps')).stdout).toMatch(/^agent +\d+ +ended KILL .* \+1 stray sh -c/m);
});

test('a socket at which nobody answers is exit code 3, a word that it does not know 2', async () => {
  await using held = await startHeld();
  const { daemon } = held;
  const nobody = await daemon.run(['ps', '--socket', join(daemon.dir, 'nobody.sock'), '--json']);
  expect(nobody).toMatchObject({ code: 3, stdout: '[]\n' });
  expect(nobody.stderr).toMatch(/^holdfast ps: nobody answers at .*nobody\.sock: ENOENT\n$/);
  expect((await verb(daemon, 'ps', '--watch', 'soon')).code).toBe(2);
  rmSync(join(daemon.runDir, 'daemon.token'));
  expect(await verb(daemon, 'ps')).toMatchObject({ code: 1, stdout: '' });
});

test('--watch goes on until its reader goes away, and then ends without a word', async () => {
  await using held = await startHeld();
  const { daemon, host } = held;
  await spawnShell(host, 'one', 'echo x; sleep 3600');
  const child = spawn(program, ['ps', '--socket', daemon.socket, '--json', '--watch', '100ms'], { env: daemon.env });
  onTestFinished(() => void child.kill('SIGKILL'));
  let [lines, errors] = ['', ''];
  child.stdout.on('data', (bytes: Buffer) => {
    lines += String(bytes);
  });
  child.stderr.on('data', (bytes: Buffer) => {
    errors += String(bytes);
  });
  await waitUntil(() => lines.split('\n').length > 3, 'three looks');
  for (const line of lines.split('\n').slice(0, 3)) {
    expect(expectSchema('ps', line)).toMatchObject([{ id: 'one' }]);
  }
  const ended = new Promise((resolve) => child.on('close', resolve));
  child.stdout.destroy();
  expect(await ended).toBe(0);
  expect(errors).toBe('');
});

testNeeding(chosenPids(), installed('unshare', 'util-linux'))(
  'without --socket it finds every daemon of this user, and says which of them does not answer (exit code 5)',
  { timeout: 120_000 },
  async () => {
    await using held = await startHeld();
    const { daemon } = held;
    const serve = (name: string): string =>
      `echo 00112233445566778899aabbccddeeff >t-${name}; "$0" -serve -socket "$PWD/${name}/rpc.sock" -token-file t-${name}`;
    const script = `cd "$HOME" && ${serve('a')} && ${serve('b')} || exit 9
      "$0" ps --json >both.json; echo "both $?"; rm b/daemon.token
      "$0" ps; echo "one $?"`;
    const words = ['--pid', '--fork', '--mount-proc', 'sh', '-c', script, program];
    const child = spawn('unshare', words, { env: daemon.env });
    let [output, errors] = ['', ''];
    child.stdout.on('data', (bytes: Buffer) => {
      output += String(bytes);
    });
    child.stderr.on('data', (bytes: Buffer) => {
      errors += String(bytes);
    });
    // The end of the first process of the namespace ends the daemons in it.
    await new Promise((resolve) => child.on('close', resolve));
    expect(output).toMatch(/^both 0$/m);
    expect(output).toMatch(/^one 5$/m);
    expect(errors).toMatch(/^holdfast ps: pid \d+: no token: .*\/b\/daemon\.token cannot be read/m);
  },
);
