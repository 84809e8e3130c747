/** A new process of an agent session ends the old one (spec process.md §3.6). */
import { describe, expect, test } from 'vitest';
import { type Client, connect } from '../support/client.ts';
import { startDaemon } from '../support/daemon.ts';
import { isRunning, type ProcessFacts, processFacts, untilEnded } from '../support/processes.ts';

const session = (key: string): string[] => ['--output-format=stream-json', '--session-id', key];

/** A process of the session that says "ready" and waits; with `stubborn` a polite signal does not end it. */
async function agent(
  client: Client,
  id: string,
  words: readonly string[],
  options: { readonly stubborn?: boolean } = {},
): Promise<ProcessFacts> {
  const script = `${options.stubborn ? "trap '' TERM; " : ''}echo ready; while :; do sleep 0.05; done`;
  const { pid } = await client.spawn(id, 'sh', ['-c', script, 'agent', ...words], { wantPid: true });
  await client.untilOutput(id, 'ready');
  return processFacts(pid) as ProcessFacts;
}

const later = ['current', 'next'] as const;

test('in profile S nothing is superseded', async () => {
  await using daemon = await startDaemon({ profile: 'S' });
  await using client = await connect(daemon);
  const old = await agent(client, 'old', session('k'));
  const recent = await agent(client, 'new', session('k'));
  expect([isRunning(old), isRunning(recent)]).toEqual([true, true]);
});

describe.each(later)('profile %s: a second process of one agent session', (profile) => {
  test('ends the first, whose own client is told that a client asked for it', async () => {
    await using daemon = await startDaemon({ profile });
    await using first = await connect(daemon);
    await using second = await connect(daemon);
    await agent(first, 'old', session('k'));
    const recent = await agent(second, 'new', session('k'));
    expect(await first.exitOf('old')).toMatchObject({ exitCode: -1, signal: 'SIGTERM', killedBy: 'client' });
    expect(first.ended).toBe(false);
    expect(isRunning(recent)).toBe(true);
    expect(await second.reattach('old', 0)).toMatchObject({ found: true, running: false });
  });

  test('kills a first that does not end when asked, with its group', async () => {
    await using daemon = await startDaemon({ profile, timings: { supersedeGraceMs: 200 } });
    await using client = await connect(daemon);
    await agent(client, 'old', session('k'), { stubborn: true });
    await agent(client, 'new', session('k'));
    expect(await client.exitOf('old')).toMatchObject({ exitCode: -1, signal: 'SIGKILL', killedBy: 'client' });
  });

  test('is recognised by --resume as well, but a fork is a session of its own', async () => {
    await using daemon = await startDaemon({ profile });
    await using client = await connect(daemon);
    const old = await agent(client, 'old', session('k'));
    await agent(client, 'fork', ['stream-json', '--resume', 'k', '--fork-session']);
    await agent(client, 'other', session('another'));
    await agent(client, 'plain', ['--session-id', 'k']);
    expect(isRunning(old)).toBe(true);
    await agent(client, 'resumed', ['--input-format=stream-json', '--resume=k']);
    await client.exitOf('old');
    expect(client.stream('fork').exit ?? client.stream('other').exit ?? client.stream('plain').exit).toBeUndefined();
  });

  test('under the same id is a matter of the id', async () => {
    await using daemon = await startDaemon({ profile });
    await using client = await connect(daemon);
    const old = await agent(client, 'same', session('k'));
    const request = await client.request('process.spawn', {
      id: 'same',
      command: 'sleep',
      args: ['3600', ...session('k')],
    });
    // `sleep` refuses the words and ends at once; what counts is what happened to the old one.
    expect(request.result).toEqual({ success: true });
    if (profile === 'next') {
      await client.call('server.ping');
      expect(isRunning(old)).toBe(true);
    } else {
      await untilEnded(old);
    }
  });

  test('and a third and a fourth at once leave exactly one of them', async () => {
    await using daemon = await startDaemon({ profile });
    await using client = await connect(daemon);
    const script = 'echo ready; while :; do sleep 0.05; done';
    const ids = ['a', 'b', 'c', 'd', 'e'];
    for (const id of ids) {
      client.post('process.spawn', { id, command: 'sh', args: ['-c', script, 'agent', ...session('k')] });
    }
    await client.untilOutput('e', 'ready');
    await Promise.all(ids.slice(0, -1).map((id) => client.exitOf(id)));
    expect(client.stream('e').exit).toBeUndefined();
    expect((await client.reattach('e', 99)).running).toBe(true);
  });
});

describe('a second process of an agent session that cannot start', () => {
  const bad: Record<string, object> = {
    'for want of its folder': { command: 'sh', cwd: '/nonexistent' },
    'for want of its program': { command: '/nonexistent' },
    'for want of its name in PATH': { command: 'no-such-program' },
  };

  test.each(Object.entries(bad))('%s leaves the first alone in profile next', async (_, request) => {
    await using daemon = await startDaemon({ profile: 'next' });
    await using client = await connect(daemon);
    const old = await agent(client, 'old', session('k'));
    const { error } = await client.request('process.spawn', { id: 'new', args: session('k'), ...request });
    expect(error?.code).toBe(-32603);
    expect(daemon.log()).toContain(`[process.Manager] Failed to start process new: ${error?.message}\n`);
    await client.call('server.ping');
    expect(isRunning(old)).toBe(true);
  });

  test.each(Object.entries(bad))('%s has ended the first in profile current', async (_, request) => {
    await using daemon = await startDaemon({ profile: 'current' });
    await using client = await connect(daemon);
    await agent(client, 'old', session('k'));
    const { error } = await client.request('process.spawn', { id: 'new', args: session('k'), ...request });
    expect(error?.code).toBe(-32603);
    expect(await client.exitOf('old')).toMatchObject({ killedBy: 'client' });
  });
});

describe('the second process is started', () => {
  test('in profile current at once, while the first still ends', async () => {
    await using daemon = await startDaemon({ profile: 'current', timings: { supersedeGraceMs: 600_000 } });
    await using client = await connect(daemon);
    const old = await agent(client, 'old', session('k'), { stubborn: true });
    await agent(client, 'new', session('k'));
    expect(isRunning(old)).toBe(true);
  });

  test('in profile next only after the exit frame of the first, and so is its reply', async () => {
    await using daemon = await startDaemon({ profile: 'next', timings: { supersedeGraceMs: 400 } });
    await using client = await connect(daemon);
    await agent(client, 'old', session('k'), { stubborn: true });
    await agent(client, 'new', session('k'));
    const exit = client.lines.findIndex((line) => line.includes('"processId":"old","stream":"exit"'));
    const first = client.lines.findIndex((line) => line.includes('"processId":"new"'));
    const reply = client.lines.indexOf(client.replies.at(-1)?.raw as string);
    expect(exit).toBeGreaterThanOrEqual(0);
    expect(exit).toBeLessThan(reply);
    expect(reply).toBeLessThan(first);
  });
});
