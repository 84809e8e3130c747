/**
 * Everything that can die or go wrong does, again and again, while sessions write and are typed into: 21, 22 and the chaos of
 * the issue. Half a minute by default, two minutes and more with HOLDFAST_FULL_FAULTS. HOLDFAST_CHAOS_SEED repeats a run.
 */
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFailed, test } from 'vitest';
import { processFacts, signalProcess } from '../../support/processes.ts';
import { waitUntil } from '../../support/wait.ts';
import type { SeenRequest } from './stand-in-server.ts';
import { TestAgent } from './test-agent.ts';

const isLong = process.env.HOLDFAST_FULL_FAULTS !== undefined;
const seed = Number(process.env.HOLDFAST_CHAOS_SEED ?? 20261128);
const rounds = isLong ? 80 : 12;
const sessions = ['a', 'b', 'c'] as const;

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function random(from: number): () => number {
  let state = from >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** So many lines are less than a pipe takes as a whole (PIPE_BUF): none is torn by what is typed. */
const linesOfRun = 60;

/** Writes numbered lines for ever at some hundred kB/s, and repeats what is typed. */
const writer = `#!/bin/sh
stop=$0.$$
(n=0; while [ ! -e "$stop" ]; do n=$((n + 1)); seq -f "$n:%g ----------------------------------------" ${linesOfRun}; sleep 0.02; done) &
while IFS= read -r line; do
  [ "$line" = stop ] && break
  echo "typed $line"
done
echo "$line" >"$stop"
# Whoever writes at the moment may finish its lines.
wait
echo "finished after $line"
`;

test(
  'the agent, its host daemon and the server fail at random: each byte once, each command at most once',
  async () => {
    console.info(`chaos of the polling door: seed ${seed}, ${rounds} rounds`);
    const next = random(seed);
    const pick = <T>(values: readonly T[]): T => values[Math.floor(next() * values.length)] as T;
    const timings = { backoffMs: 50, backoffMaxMs: 500, refusedMs: 300, unknownSessionMs: 300, pollMaxMs: 300 };
    await using agent = await TestAgent.start({ timings, settings: { onStop: 'keep' } });
    const { server } = agent;
    onTestFailed(() =>
      console.error([agent.stdout, agent.stderr, JSON.stringify(server.errors), agent.stateText()].join('\n')),
    );
    writeFileSync(agent.cli, writer, { mode: 0o755 });
    for (const id of sessions) {
      server.order(`start_${id}`, 'start_session', id);
      expect(await agent.acknowledged(`start_${id}`)).toMatchObject({ result: 'done' });
    }
    const typed: { readonly id: string; readonly session: string; readonly text: string }[] = [];
    const type = (): void => {
      const id = `type_${typed.length}`;
      const session = pick(sessions);
      typed.push({ id, session, text: `${id}!` });
      server.order(id, 'command', session, { command: `${id}!` });
    };
    const isPost = ({ method }: SeenRequest): boolean => method === 'POST';
    const happenings: Readonly<Record<string, () => Promise<void>>> = {
      'agent killed': async () => {
        await agent.killed();
        await sleep(next() * 500);
        agent.launch();
      },
      'daemon killed': async () => {
        const target = agent.daemon();
        if (target !== undefined) {
          signalProcess(target, 'SIGKILL');
        }
      },
      'answers lost': async () => {
        server.faults.push({ when: isPost, loseAnswer: true, times: 5 });
      },
      'answers late': async () => {
        server.faults.push({ delayMs: 400, times: 5 });
      },
      'instructions doubled': async () => {
        server.leastHandOuts = 2;
      },
      'token refused': async () => {
        const refused = { status: 401, body: {}, times: Number.POSITIVE_INFINITY };
        server.faults.push(refused);
        await sleep(isLong ? 5000 * next() : 800);
        server.faults.splice(server.faults.indexOf(refused), 1);
      },
      'server failing': async () => {
        server.faults.push({ status: 503, body: {}, times: 10 });
      },
      'server down': async () => {
        const { port } = server;
        await server.close();
        await sleep(isLong ? (downMs.shift() ?? 3000 * next()) : 1500);
        await server.listen(port);
      },
    };
    /** The first time it is away as long as the issue says; the other times are shorter, so that much happens in two minutes. */
    const downMs = [20_000];
    const seen: string[] = [];
    for (let round = 0; round < rounds; round++) {
      type();
      const name = round < 8 ? (Object.keys(happenings)[round] as string) : pick(Object.keys(happenings));
      seen.push(name);
      await happenings[name]?.();
      type();
      await sleep(200 + next() * 1300);
    }
    server.faults.length = 0;
    server.leastHandOuts = 1;
    const pids = server.statuses.at(-1)?.sessions.map(({ pid }) => pid) ?? [];
    expect(pids).toHaveLength(sessions.length);
    for (const { id } of typed) {
      const { result, error } = await agent.acknowledged(id);
      expect(result === 'done' || error?.code === 'unknown_outcome', `${id}: ${result} ${error?.code}`).toBe(true);
    }
    for (const id of sessions) {
      server.order(`stop_${id}`, 'command', id, { command: 'stop' });
    }
    for (const id of sessions) {
      expect(await agent.exit(id), seen.join(', ')).toMatchObject({ exitCode: 0 });
      const { chunks, complete } = server.session(id);
      await waitUntil(() => server.session(id).complete === chunks.size, `all of ${id}`);
      const numbers = [...chunks.keys()].sort((a, b) => a - b);
      expect(numbers).toEqual(Array.from({ length: complete }, (_, at) => at + 1));
      const lines = server.session(id).text().split('\n');
      expect(lines.slice(-2)).toEqual(['finished after stop', '']);
      for (const { id: order, session, text } of typed.filter((each) => each.session === id)) {
        const times = lines.filter((line) => line === `typed ${text}`).length;
        const isDone = server.acknowledged(order).some(({ result }) => result === 'done');
        expect(times, `${order} in ${session}`).toBeLessThanOrEqual(1);
        const near = lines.filter((line) => line.includes(text)).join(' | ');
        expect(times === 1 || !isDone, `${order} was acknowledged and is not there, but: ${near}`).toBe(true);
      }
      // The writer's lines are numbered, in order, without one missing.
      let [run, line] = [1, 0];
      for (const text of lines.filter((each) => each.endsWith('--'))) {
        const [, atRun, atLine] = /^(\d+):(\d+) -+$/.exec(text) ?? [];
        [run, line] = line === linesOfRun ? [run + 1, 1] : [run, line + 1];
        if (Number(atRun) !== run || Number(atLine) !== line) {
          throw new Error(`${id}: ${text.slice(0, 20)} stands where ${run}:${line} belongs`);
        }
      }
    }
    for (const pid of pids) {
      expect(processFacts(Number(pid))).toBeUndefined();
    }
    // Nobody is left but the agent, its daemon and its keeper.
    const own = (): number[] => [agent.pid, ...agent.ownPids()].sort((a, b) => a - b);
    const left = (): number[] => agent.processes().map(({ pid }) => pid);
    await waitUntil(() => String(left().sort((a, b) => a - b)) === String(own()), 'nobody else to be left');
    agent.signal('SIGTERM');
    expect(await agent.ended()).toBe(0);
  },
  isLong ? 1_800_000 : 120_000,
);
