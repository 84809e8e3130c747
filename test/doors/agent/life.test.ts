import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { connect } from '../../../src/client/index.ts';
import { runHoldfast } from '../../support/holdfast.ts';
import { findMarked, isRunning, processFacts, signalProcess, untilEnded } from '../../support/processes.ts';
import { waitUntil } from '../../support/wait.ts';
import { StandInServer } from './stand-in-server.ts';
import { TestAgent } from './test-agent.ts';

const timings = { backoffMs: 50, backoffMaxMs: 400 } as const;
/** A session that ends by nothing but KILL. */
const stubborn = "run trap '' INT TERM; while :; do sleep 0.1; done";

function pidOf(agent: TestAgent, sessionId: string): Promise<number> {
  return waitUntil(() => {
    const session = agent.server.statuses.at(-1)?.sessions.find((each) => each.sessionId === sessionId);
    return typeof session?.pid === 'number' ? session.pid : undefined;
  }, `the pid of ${sessionId}`);
}

describe('the life of an agent', () => {
  test('13: asked to end it ends every session, also one that ignores TERM, and says so', async () => {
    await using agent = await TestAgent.start({ timings: { ...timings, graceMs: 2000 } });
    const { server } = agent;
    for (const id of ['a', 'b', 'c']) {
      server.order(`start_${id}`, 'start_session', id);
      await agent.acknowledged(`start_${id}`);
    }
    server.order('stubborn', 'command', 'c', { command: stubborn });
    await agent.acknowledged('stubborn');
    const pids = await Promise.all(['a', 'b', 'c'].map((id) => pidOf(agent, id)));
    const processes = pids.map((pid) => processFacts(pid));
    agent.signal('SIGINT');
    expect(await agent.ended()).toBe(0);
    expect(processes.map((target) => target !== undefined && isRunning(target))).toEqual([false, false, false]);
    expect(server.session('a').exit).toMatchObject({ stream: 'exit' });
    expect(server.session('c').exit).toMatchObject({ exitCode: null, signal: 'SIGKILL' });
    expect(server.statuses.map(({ status }) => status)).toContain('stopping');
    expect(server.statuses.at(-1)?.status).toBe('offline');
    expect(agent.stdout.split('\n').slice(-2)).toEqual(['[INFO] Agent stopped', '']);
    expect(agent.stdout).toContain('[INFO] Agent stopping...\n');
  });

  test('13: asked a second time it ends at once with 1, and leaves no session behind', async () => {
    await using agent = await TestAgent.start({ timings: { ...timings, graceMs: 30_000 } });
    agent.server.order('start', 'start_session', 's');
    agent.server.order('stubborn', 'command', 's', { command: stubborn });
    await agent.acknowledged('stubborn');
    const target = processFacts(await pidOf(agent, 's'));
    agent.signal('SIGTERM');
    await waitUntil(() => agent.stdout.includes('Agent stopping'), 'the first request to be heard');
    agent.signal('SIGTERM');
    expect(await agent.ended()).toBe(1);
    expect(target).toBeDefined();
    if (target !== undefined) {
      await untilEnded(target);
    }
  });

  test('onStop keep: the sessions go on, and the next agent goes on with them', async () => {
    await using agent = await TestAgent.start({ settings: { onStop: 'keep' }, timings });
    const { server } = agent;
    server.order('start', 'start_session', 's');
    await agent.output('s', 'ready');
    const pid = await pidOf(agent, 's');
    agent.signal('SIGTERM');
    expect(await agent.ended()).toBe(0);
    agent.launch();
    await agent.online();
    server.order('type', 'command', 's', { command: 'still here' });
    expect(await agent.output('s', 'still here')).toBe('ready \ngot: still here\n');
    expect(await pidOf(agent, 's')).toBe(pid);
  });

  test('20: one agent for each state folder; after a crash of the first the second starts', async () => {
    await using agent = await TestAgent.start();
    const { code, stderr } = await runHoldfast(['agent'], { env: agent.env, cwd: agent.work });
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: `[ERROR] Another agent is using ${agent.stateDir} (pid ${agent.pid})\n`,
    });
    await agent.killed();
    agent.launch();
    await agent.online();
  });

  test('an unreachable server does not stop the start', async () => {
    const server = await StandInServer.start();
    const { port } = server;
    await using agent = new TestAgent(server, { timings });
    await server.close();
    agent.launch();
    await waitUntil(() => agent.stderr.includes('The server does not answer as it should'), 'the warning');
    await server.listen(port);
    await agent.online();
  });

  test('what was written while no agent lived is sent by the next', async () => {
    await using agent = await TestAgent.start({ timings });
    const { server } = agent;
    server.order('start', 'start_session', 's', { prompt: 'run sleep 1; echo later; exit 4' });
    await agent.output('s', 'ready');
    const target = processFacts(await pidOf(agent, 's'));
    await agent.killed();
    if (target !== undefined) {
      await untilEnded(target);
    }
    agent.launch();
    expect(await agent.exit('s')).toMatchObject({ exitCode: 4 });
    expect(server.session('s').text()).toBe('ready \nlater\n');
  });

  test('an agent that died between the start of a session and its prompt types the prompt when it is told again, once', async () => {
    await using agent = await TestAgent.start({ timings });
    const { server } = agent;
    server.order('start', 'start_session', 's');
    await agent.output('s', 'ready');
    await agent.killed();
    // What it had written down when it died there.
    const begun = JSON.stringify({ id: 'start', sessionId: 's', state: 'begun' });
    writeFileSync(join(agent.stateDir, 'instructions.ndjson'), `${begun}\n`);
    server.leastHandOuts = 2;
    server.order('start', 'start_session', 's', { prompt: 'late' });
    agent.launch();
    await agent.output('s', 'got: late\n');
    await waitUntil(() => server.acknowledged('start').length > 2, 'both to be acknowledged');
    server.order('type', 'command', 's', { command: 'behind' });
    expect(await agent.output('s', 'behind')).toBe('ready \ngot: late\ngot: behind\n');
    expect(new Set(server.acknowledged('start').map(({ result }) => result))).toEqual(new Set(['done']));
  });

  test('a session that died with the whole host daemon is told as crashed', async () => {
    await using agent = await TestAgent.start({ timings });
    const { server } = agent;
    server.order('start', 'start_session', 's');
    await agent.output('s', 'ready');
    await agent.killed();
    await waitUntil(() => {
      const left = findMarked(`HOLDFAST_AGENT_TEST=${agent.folder}`);
      for (const target of left) {
        signalProcess(target, 'SIGKILL');
      }
      return left.length === 0;
    }, 'everything to end');
    agent.launch();
    expect(await agent.exit('s')).toMatchObject({ exitCode: null, signal: null });
    await waitUntil(() => server.errors.some(({ code }) => code === 'agent_crashed'), 'the report');
    expect(server.session('s').text()).toBe('ready \n');
  });

  test.each([
    ['the keeper', 1],
    ['the host daemon and the keeper', 0],
  ])(
    'a session that dies with %s while the agent lives is told as crashed, and the next one starts',
    async (_, from) => {
      await using agent = await TestAgent.start({ timings });
      const { server } = agent;
      server.order('start', 'start_session', 's');
      await agent.output('s', 'ready');
      for (const target of agent
        .ownPids()
        .slice(from)
        .map((pid) => processFacts(pid))) {
        if (target !== undefined) {
          signalProcess(target, 'SIGKILL');
        }
      }
      expect(await agent.exit('s')).toMatchObject({ exitCode: null, signal: null });
      await waitUntil(() => server.errors.some(({ code }) => code === 'agent_crashed'), 'the report');
      server.order('next', 'start_session', 't');
      expect(await agent.output('t', 'ready')).toBe('ready \n');
    },
  );

  test('24: its sessions are those of the host: listed with their door, and watched without disturbing the upload', async () => {
    await using agent = await TestAgent.start({ timings });
    const { server } = agent;
    server.order('start', 'start_session', 's');
    await agent.output('s', 'ready');
    await using host = await connect({ socket: agent.socket });
    expect(await host.sessions()).toMatchObject([{ id: 's', door: 'agent', state: 'running' }]);
    const ps = await runHoldfast(['ps', '--json', '--socket', agent.socket], { env: agent.env });
    expect(JSON.parse(ps.stdout)).toMatchObject([{ id: 's', door: 'agent' }]);
    const watched: string[] = [];
    const observer = await host.observe('s');
    observer.exit.catch(() => {});
    const reading = (async () => {
      for await (const part of observer.stdout) {
        watched.push(Buffer.from(part).toString());
      }
    })();
    server.order('type', 'command', 's', { command: 'both see this' });
    await agent.output('s', 'both see this');
    server.order('end', 'command', 's', { command: 'exit 0' });
    await reading;
    expect(watched.join('')).toBe('ready \ngot: both see this\n');
    await agent.exit('s');
    expect(server.session('s').text()).toBe('ready \ngot: both see this\n');
  });

  test('a policy of the host that cannot be used stops the start, and one that can is used', async () => {
    const policy = mkdtempSync(join(tmpdir(), 'hfp-'));
    const file = join(policy, 'managed-settings.json');
    const launcher = join(policy, 'launcher.sh');
    writeFileSync(launcher, '#!/bin/sh\necho "launched by $1"\nshift\nexec "$@"\n', { mode: 0o755 });
    try {
      await using agent = await TestAgent.start({ timings, env: { CLAUDE_SSH_E2E_MANAGED_SETTINGS_DIR: policy } });
      for (const [id, text] of [
        ['unreadable', '{'],
        ['unusable', JSON.stringify({ processWrapper: 'relative' })],
      ] as const) {
        writeFileSync(file, text);
        agent.server.order(`start_${id}`, 'start_session', id);
        expect(await agent.acknowledged(`start_${id}`)).toMatchObject({
          result: 'failed',
          error: {
            code: 'launcher_refused',
            message: expect.stringContaining('the managed launcher cannot be used: '),
          },
        });
      }
      writeFileSync(file, JSON.stringify({ processWrapper: `${launcher} policy` }));
      agent.server.order('start', 'start_session', 's', { args: ['x'] });
      expect(await agent.output('s', 'ready')).toBe('launched by policy\nready x\n');
    } finally {
      rmSync(policy, { recursive: true });
    }
  });
});
