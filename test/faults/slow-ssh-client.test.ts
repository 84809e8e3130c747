/**
 * A client that reads slowly behind sshd. The server takes bytes from `-bridge` in steps of some 100 KB, so the daemon sees
 * nobody read for as long as the client needs for one step. The server's window is staged here, in seconds instead of minutes;
 * test/ssh has the real one.
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { fixture } from '../support/fixtures.ts';
import { programForTests } from '../support/holdfast.ts';
import { readSteadily } from '../support/steady-reader.ts';
import { waitUntil } from '../support/wait.ts';

const bytes = 40_000_000;
/** What the window of OpenSSH moves by. */
const step = 100_000;
/** A step takes several times as long as a client may stand still, as it does for a client of 1 kB/s and the real limit. */
const rate = 6_000;
const readerStallMs = 2500;

test.each(['pipe', 'socket'])(
  'a client that reads slowly behind sshd gets every byte (output is a %s)',
  async (kind) => {
    await using daemon = await startDaemon({ timings: { readerStallMs } });
    const file = join(daemon.dir, 'sha256');
    const [python, words] = fixture('step-window.py', String(step), kind, ...belowSsh(daemon, 60_000));
    const arrived = await readSteadily({
      ...{ rate, seconds: 14, token: daemon.token, through: { bridge: [python, ...words] } },
      command: commandLine(fixture('write-noise.ts', '--bytes', String(bytes), '--seed', 'ssh', '--sha256', file)),
    });
    expect(arrived).toMatchObject({ bytes, exitCode: 0, gap: false, closed: false });
    expect(arrived.sha256).toBe(readFileSync(file, 'utf8'));
    expect(daemon.log()).toMatch(/reads more slowly than it writes; holding it back/);
    expect(daemon.log()).not.toMatch(/slow reader dropped|holding it back no longer/);
  },
);

test('a client behind sshd that never reads holds its program back no longer than the patience of the bridge', async () => {
  await using daemon = await startDaemon({ timings: { readerStallMs } });
  const written = join(daemon.dir, 'sha256');
  const [command = '', ...words] = belowSsh(daemon, 3000);
  // Nobody reads its output.
  const child = spawn(command, words, { stdio: ['pipe', 'pipe', 'ignore'] });
  const [file, args] = fixture('write-noise.ts', '--bytes', String(bytes), '--seed', 'ssh', '--sha256', written);
  const request = { method: 'process.spawn', params: { id: 'p', command: file, args }, auth: daemon.token };
  child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', id: 1, ...request })}\n`);
  try {
    await daemon.untilLogged(/its client has read nothing for 2.5 s; holding it back no longer/);
    await waitUntil(() => existsSync(written), 'the program to have written everything');
  } finally {
    child.kill('SIGKILL');
  }
});

/** The command line of a bridge as sshd would start it. */
function belowSsh(daemon: TestDaemon, patienceMs: number): readonly string[] {
  const timings = JSON.stringify({ bridgeTrickleMs: 200, bridgePatienceMs: patienceMs });
  const env = ['env', 'SSH_CONNECTION=192.0.2.1 50000 192.0.2.2 22', `HOLDFAST_TEST_TIMINGS=${timings}`];
  return [...env, programForTests, '-bridge', '-socket', daemon.socket];
}

/** As a shell takes it. */
function commandLine([command, args]: readonly [string, readonly string[]]): string {
  return [command, ...args].map((word) => `'${word}'`).join(' ');
}
