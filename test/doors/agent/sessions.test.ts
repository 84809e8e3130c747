import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findMarked, isRunning, processFacts } from '../../support/processes.ts';
import { waitUntil } from '../../support/wait.ts';
import { TestAgent } from './test-agent.ts';

/** Pid that a command of the stand-in CLI has printed. */
async function printedPid(agent: TestAgent, sessionId: string, name: string): Promise<number> {
  const text = await waitUntil(() => {
    const [, pid] = new RegExp(`${name}=(\\d+)\n`).exec(agent.server.session(sessionId).text()) ?? [];
    return pid;
  }, `${name} of ${sessionId}`);
  return Number(text);
}

describe('sessions that a server orders', () => {
  /** Shared by the tests that need none of their own. */
  let agent: TestAgent;
  beforeAll(async () => {
    agent = await TestAgent.start({ settings: { maxConcurrentSessions: 20 } });
  });
  afterAll(() => agent[Symbol.asyncDispose]());

  test('4: start, command, terminate: the log has the nine lines in order, the server has every byte', async () => {
    const { server } = agent;
    server.order('ins_1', 'start_session', 'session-123', { args: ['a b'] });
    expect(await agent.acknowledged('ins_1')).toMatchObject({ result: 'done', error: null });
    await agent.output('session-123', 'ready a b\n');
    server.order('ins_2', 'command', 'session-123', { command: 'hello' });
    expect(await agent.acknowledged('ins_2')).toMatchObject({ result: 'done' });
    await agent.output('session-123', 'got: hello\n');
    server.order('ins_3', 'terminate_session', 'session-123');
    expect(await agent.acknowledged('ins_3')).toMatchObject({ result: 'done' });
    // The end of its input or INT, whichever the shell sees first.
    const { exitCode, signal } = await agent.exit('session-123');
    expect(['0 null', 'null SIGINT']).toContain(`${exitCode} ${signal}`);
    expect(server.session('session-123').text()).toBe('ready a b\ngot: hello\n');
    const wanted = [
      '[INFO] Agent starting...',
      '[INFO] Configuration loaded from config.json',
      `[INFO] Polling server at ${server.url}`,
      '[INFO] Received instruction: start_session (session-123)',
      '[INFO] Session started: session-123',
      '[INFO] Streaming output for session-123',
      '[INFO] Received instruction: command (session-123)',
      '[INFO] Command sent to session-123',
      '[INFO] Session terminated: session-123',
    ];
    const lines = agent.stdout.split('\n');
    expect(lines.filter((line) => wanted.includes(line))).toEqual(wanted);
    expect(server.refusals).toEqual([]);
  });

  test('a prompt is the first command, and a process that ends by itself is told with its exit code', async () => {
    agent.server.order('prompt_ins_1', 'start_session', 'prompt', { prompt: 'first', resume: 'old', args: ['x'] });
    agent.server.order('prompt_ins_2', 'command', 'prompt', { command: 'second' });
    agent.server.order('prompt_ins_3', 'command', 'prompt', { raw: Buffer.from('exit 3\n').toString('base64') });
    expect(await agent.exit('prompt')).toMatchObject({ exitCode: 3, signal: null });
    expect(agent.server.session('prompt').text()).toBe('ready --resume old x\ngot: first\ngot: second\n');
    agent.server.order('prompt_ins_4', 'command', 'prompt', { command: 'late' });
    expect(await agent.acknowledged('prompt_ins_4')).toMatchObject({
      result: 'failed',
      error: { code: 'session_terminated' },
    });
    agent.server.order('prompt_ins_5', 'start_session', 'prompt');
    expect(await agent.acknowledged('prompt_ins_5')).toMatchObject({
      result: 'failed',
      error: { code: 'session_exists' },
    });
    agent.server.order('prompt_ins_6', 'command', 'nobody', { command: 'x' });
    expect(await agent.acknowledged('prompt_ins_6')).toMatchObject({
      result: 'failed',
      error: { code: 'no_such_session' },
    });
    agent.server.order('prompt_ins_7', 'terminate_session', 'nobody');
    expect(await agent.acknowledged('prompt_ins_7')).toMatchObject({ result: 'done' });
  });

  test('stream-json is what the CLI reads by default', async () => {
    await using agent = await TestAgent.start({ settings: { inputFormat: 'stream-json' } });
    agent.server.order('ins_1', 'start_session', 's', { prompt: 'say "hi"' });
    const line =
      '{"type":"user","message":{"role":"user","content":"say \\"hi\\""},"session_id":"default","parent_tool_use_id":null}';
    expect(await agent.output('s', 'got: ')).toBe(
      `ready --print --input-format stream-json --output-format stream-json --verbose\ngot: ${line}\n`,
    );
  });

  test('5: a start beyond the limit waits, is told so at once, and begins when another ends', async () => {
    await using agent = await TestAgent.start({ settings: { maxConcurrentSessions: 2 } });
    const { server } = agent;
    for (let number = 1; number <= 3; number++) {
      server.order(`start_${number}`, 'start_session', `s${number}`);
    }
    server.order('command_3', 'command', 's3', { command: 'typed later' });
    for (let number = 10; number < 36; number++) {
      server.order(`start_${number}`, 'start_session', `s${number}`);
    }
    await waitUntil(
      () => server.acknowledged('start_35').some(({ result }) => result === 'queued'),
      'the last to wait',
    );
    expect(server.acknowledged('start_3').map(({ result }) => result)).toEqual(['queued']);
    expect(server.session('s3').text()).toBe('');
    server.order('end_10', 'terminate_session', 's10');
    expect(await agent.acknowledged('end_10')).toMatchObject({ result: 'done' });
    expect(await agent.acknowledged('start_10')).toMatchObject({
      result: 'failed',
      error: { code: 'session_terminated' },
    });
    server.order('end_1', 'terminate_session', 's1');
    expect(await agent.acknowledged('start_3')).toMatchObject({ result: 'done' });
    expect(await agent.output('s3', 'typed later')).toBe('ready \ngot: typed later\n');
    expect(await agent.acknowledged('command_3')).toMatchObject({ result: 'done' });
    const [queued, done] = server.acknowledged('start_3');
    expect([queued?.result, done?.result]).toEqual(['queued', 'done']);
    await waitUntil(() => {
      const limits = server.statuses.at(-1)?.limits;
      return limits?.running === 2 && limits.queued === 25 && limits.maxConcurrentSessions === 2;
    }, 'two to run and 25 to wait');
  });

  test('6: an instruction that comes five times is carried out once and acknowledged five times', async () => {
    agent.server.leastHandOuts = 5;
    agent.server.order('six_ins_1', 'start_session', 'six');
    await waitUntil(() => agent.server.acknowledged('six_ins_1').length === 5, 'five acknowledgements');
    agent.server.leastHandOuts = 1;
    expect(new Set(agent.server.acknowledged('six_ins_1').map(({ result }) => result))).toEqual(new Set(['done']));
    expect(await agent.output('six', 'ready')).toBe('ready \n');
    expect(agent.stdout.match(/Session started: six/g)).toHaveLength(1);
  });

  test('11: bytes that are not UTF-8, and a character that is torn in two, come as they are', async () => {
    agent.server.order('eleven_ins_1', 'start_session', 'eleven');
    agent.server.order('eleven_ins_2', 'command', 'eleven', {
      command: "run printf '\\342\\202'; sleep 0.3; printf '\\254\\377\\376\\n'",
    });
    const session = agent.server.session('eleven');
    const wanted = Buffer.concat([Buffer.from('ready \n€'), Buffer.from([0xff, 0xfe, 0x0a])]);
    await waitUntil(() => session.bytes('stdout').length === wanted.length, 'all bytes');
    expect(session.bytes('stdout')).toEqual(wanted);
    expect(session.chunks.size).toBeGreaterThan(1);
  });

  test('12: a process that was killed has its signal in the last chunk', async () => {
    agent.server.order('twelve_ins_1', 'start_session', 'twelve');
    agent.server.order('twelve_ins_2', 'command', 'twelve', { command: 'run kill -9 $$' });
    const exit = await agent.exit('twelve');
    expect(exit).toMatchObject({ exitCode: null, signal: 'SIGKILL' });
    expect(exit.seq).toBe(Math.max(...agent.server.session('twelve').chunks.keys()));
    await waitUntil(
      () =>
        agent.server.statuses.at(-1)?.sessions.find(({ sessionId }) => sessionId === 'twelve')?.state === 'terminated',
      'the status to say so',
    );
    expect(agent.server.statuses.at(-1)?.sessions.find(({ sessionId }) => sessionId === 'twelve')).toMatchObject({
      ...{ exitCode: null, signal: 'SIGKILL', pid: expect.any(Number), processStart: expect.stringMatching(/^\d/) },
    });
  });

  test('14: what the CLI has started is gone with it, also in a session of its own', async () => {
    agent.server.order('fourteen_ins_1', 'start_session', 'fourteen');
    agent.server.order('fourteen_ins_2', 'command', 'fourteen', { command: 'run sleep 1000 & echo near=$!' });
    agent.server.order('fourteen_ins_3', 'command', 'fourteen', {
      command: "run setsid sh -c 'echo far=$$; exec sleep 1000 >/dev/null 2>&1' &",
    });
    const near = processFacts(await printedPid(agent, 'fourteen', 'near'));
    const far = processFacts(await printedPid(agent, 'fourteen', 'far'));
    agent.server.order('fourteen_ins_4', 'terminate_session', 'fourteen', { gracePeriod: 1000 });
    expect(await agent.acknowledged('fourteen_ins_4')).toMatchObject({ result: 'done' });
    for (const target of [near, far]) {
      expect(target).toBeDefined();
      expect(target !== undefined && isRunning(target)).toBe(false);
    }
  });

  test('16: a folder outside the allowed roots is refused, also behind a link, and nothing is started', async () => {
    const { server } = agent;
    const outside = join(agent.folder, 'outside');
    mkdirSync(outside);
    mkdirSync(join(agent.work, 'inside'));
    symlinkSync(outside, join(agent.work, 'link'));
    symlinkSync(join(agent.work, 'inside'), join(agent.folder, 'back'));
    for (const [number, cwd] of [
      outside,
      join(agent.work, 'link'),
      '/',
      '../outside',
      join(agent.work, 'none'),
    ].entries()) {
      server.order(`sixteen_bad_${number}`, 'start_session', `bad${number}`, { cwd });
      expect(await agent.acknowledged(`sixteen_bad_${number}`), cwd).toMatchObject({
        result: 'failed',
        error: { code: 'cwd_not_allowed' },
      });
    }
    expect(agent.stdout).not.toContain('Session started: bad');
    server.order('sixteen_good', 'start_session', 'sixteen_good', { cwd: join(agent.folder, 'back') });
    expect(await agent.acknowledged('sixteen_good')).toMatchObject({ result: 'done' });
    server.order('sixteen_pwd', 'command', 'sixteen_good', { command: 'run pwd' });
    await agent.output('sixteen_good', `${join(agent.work, 'inside')}\n`);
  });

  test('17: the child has neither token nor server, and the token stands nowhere', async () => {
    const token = 'agt_canary_5ce1f2a7';
    await using agent = await TestAgent.start({ env: { AGENT_TOKEN: token, OTHER: 'kept' }, token });
    const { server } = agent;
    server.order('ins_1', 'start_session', 's', { env: { GIVEN: 'yes' } });
    server.order('ins_2', 'command', 's', { command: 'run env' });
    const output = await agent.output('s', 'GIVEN=yes');
    expect(output).toContain('OTHER=kept');
    expect(output).not.toMatch(/AGENT_TOKEN|SERVER_URL/);
    expect(agent.stateText()).toContain('ins_1');
    expect(agent.stateText()).not.toContain(token);
    server.order('ins_3', 'start_session', token);
    await agent.acknowledged('ins_3');
    for (const [number, name] of [
      'AGENT_TOKEN',
      'LD_PRELOAD',
      'LD_LIBRARY_PATH',
      'NODE_OPTIONS',
      'DYLD_INSERT_LIBRARIES',
    ].entries()) {
      server.order(`env_${number}`, 'start_session', `e${number}`, { env: { [name]: 'x' } });
      expect(await agent.acknowledged(`env_${number}`)).toMatchObject({ result: 'failed', error: { code: 'bad_env' } });
    }
    expect(agent.stdout + agent.stderr).not.toContain(token);
    expect(JSON.stringify(server.errors)).not.toContain(token);
    for (const { pid } of findMarked(`HOLDFAST_AGENT_TEST=${agent.folder}`).filter(({ pid }) => pid !== agent.pid)) {
      expect(readFileSync(`/proc/${pid}/environ`, 'latin1')).not.toContain(token);
      expect(readFileSync(`/proc/${pid}/cmdline`, 'latin1')).not.toContain(token);
    }
  });

  test('19: a CLI that is missing is told, and polling goes on', async () => {
    await using agent = await TestAgent.start({ settings: { claudeCommand: '/nowhere/claude' } });
    agent.server.order('ins_1', 'start_session', 's');
    expect(await agent.acknowledged('ins_1')).toMatchObject({ result: 'failed', error: { code: 'spawn_failed' } });
    await waitUntil(() => agent.server.errors.find(({ code }) => code === 'spawn_failed'), 'the error report');
    expect(agent.server.errors[0]).toMatchObject({ sessionId: 's', instructionId: 'ins_1', fatal: false });
    const polls = agent.server.polls().length;
    await waitUntil(() => agent.server.polls().length > polls + 2, 'further polls');
    expect(agent.server.statuses.at(-1)?.sessions).toMatchObject([{ sessionId: 's', state: 'terminated', pid: null }]);
  });

  test('what is no instruction is reported, acknowledged where it has an id, and harms nobody', async () => {
    const { server } = agent;
    for (const bad of [
      { id: 'bad_bad_1', type: 'dance', sessionId: 'bad' },
      { id: 'bad_bad_2', type: 'command', sessionId: 'bad', payload: {} },
      { id: 'bad_bad_3', type: 'command', sessionId: 'bad', payload: { command: 'x'.repeat(262_145) } },
      { id: 'bad_bad_4', type: 'start_session', sessionId: '../../etc' },
      { id: 'bad_bad_5', type: 'start_session', sessionId: 'bad', payload: { args: [1] } },
      { id: 'bad_bad_6', type: 'terminate_session', sessionId: 'bad', payload: { gracePeriod: -1 } },
      { id: 'bad_bad_7', type: 'command', sessionId: 'bad', payload: { raw: '***' } },
    ]) {
      server.orderRaw(bad);
    }
    for (let number = 1; number <= 7; number++) {
      expect(await agent.acknowledged(`bad_bad_${number}`)).toMatchObject({
        result: 'failed',
        error: { code: 'bad_instruction' },
      });
    }
    server.orderRaw({ type: 'command' });
    server.order('bad_good', 'start_session', 'bad');
    expect(await agent.acknowledged('bad_good')).toMatchObject({ result: 'done' });
  });
});
