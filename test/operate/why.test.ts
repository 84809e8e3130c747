/** `holdfast why`: the reason of each kind of end, from the daemon, or from what it has left (spec operators.md). */
import { describe, expect, test } from 'vitest';
import { causeOf } from '../../src/operate/why/cause.ts';
import { findOomKill } from '../../src/operate/why/kernel.ts';
import { MemoryCgroup, memoryCgroups } from '../faults/support/memory-cgroup.ts';
import type { TestDaemon } from '../support/daemon.ts';
import { connectTo } from '../support/host.ts';
import { linux, probe, testNeeding } from '../support/needs.ts';
import { connectRaw } from '../tools/raw-connection.ts';
import { spawnShell, startHeld, untilEndedSession, verb, verbJson } from './sessions.ts';

// biome-ignore lint/suspicious/noExplicitAny: a test states the shape it expects right where it looks at it.
async function whyOf(daemon: TestDaemon, id: string): Promise<any> {
  const explained = await verbJson(daemon, 'why', id);
  expect(explained).toHaveLength(1);
  return explained[0];
}

describe.each([
  ['in the daemon', []],
  ['with -durable', ['-durable']],
] as const)('sessions %s', (_, flags) => {
  test('each kind of end has its reason, its asker and its last words', { timeout: 120_000 }, async () => {
    await using held = await startHeld({ profile: 'next', flags });
    const { daemon, host } = held;
    const waits = 'echo x; exec sleep 3600';

    await spawnShell(host, 'exit', 'echo x; seq 1 30 >&2; exit 7');
    await untilEndedSession(host, 'exit');
    const own = await whyOf(daemon, 'exit');
    expect(own).toMatchObject({
      state: 'ended',
      cause: 'exit',
      exitCode: 7,
      door: 'rpc',
      sources: ['daemon'],
      gaps: [],
    });
    expect(own.stderr).toEqual(Array.from({ length: 20 }, (_, index) => String(11 + index)));
    expect(own).not.toHaveProperty('asked');
    expect(own.exitedAt).toBeGreaterThanOrEqual(own.startedAt);

    await spawnShell(host, 'signal', 'echo x; kill -SEGV $$');
    await untilEndedSession(host, 'signal');
    expect(await whyOf(daemon, 'signal')).toMatchObject({ cause: 'signal', signal: 'SIGSEGV' });

    await spawnShell(host, 'kill', waits);
    expect(await whyOf(daemon, 'kill')).toMatchObject({ state: 'running', cause: 'running', stderr: [] });
    await host.process.kill({ id: 'kill', signal: 'TERM' });
    await untilEndedSession(host, 'kill');
    const killed = await whyOf(daemon, 'kill');
    expect(killed).toMatchObject({
      cause: 'client',
      signal: 'SIGTERM',
      asked: { by: 'client', how: 'kill', signal: 'TERM' },
    });
    expect(killed.log.filter((line: string) => line.includes('asked'))).toEqual([
      expect.stringMatching(/ Process kill: end asked for by client \(kill TERM\), PID=\d+$/),
    ]);

    await spawnShell(host, 'escalated', 'trap "" TERM; echo x; while :; do sleep 1; done');
    await host.process.killAndWait({ id: 'escalated', signal: 'TERM', timeoutMs: 50, escalate: true });
    const escalated = await whyOf(daemon, 'escalated');
    expect(escalated).toMatchObject({
      cause: 'client',
      signal: 'SIGKILL',
      asked: { how: 'killAndWait', signal: 'TERM' },
    });
    expect(escalated.asked.escalatedAt).toBeGreaterThanOrEqual(escalated.asked.at);
    expect(escalated.reason).toContain('which it outlived, so its group got KILL');

    const agent = ['-c', 'echo x; exec sleep 3600', 'claude', '--input-format', 'stream-json', '--resume', '0123'];
    await host.spawn({ id: 'first', command: 'sh', args: agent });
    await host.spawn({ id: 'second', command: 'sh', args: agent });
    await untilEndedSession(host, 'first');
    expect(await whyOf(daemon, 'first')).toMatchObject({
      cause: 'supersede',
      asked: { by: 'supersede', how: 'spawn' },
    });

    await spawnShell(host, 'released', waits);
    const { firstLine } = await spawnShell(host, 'by-pid', 'echo $$; exec sleep 3600');
    expect(await whyOf(daemon, firstLine)).toMatchObject({ id: 'by-pid' });
    await verb(daemon, 'release', 'released', '--yes');
    expect(await whyOf(daemon, 'released')).toMatchObject({
      cause: 'operator',
      asked: { how: 'release' },
      sources: ['log'],
    });
  });
});

test('a request for sessions tells of askers only when it asks for them', async () => {
  await using held = await startHeld();
  const { daemon, host } = held;
  await spawnShell(host, 'one', 'echo x; exec sleep 3600');
  await host.process.kill({ id: 'one', signal: 'TERM' });
  await untilEndedSession(host, 'one');
  await using raw = await connectRaw(daemon);
  await raw.call('holdfast.sessions');
  const asking = await raw.call('holdfast.sessions', { ends: true });
  expect(raw.lines.map((line) => line.includes('endAsked'))).toEqual([false, true]);
  expect(asking.sessions[0].endAsked).toMatchObject({ by: 'client', how: 'kill', signal: 'TERM' });
});

test('detached-ttl is named as the one who asked', async () => {
  await using held = await startHeld({ flags: ['-detached-ttl', '100ms'] });
  const { daemon, host } = held;
  await spawnShell(host, 'left', 'echo x; exec sleep 3600');
  await host.close();
  await daemon.untilLogged(/Process left exited/);
  expect(await whyOf(daemon, 'left')).toMatchObject({ cause: 'detached-ttl', asked: { by: 'detached-ttl' } });
});

test('when the daemon has shut down its log tells, and when it was killed that nobody saw the end', async () => {
  await using first = await startHeld();
  await spawnShell(first.host, 'down', 'echo x; exec sleep 3600');
  await first.daemon.stop();
  expect(await whyOf(first.daemon, 'down')).toMatchObject({ state: 'ended', cause: 'shutdown', sources: ['log'] });

  await using second = await startHeld();
  // Its output is a pipe of the daemon, so it ends with it.
  const { session } = await spawnShell(second.host, 'crashed', 'echo x; while echo y; do sleep 0.1; done');
  await second.daemon.kill();
  await second.daemon.untilLogged(/Process crashed started/);
  for (const left of second.daemon.processes()) {
    process.kill(left.pid, 'SIGKILL');
  }
  expect(await whyOf(second.daemon, 'crashed')).toMatchObject({ pid: session.pid, cause: 'daemon-crash' });
  expect((await verb(second.daemon, 'why', 'nobody')).code).toBe(3);
});

test('with -durable a killed daemon ends nothing, and a killed keeper is the reason of the end', async () => {
  await using held = await startHeld({ flags: ['-durable'] });
  const { daemon, host } = held;
  const { session } = await spawnShell(host, 'durable', 'echo x; exec sleep 3600');
  await daemon.kill();
  expect(await whyOf(daemon, 'durable')).toMatchObject({
    ...{ pid: session.pid, state: 'running', cause: 'running', reason: expect.stringMatching(/held by pid \d+$/) },
  });
  await host.close();
  await daemon.start();
  expect(await whyOf(daemon, 'durable')).toMatchObject({ pid: session.pid, state: 'running', sources: ['daemon'] });
  const { keeper } = JSON.parse((await verb(daemon, 'status', '--json')).stdout)[0];
  process.kill(keeper.pid, 'SIGKILL');
  await daemon.untilLogged(/\[keeper\].*(?:died|gone|ended)/i);
  expect(await whyOf(daemon, 'durable')).toMatchObject({ state: 'ended', cause: 'keeper-crash' });
});

testNeeding(linux, memoryCgroups(), probe('the log of the kernel', ['dmesg']))(
  'a process that the kernel has killed for want of memory ended because of that, also when its daemon is gone',
  {},
  async () => {
    await using cgroup = new MemoryCgroup(16 * 1024 * 1024);
    await using held = await startHeld({ profile: 'next' });
    const { daemon, host } = held;
    // One line that never ends.
    const [command = '', ...args] = [...cgroup.through, 'tail', '/dev/zero'];
    await host.spawn({ id: 'hungry', command, args });
    await untilEndedSession(host, 'hungry');
    expect(cgroup.killed).toBe(1);
    const killed = { state: 'ended', cause: 'oom', signal: 'SIGKILL', reason: expect.stringContaining('memory') };
    expect(await whyOf(daemon, 'hungry')).toMatchObject({ ...killed, sources: ['daemon', 'kernel'] });
    expect((await verb(daemon, 'why', 'hungry')).stdout).toMatch(/^because +.*memory.*$/m);
    await daemon.kill();
    expect(await whyOf(daemon, 'hungry')).toMatchObject({ ...killed, sources: ['log', 'kernel'] });
    // A KILL of somebody else is none of the kernel's.
    await daemon.start();
    await using again = await connectTo(daemon);
    await again.spawn({ id: 'shot', command: 'sh', args: ['-c', 'kill -KILL $$'] });
    await untilEndedSession(again, 'shot');
    expect(await whyOf(daemon, 'shot')).toMatchObject({ cause: 'signal', sources: ['daemon'] });
  },
);

describe('the kernel’s log', () => {
  const pid = 4711;
  const at = Date.parse('2026-11-28T09:00:00Z');
  const lines = {
    cgroup:
      '2026-11-28T09:00:01,123456+00:00 Memory cgroup out of memory: Killed process 4711 (claude) total-vm:1048576kB, anon-rss:524288kB, file-rss:0kB, shmem-rss:0kB, UID:1000 pgtables:1100kB oom_score_adj:0',
    host: '2026-11-28T10:00:01+0100 box kernel: Out of memory: Killed process 4711 (node) total-vm:9kB, anon-rss:1kB',
    older: '[12345.678901] Out of memory: Kill process 4711 (node) score 912 or sacrifice child',
    task: '2026-11-28T09:00:01+00:00 oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,task_memcg=/a,task=claude,pid=4711,uid=1000',
  };

  test.each(Object.entries(lines))('of the form "%s" tells of an OOM kill', (_, line) => {
    expect(findOomKill(`x\n${line}\ny`, { pid, from: at - 60_000, until: at + 2000 })).toBe(line);
    expect(findOomKill(line, { pid: 471, from: at, until: at })).toBeUndefined();
  });

  test('at another time tells of another process with that pid', () => {
    const hour = 3_600_000;
    expect(findOomKill(lines.cgroup, { pid, from: at + hour, until: at + 2 * hour })).toBeUndefined();
    expect(findOomKill(lines.host, { pid, from: at - 2 * hour, until: at - hour })).toBeUndefined();
  });

  test('is believed where nobody asked for the KILL', () => {
    const exit = { at, code: -1, signal: 'SIGKILL' };
    expect(causeOf({ exit, asked: undefined, oom: lines.cgroup })).toBe('oom');
    const asked = { by: 'client', how: 'kill', signal: 'KILL', at: at - 10 };
    expect(causeOf({ exit, asked, oom: lines.cgroup })).toBe('client');
  });
});

test('an interrupt of long ago is no reason for an exit', () => {
  const exit = { at: 1_000_000, code: 0, signal: undefined };
  const asked = { by: 'client', how: 'kill', signal: 'INT', at: 0 };
  expect(causeOf({ exit, asked, oom: undefined })).toBe('exit');
  expect(causeOf({ exit, asked: { ...asked, at: 999_000 }, oom: undefined })).toBe('client');
});
