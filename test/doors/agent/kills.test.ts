/**
 * The agent, or its host daemon, killed again and again while three sessions write 1 MB/s each and the server answers. Three
 * kills each by default; with HOLDFAST_FULL_FAULTS one every two seconds for a minute, as the contract has it.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { isRunning, signalProcess } from '../../support/processes.ts';
import { waitUntil } from '../../support/wait.ts';
import { TestAgent } from './test-agent.ts';

const isLong = process.env.HOLDFAST_FULL_FAULTS !== undefined;
const kills = isLong ? 30 : 3;
const betweenMs = isLong ? 2000 : 0;
const sessions = ['a', 'b', 'c'] as const;
const timings = { backoffMs: 50, backoffMaxMs: 400 } as const;

/** Numbered lines of 100 bytes, 200 kB five times a second, until the file `stop` is there; a signal or a failed write is told. */
const writer = `#!/bin/sh
trap 'echo "noticed a signal" >&2' HUP INT TERM PIPE CONT
n=0
while [ ! -e "$1" ]; do
  seq -f %099.0f $((n + 1)) $((n + 2000)) || echo "noticed a failed write" >&2
  n=$((n + 2000))
  sleep 0.2
done
echo "wrote $n"
`;

const victims: Readonly<Record<string, (agent: TestAgent) => Promise<void>>> = {
  '21: the agent': async (agent) => {
    await agent.killed();
    agent.launch();
  },
  '22: the host daemon': async (agent) => {
    const daemon = await waitUntil(() => agent.daemon(), 'a daemon', { timeoutMs: 60_000 });
    signalProcess(daemon, 'SIGKILL');
    await waitUntil(() => agent.daemon() !== undefined && !isRunning(daemon), 'the next daemon', { timeoutMs: 60_000 });
  },
};

test.each(Object.entries(victims))(
  '%s is killed again and again: every chunk is stored once, and no process notices',
  async (_, kill) => {
    await using agent = await TestAgent.start({ timings, settings: { outputFlushInterval: 100 } });
    const { server } = agent;
    const stop = join(agent.folder, 'stop');
    writeFileSync(agent.cli, writer, { mode: 0o755 });
    for (const id of sessions) {
      server.order(`start_${id}`, 'start_session', id, { args: [stop] });
      expect(await agent.acknowledged(`start_${id}`)).toMatchObject({ result: 'done' });
    }
    const goesOn = async (): Promise<void> => {
      const before = sessions.map((id) => server.session(id).complete);
      const hasMore = (): boolean => sessions.every((id, at) => server.session(id).complete > (before[at] ?? 0));
      await waitUntil(hasMore, `more output of each session\n${agent.stderr}`, { timeoutMs: 60_000 });
    };
    await goesOn();
    for (let time = 0; time < kills; time++) {
      await kill(agent);
      await (isLong ? sleep(betweenMs) : goesOn());
    }
    writeFileSync(stop, '');
    for (const id of sessions) {
      expect(await agent.exit(id)).toMatchObject({ exitCode: 0, signal: null });
      const session = server.session(id);
      await waitUntil(() => session.complete === session.chunks.size, `all of ${id}`, { timeoutMs: 60_000 });
      expect(session.text('stderr')).toBe('');
      const lines = session.text().split('\n');
      const count = Number(/^wrote (\d+)$/.exec(lines.at(-2) ?? '')?.[1]);
      expect(lines.length).toBe(count + 2);
      expect(lines.findIndex((line, at) => at < count && Number(line) !== at + 1)).toBe(-1);
    }
    expect(server.errors).toEqual([]);
  },
  isLong ? 600_000 : 180_000,
);
