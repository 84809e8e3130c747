/** What others can see of the processes we start, and what ends them (spec wire.md §8, modes.md §4 and §6). */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { prepareDaemon } from '../support/daemon.ts';
import { program } from '../support/holdfast.ts';
import { connectTo } from '../support/host.ts';
import { linux, testNeeding, tracing } from '../support/needs.ts';
import { findByArguments, findMarked, type ProcessFacts } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';

const ambient = 'CLAUDE_RPC_TOKEN';
const environmentOf = (pid: number): string[] => readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0');
const namesOf = (pid: number): string[] => environmentOf(pid).map((entry) => entry.replace(/=.*/s, ''));

testNeeding(linux)('no process of ours shows the token of the user’s environment while it runs', {}, async () => {
  const login = join(import.meta.dirname, '../fixtures/dump-environment-shell.sh');
  await using daemon = await prepareDaemon({ env: { [ambient]: 'ambient', SHELL: login } });
  await daemon.start();
  await using client = await connectTo(daemon);
  await client.spawn({ id: 'c', command: 'sleep', args: ['60'] });
  const bridge = spawn(program, ['-bridge', '-socket', daemon.socket], { env: daemon.env, stdio: 'pipe' });
  const bridgeProcess = await waitUntil(
    () =>
      findByArguments(['-bridge', '-socket', daemon.socket]).find(({ pid }) =>
        namesOf(pid).includes('HOLDFAST_PROGRAM'),
      ),
    'the bridge to run',
  );
  try {
    // The daemon, its child and the bridge; the shell of a start script has ended or has become one of them.
    const ours: readonly ProcessFacts[] = [...findMarked(`HOLDFAST_TEST_DAEMON=${daemon.dir}`), bridgeProcess];
    expect(ours.map(({ pid }) => pid)).toContain(daemon.pid());
    expect(ours.length).toBeGreaterThanOrEqual(3);
    for (const { pid } of ours) {
      expect(namesOf(pid)).not.toContain(ambient);
    }
    expect(readFileSync(join(daemon.home, 'shell-saw'), 'utf8')).not.toContain(ambient);
  } finally {
    bridge.kill();
    await once(bridge, 'close');
  }
});

testNeeding(linux)(
  'a daemon has nothing of the start script in its environment but what it gives back',
  {},
  async () => {
    const env = {
      NODE_OPTIONS: '',
      MALLOC_ARENA_MAX: '4',
      CLAUSTRUM_TOKEN_PIPE: '9',
      HOLDFAST_STATUS_PIPE: '9',
      HOLDFAST_SCRIPT: '1',
    };
    await using daemon = await prepareDaemon({ env });
    await daemon.start();
    const ours = environmentOf(daemon.pid()).filter((entry) =>
      /^(HOLDFAST_(?!TEST_)|CLAUSTRUM_|NODE_|MALLOC_)/.test(entry),
    );
    expect(ours.map((entry) => entry.replace(/=.*\/node_modules/, '=…'))).toEqual([
      'HOLDFAST_HELD_NODE_OPTIONS=',
      'HOLDFAST_HELD_MALLOC_ARENA_MAX=4',
      'CLAUSTRUM_DAEMON_CHILD=1',
      'MALLOC_ARENA_MAX=1',
      'HOLDFAST_ARENAS=1',
      'NODE_COMPILE_CACHE=…/.cache/holdfast',
      'HOLDFAST_STATUS_PIPE=3',
    ]);
  },
);

testNeeding(tracing())(
  'whoever ends the start script of -serve ends the launcher too, and no daemon comes',
  {},
  async () => {
    await using daemon = await prepareDaemon();
    const words = ['-serve', '-socket', daemon.socket, '-token-fd', '0'];
    // The launcher waits for its token.
    const script = spawn(program, words, { env: daemon.env, stdio: ['pipe', 'pipe', 'pipe'] });
    const launcher = await waitUntil(
      () => findByArguments(words).find(({ pid }) => pid !== script.pid && stackOf(pid) === 'reading'),
      'the launcher to wait for its token',
    );
    script.kill('SIGTERM');
    expect(await once(script, 'exit')).toEqual([null, 'SIGTERM']);
    await waitUntil(() => findByArguments(words).every(({ pid }) => pid !== launcher.pid), 'the launcher to end');
    script.stdin.end('token\n');
    expect(daemon.daemons()).toEqual([]);
  },
);

/** `reading` when the thread of our code sleeps in a call that waits for standard input. */
function stackOf(pid: number): string {
  const [call, fd] = readFileSync(`/proc/${pid}/syscall`, 'latin1').split(' ');
  const read = process.arch === 'x64' ? '0' : '63';
  return call === read && fd === '0x0' ? 'reading' : 'elsewhere';
}

test('a launcher that fails says why, and its exit code is that of the start script', async () => {
  await using daemon = await prepareDaemon();
  const result = await daemon.run(['-serve', '-socket', daemon.socket]);
  expect(result.code).toBe(1);
  expect(result.stderr.split('\n')[0]).toBe('claustrum: daemonized child requires --token-file or --token-fd');
});
