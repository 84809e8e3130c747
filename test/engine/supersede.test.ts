/**
 * A new process of an agent session ends the old one (spec process.md §3.6), over the wire. What an engine does is held by
 * session-engine.contract.ts; here is what only a client of a daemon sees.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startDaemon } from '../support/daemon.ts';
import { processFacts } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';
import { connectRaw, type RawConnection } from '../tools/raw-connection.ts';

const session = ['--output-format=stream-json', '--session-id', 'k'];

/** A process of the session that says "ready" and waits; with `stubborn` a polite signal does not end it. */
async function agent(client: RawConnection, id: string, options: { readonly stubborn?: boolean } = {}): Promise<void> {
  const script = `${options.stubborn ? "trap '' TERM; " : ''}echo ready; while :; do sleep 0.05; done`;
  await client.spawn(id, 'sh', ['-c', script, 'agent', ...session]);
  await client.untilOutput(id, 'ready');
}

test('a client whose agent session is taken over stays connected and is told who ended it', async () => {
  await using daemon = await startDaemon({ profile: 'current' });
  await using first = await connectRaw(daemon);
  await using second = await connectRaw(daemon);
  await agent(first, 'old');
  await agent(second, 'new');
  expect(await first.exitOf('old')).toMatchObject({ exitCode: -1, signal: 'SIGTERM', killedBy: 'client' });
  expect(first.ended).toBe(false);
  expect(await second.reattach('old', 0)).toMatchObject({ found: true, running: false });
});

test('in profile next the reply comes behind the exit frame of the process before, and in front of every frame', async () => {
  await using daemon = await startDaemon({ profile: 'next', timings: { supersedeGraceMs: 400 } });
  await using client = await connectRaw(daemon);
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
  await using client = await connectRaw(daemon);
  await agent(client, 'old');
  const { error } = await client.request('process.spawn', { id: 'new', command: '/nonexistent', args: session });
  expect(error?.code).toBe(-32603);
  expect(daemon.log()).toContain(`[process.Manager] Failed to start process new: ${error?.message}\n`);
});

test.each(['next', 'latest'] as const)(
  'an end of the daemon during the wait ends the old process, starts no new one and answers nobody (%s)',
  async (profile) => {
    await using daemon = await startDaemon({ profile, timings: { supersedeGraceMs: 60_000 } });
    await using client = await connectRaw(daemon);
    await agent(client, 'old', { stubborn: true });
    const { pid } = await client
      .reattach('old')
      .then(() => client.call('process.reattach', { id: 'old', wantPid: true }));
    const mark = join(daemon.dir, 'mark');
    const waiting = client.post('process.spawn', { id: 'new', command: 'touch', args: [mark, ...session] });
    // The old process has been asked to end; what comes after this ping was asked later.
    await client.call('server.ping');
    expect((await daemon.run(['-stop', '-socket', daemon.socket, '-wire-profile', profile])).code).toBe(0);
    await client.untilClosed();
    await waitUntil(() => daemon.daemons().length === 0, 'the daemon to end');
    expect(client.replies.find(({ id }) => id === waiting)).toBeUndefined();
    expect(client.lines.some((line) => line.includes('"stream":"exit"'))).toBe(false);
    expect(processFacts(pid)?.state ?? 'Z').toBe('Z');
    expect(existsSync(mark)).toBe(false);
  },
);

test.each(['next', 'latest'] as const)(
  'a command that is there but cannot start ends the old process first; one that is not there leaves it alone (%s)',
  async (profile) => {
    await using daemon = await startDaemon({ profile });
    await using client = await connectRaw(daemon);
    await agent(client, 'old');
    // Seen from the daemon's own folder, not from that of the request.
    writeFileSync(join(daemon.home, 'tool'), '#!/bin/sh\n', { mode: 0o755 });
    const missing = { id: 'new', command: './tool', args: session, cwd: daemon.home };
    expect((await client.request('process.spawn', missing)).error?.message).toBe(
      'fork/exec ./tool: no such file or directory',
    );
    expect(await client.reattach('old')).toMatchObject({ running: true });
    const plain = join(daemon.dir, 'plain');
    writeFileSync(plain, 'x', { mode: 0o644 });
    const { error } = await client.request('process.spawn', { id: 'new', command: plain, args: session });
    expect(error).toEqual({ code: -32603, message: `fork/exec ${plain}: permission denied` });
    expect(await client.exitOf('old')).toMatchObject({ killedBy: 'client' });
  },
);
