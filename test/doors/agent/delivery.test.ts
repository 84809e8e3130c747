import { existsSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { residentBytes } from '../../support/processes.ts';
import { waitUntil } from '../../support/wait.ts';
import { type SeenRequest, StandInServer } from './stand-in-server.ts';
import { TestAgent } from './test-agent.ts';

const isOutput = ({ path }: SeenRequest): boolean => path.endsWith('/output');
const isPoll = ({ method }: SeenRequest): boolean => method === 'GET';
const isAck = ({ path }: SeenRequest): boolean => path.endsWith('/ack');

/** Pauses that fit a test. */
const timings = { backoffMs: 50, backoffMaxMs: 400, refusedMs: 300, unknownSessionMs: 300, pollMaxMs: 400 } as const;

/** Prints numbered lines, and says so when it is done. */
function numbers(count: number): string {
  return `run seq 1 ${count}; echo all done`;
}

function seq(count: number): string {
  return Array.from({ length: count }, (_, index) => `${index + 1}\n`).join('');
}

describe('output and answers on a network that loses them', () => {
  /** Shared by the tests that need none of their own. */
  let agent: TestAgent;
  beforeAll(async () => {
    agent = await TestAgent.start({ timings, settings: { maxConcurrentSessions: 20 } });
  });
  afterEach(() => {
    agent.server.faults.length = 0;
    agent.server.errors.length = 0;
    agent.server.mostChunkBytes = Number.POSITIVE_INFINITY;
  });
  afterAll(() => agent[Symbol.asyncDispose]());

  test('3: polls follow the end of the one before by the time of the environment, and never run at the same time', async () => {
    await using agent = await TestAgent.start({ settings: { pollInterval: 3_600_000 }, env: { POLL_INTERVAL: '700' } });
    const { server } = agent;
    server.faults.push({ when: isPoll, delayMs: 1500, times: 3 });
    await waitUntil(() => server.polls().length >= 6, 'six polls');
    const polls = server.polls();
    for (let at = 1; at < 6; at++) {
      const pause = (polls[at]?.arrivedAt ?? 0) - (polls[at - 1]?.answeredAt ?? 0);
      expect(pause).toBeGreaterThan(650);
    }
    expect(server.mostOpen.get('GET /api/agent/v1/instructions?max=20')).toBe(1);
  });

  test('the server can wish for another interval', async () => {
    await using agent = await TestAgent.start({ settings: { pollInterval: 3_600_000 } });
    agent.server.wishedInterval = 100;
    expect(agent.server.polls().length).toBeLessThanOrEqual(1);
    // The first poll came before the wish, or with it: a second agent sees it at once.
    await agent.killed();
    agent.launch();
    await waitUntil(() => agent.server.polls().length > 4, 'polls at the wished interval');
  });

  test('7: a command whose acknowledgement is lost with the agent is not typed again', async () => {
    await using agent = await TestAgent.start({ timings });
    const { server } = agent;
    server.order('start', 'start_session', 's');
    await agent.acknowledged('start');
    const lost = { when: isAck, loseAnswer: true, times: Number.POSITIVE_INFINITY } as const;
    server.faults.push({ ...lost, status: 500, body: {} });
    server.order('type', 'command', 's', { command: 'once' });
    await agent.output('s', 'got: once\n');
    await agent.killed();
    server.faults.length = 0;
    agent.launch();
    await agent.online();
    const { result, error } = await agent.acknowledged('type');
    expect(result === 'done' || error?.code === 'unknown_outcome').toBe(true);
    server.order('next', 'command', 's', { command: 'next' });
    expect(await agent.output('s', 'got: next\n')).toBe('ready \ngot: once\ngot: next\n');
  });

  test('8: chunks whose answer was lost are stored once', async () => {
    const { server } = agent;
    server.faults.push({ when: isOutput, loseAnswer: true, times: 3 });
    server.order('start_s1', 'start_session', 's1', { prompt: numbers(20_000) });
    expect(await agent.output('s1', 'all done\n')).toBe(`ready \n${seq(20_000)}all done\n`);
    const { chunks, repeats, complete } = server.session('s1');
    expect(repeats).toBeGreaterThan(0);
    expect([...chunks.keys()].sort((a, b) => a - b)).toEqual(Array.from({ length: complete }, (_, at) => at + 1));
  });

  test('9: while the server is away the process is not held up and the agent stays small; afterwards every byte comes', async () => {
    await using agent = await TestAgent.start({ timings });
    const { server } = agent;
    server.order('start', 'start_session', 's');
    await agent.acknowledged('start');
    await agent.output('s', 'ready');
    const { port } = server;
    const before = residentBytes(agent.pid);
    // The process says on stderr when it has written everything; nobody reads it meanwhile.
    const done = `${agent.folder}/written`;
    server.order('type', 'command', 's', { command: `run seq 1 3000000; touch ${done}; echo all done` });
    await agent.acknowledged('type');
    await server.close();
    await waitUntil(() => existsSync(done), 'the process to have written 22 MB without a server');
    expect(residentBytes(agent.pid) - before).toBeLessThan(24 * 1024 * 1024);
    await server.listen(port);
    await waitUntil(() => server.session('s').newest().endsWith('all done\n'), 'all output', { timeoutMs: 50_000 });
    expect(server.session('s').text() === `ready \n${seq(3_000_000)}all done\n`).toBe(true);
    expect(server.errors).toEqual([]);
  });

  test('15: a refused token ends nothing: the sessions go on, and their output comes when it is accepted again', async () => {
    const { server } = agent;
    server.order('start_s2', 'start_session', 's2');
    await agent.output('s2', 'ready');
    const refused = { status: 401, body: { error: 'unauthorized' }, times: Number.POSITIVE_INFINITY };
    server.order('type_s2', 'command', 's2', { command: `run sleep 1; ${numbers(1000).slice(4)}` });
    await agent.acknowledged('type_s2');
    server.faults.push(refused);
    await waitUntil(() => agent.stderr.split('Agent token refused by server (401)\n').length > 2, 'the tenth refusal');
    const polls = server.polls().slice(-4);
    for (let at = 1; at < polls.length; at++) {
      expect((polls[at]?.arrivedAt ?? 0) - (polls[at - 1]?.answeredAt ?? 0)).toBeGreaterThan(timings.refusedMs - 20);
    }
    expect(agent.isRunning).toBe(true);
    server.faults.length = 0;
    expect(await agent.output('s2', 'all done\n')).toBe(`ready \n${seq(1000)}all done\n`);
    await waitUntil(() => agent.stdout.includes('[INFO] Agent token accepted again\n'), 'the line about it');
  });

  test('18: a redirection is not followed, and the token goes nowhere else', async () => {
    await using other = await StandInServer.start();
    const { server } = agent;
    server.faults.push({
      status: 302,
      headers: { Location: `${other.url}/api/agent/v1/instructions?max=20` },
      times: 6,
    });
    server.order('start_s3', 'start_session', 's3');
    expect(await agent.acknowledged('start_s3')).toMatchObject({ result: 'done' });
    expect(other.requests).toEqual([]);
  });

  test('23: a server that has forgotten a session ends nothing, and gets everything when it knows it again', async () => {
    const { server } = agent;
    server.faults.push({ when: isOutput, status: 404, body: {}, times: 3 });
    server.order('start_s4', 'start_session', 's4', { prompt: numbers(1000) });
    expect(await agent.output('s4', 'all done\n')).toBe(`ready \n${seq(1000)}all done\n`);
    expect(agent.stderr.match(/\[WARN\] The server does not know s4;/g)).toHaveLength(1);
  });

  test('a session that the server has deleted is ended', async () => {
    const { server } = agent;
    server.order('start_s5', 'start_session', 's5');
    await agent.output('s5', 'ready');
    server.faults.push({ when: isOutput, status: 404, body: { error: 'session_deleted' } });
    server.order('type_s5', 'command', 's5', { command: 'x' });
    await waitUntil(() => agent.stdout.includes('[INFO] Session terminated: s5\n'), 'the session to end');
  });

  test('a server that takes only small requests gets small ones; what is too large alone is dropped and told', async () => {
    const { server } = agent;
    server.mostChunkBytes = 1000;
    server.order('start_s6', 'start_session', 's6', {
      prompt: 'run echo small; sleep 0.2; dd if=/dev/zero bs=5000 count=1 status=none; sleep 0.2; echo end',
    });
    await agent.output('s6', 'end\n');
    expect(server.session('s6').text()).toBe('ready \nsmall\nend\n');
    const codes = server.errors.map(({ code }) => code);
    expect(codes).toContain('chunk_too_large');
    expect(codes).toContain('output_gap');
  });

  test('output that the server calls wrong is dropped once, and what follows comes', async () => {
    const { server } = agent;
    server.faults.push({ when: isOutput, status: 422, body: {}, times: 1 });
    server.order('start_s7', 'start_session', 's7');
    await waitUntil(() => server.errors.some(({ code }) => code === 'output_rejected'), 'the report');
    server.order('type_s7', 'command', 's7', { command: 'next' });
    expect(await agent.output('s7', 'next\n')).toBe('got: next\n');
  });

  test('a server that asks for what it has not got yet gets it again from the daemon', async () => {
    const { server } = agent;
    server.order('start_s8', 'start_session', 's8', { prompt: numbers(1000) });
    await agent.output('s8', 'all done\n');
    // As after a restored backup: it has forgotten everything.
    const text = server.session('s8').text();
    server.forget('s8');
    server.order('type_s8', 'command', 's8', { command: 'next' });
    expect(await agent.output('s8', 'next\n')).toBe(`${text}got: next\n`);
  });

  test('threat 6: hostile answers cost little, and the next good one is obeyed', async () => {
    await using agent = await TestAgent.start({ timings });
    const { server } = agent;
    const before = residentBytes(agent.pid);
    const huge = 'x'.repeat(64 * 1024 * 1024);
    const many = Array.from({ length: 10_000 }, (_, at) => ({ id: `x${at}`, type: 'dance', sessionId: 's' }));
    server.faults.push(
      { when: isPoll, status: 200, body: huge, times: 2 },
      { when: isPoll, status: 200, body: { instructions: many }, times: 1 },
      { when: isPoll, status: 200, body: '[[[[', times: 1 },
      { when: isPoll, status: 200, body: { instructions: [null, 1, [], { id: {} }], pollInterval: 'soon' }, times: 1 },
      { when: isPoll, status: 503, headers: { 'Retry-After': '0' }, times: 1 },
      { when: isPoll, status: 200, body: { instructions: [], pollInterval: -5 }, times: 1 },
    );
    server.order('start', 'start_session', 's');
    expect(await agent.acknowledged('start')).toMatchObject({ result: 'done' });
    expect(residentBytes(agent.pid) - before).toBeLessThan(48 * 1024 * 1024);
  });

  test('a clock that is ten minutes off is named, and nothing is lost', async () => {
    const { server } = agent;
    server.order('start_s9', 'start_session', 's9');
    await agent.output('s9', 'ready');
    server.skewMs = 600_000;
    const line =
      /\[ERROR\] The clock of this host and that of the server differ by (599|600) s: the server's is ahead;/;
    await waitUntil(() => line.test(agent.stderr), 'a line about the clock');
    server.skewMs = 0;
    server.order('type_s9', 'command', 's9', { command: 'x' });
    expect(await agent.output('s9', 'got: x\n')).toBe('ready \ngot: x\n');
  });
});
