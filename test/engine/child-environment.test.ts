/** What a child of a real daemon finds in its environment (spec process.md §3.3, modes.md §4, platform.md §2). */
import { describe, expect, test } from 'vitest';
import type { Host } from '../../src/client/index.ts';
import { prepareDaemon, startDaemon } from '../support/daemon.ts';
import { connectTo, textOf } from '../support/host.ts';

/** Variables of a child, as its kernel has them. */
async function environmentOf(client: Host, more: object = {}): Promise<string[]> {
  const job = await client.spawn({ command: 'cat', args: ['/proc/self/environ'], ...more });
  return (await textOf(job.stdout)).split('\0').slice(0, -1);
}

const profiles = ['S', 'current', 'next'] as const;
/** What profile next adds to every child. */
const markers = (lines: readonly string[]): string[] =>
  lines.filter((line) => /^CLAUDE_SSH_(RUN_DIR|CHILD)=/.test(line));

describe.each(profiles)('profile %s: a child', (profile) => {
  test('has what the user started the daemon with, one variable more, and nothing of ours', async () => {
    await using daemon = await prepareDaemon({ profile });
    // A shell that starts us from another folder than the variable says would put it right.
    daemon.env.PWD = daemon.dir;
    await daemon.start();
    await using client = await connectTo(daemon);
    const seen = await environmentOf(client);
    const expected = Object.entries({ ...daemon.env, CLAUDE_SSH_DAEMON_CHILD: '1' });
    const own = seen.filter((line) => !markers(seen).includes(line) && !line.startsWith('PATH='));
    expect(own.sort()).toEqual(
      expected
        .filter(([name]) => name !== 'PATH')
        .map(([name, value]) => `${name}=${value}`)
        .sort(),
    );
    expect(
      markers(seen)
        .map((line) => line.split('=')[0])
        .sort(),
    ).toEqual(profile === 'next' ? ['CLAUDE_SSH_CHILD', 'CLAUDE_SSH_RUN_DIR'] : []);
  });

  test('has the variables of the user’s own Node programs, which our runtime does not follow', async () => {
    const NODE_OPTIONS = '--require=/nonexistent/preload.cjs';
    const env = {
      NODE_OPTIONS,
      NODE_PATH: '/modules',
      NODE_COMPILE_CACHE: '/tmp/none',
      NODE_DEBUG: '',
      NODE_ENV: 'production',
      MALLOC_ARENA_MAX: '4',
    };
    await using daemon = await startDaemon({ profile, env });
    await using client = await connectTo(daemon);
    const seen = await environmentOf(client);
    for (const [name, value] of Object.entries(env)) {
      expect(seen).toContain(`${name}=${value}`);
    }
    expect(
      seen.filter((line) => /^(HOLDFAST_HELD_|HOLDFAST_PROGRAM|HOLDFAST_ARENAS|CLAUSTRUM_|HOLDFAST_STATUS)/.test(line)),
    ).toEqual([]);
  });

  test('never has a token, whoever names one', async () => {
    await using daemon = await startDaemon({ profile, env: { CLAUDE_RPC_TOKEN: 'ambient' } });
    await using client = await connectTo(daemon);
    const seen = await environmentOf(client, { env: { CLAUDE_RPC_TOKEN: 'named', OTHER: 'kept' } });
    expect(seen.filter((line) => line.startsWith('CLAUDE_RPC_TOKEN'))).toEqual([]);
    expect(seen).toContain('OTHER=kept');
  });

  test('has what its request names, also what is empty', async () => {
    await using daemon = await startDaemon({ profile, env: { MINE: 'of the daemon' } });
    await using client = await connectTo(daemon);
    const before = await environmentOf(client);
    const seen = await environmentOf(client, { env: { NEW: '1', MINE: 'of the request', EMPTY: '' } });
    const own = (lines: readonly string[]): string[] => lines.filter((line) => !markers(lines).includes(line));
    const expected = own(before).map((line) => (line === 'MINE=of the daemon' ? 'MINE=of the request' : line));
    expect(own(seen).sort()).toEqual([...expected, 'NEW=1', 'EMPTY='].sort());
    // Profile next starts children through a shell, which has an order of its own.
    if (profile !== 'next') {
      const inPlace = before.map((line) => (line === 'MINE=of the daemon' ? 'MINE=of the request' : line));
      expect(seen).toEqual([...inPlace, 'NEW=1', 'EMPTY=']);
    }
  });
});

test('internal marks that a caller happens to have do not reach a child', async () => {
  await using daemon = await prepareDaemon({
    env: { CLAUSTRUM_TOKEN_PIPE: '4', HOLDFAST_STATUS_PIPE: '3', CLAUDE_SSH_DAEMON_CHILD: '1' },
  });
  await daemon.start();
  await using client = await connectTo(daemon);
  const seen = await environmentOf(client);
  expect(seen.filter((line) => /^(CLAUSTRUM_TOKEN_PIPE|HOLDFAST_STATUS_PIPE)=/.test(line))).toEqual([]);
  expect(seen.filter((line) => line.startsWith('CLAUDE_SSH_DAEMON_CHILD='))).toEqual(['CLAUDE_SSH_DAEMON_CHILD=1']);
});

test('in profile next the variables of the managed launcher stop at the daemon', async () => {
  const env = { CLAUDE_SSH_MANAGED_LAUNCHER: '1', CLAUDE_SSH_E2E_MANAGED_SETTINGS_DIR: '/x' };
  for (const profile of profiles) {
    await using daemon = await startDaemon({ profile, env });
    await using client = await connectTo(daemon);
    const seen = (await environmentOf(client)).filter((line) => line.includes('MANAGED'));
    expect(seen).toHaveLength(profile === 'next' ? 0 : 2);
  }
});
