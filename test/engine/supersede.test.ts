/**
 * A new process of an agent session ends the old one (spec process.md §3.6), over the wire. What an engine does is held by
 * session-engine.contract.ts; here is what only a client of a daemon sees.
 */
import { expect, test } from 'vitest';
import { type Client, connect } from '../support/client.ts';
import { startDaemon } from '../support/daemon.ts';

const session = ['--output-format=stream-json', '--session-id', 'k'];

/** A process of the session that says "ready" and waits; with `stubborn` a polite signal does not end it. */
async function agent(client: Client, id: string, options: { readonly stubborn?: boolean } = {}): Promise<void> {
  const script = `${options.stubborn ? "trap '' TERM; " : ''}echo ready; while :; do sleep 0.05; done`;
  await client.spawn(id, 'sh', ['-c', script, 'agent', ...session]);
  await client.untilOutput(id, 'ready');
}

test('a client whose agent session is taken over stays connected and is told who ended it', async () => {
  await using daemon = await startDaemon({ profile: 'current' });
  await using first = await connect(daemon);
  await using second = await connect(daemon);
  await agent(first, 'old');
  await agent(second, 'new');
  expect(await first.exitOf('old')).toMatchObject({ exitCode: -1, signal: 'SIGTERM', killedBy: 'client' });
  expect(first.ended).toBe(false);
  expect(await second.reattach('old', 0)).toMatchObject({ found: true, running: false });
});

test('in profile next the reply comes behind the exit frame of the process before, and in front of every frame', async () => {
  await using daemon = await startDaemon({ profile: 'next', timings: { supersedeGraceMs: 400 } });
  await using client = await connect(daemon);
  await agent(client, 'old', { stubborn: true });
  await agent(client, 'new');
  const exit = client.lines.findIndex((line) => line.includes('"processId":"old","stream":"exit"'));
  const first = client.lines.findIndex((line) => line.includes('"processId":"new"'));
  const reply = client.lines.indexOf(client.replies.at(-1)?.raw as string);
  expect(exit).toBeGreaterThanOrEqual(0);
  expect(exit).toBeLessThan(reply);
  expect(reply).toBeLessThan(first);
});

test('a process that cannot start is told in the log, also when it was to take a session over', async () => {
  await using daemon = await startDaemon({ profile: 'next' });
  await using client = await connect(daemon);
  await agent(client, 'old');
  const { error } = await client.request('process.spawn', { id: 'new', command: '/nonexistent', args: session });
  expect(error?.code).toBe(-32603);
  expect(daemon.log()).toContain(`[process.Manager] Failed to start process new: ${error?.message}\n`);
});
