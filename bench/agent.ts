/**
 * What the polling door costs: 100 sessions that write 1 MB/s together, processor time of agent, host daemon and keeper for each
 * GB that reaches the server, against a client that receives the same from the same kind of daemon at the rpc door.
 */
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../src/client/index.ts';
import { StandInServer } from '../test/doors/agent/stand-in-server.ts';
import { TestAgent } from '../test/doors/agent/test-agent.ts';
import { waitUntil } from '../test/support/wait.ts';
import { cpuSeconds, type Figures, interleave, roundsOr } from './support/processes.ts';
import { against, report } from './support/report.ts';

const sessions = 100;
/** Each writes 10 kB a second: a line that is long enough to be a chunk of its own. */
const writer = `#!/bin/sh
block=$(head -c 9999 /dev/zero | tr '\\0' x)
while sleep 1; do echo "$block"; done
`;
const measuredMs = 10_000;

/** CPU seconds for each GB (10^9 bytes) between two moments. */
async function costOf(pids: () => readonly number[], bytes: () => number): Promise<Figures> {
  const [pidsNow, before] = [pids(), bytes()];
  const cpu = (): number => pidsNow.reduce((sum, pid) => sum + cpuSeconds(pid), 0);
  const start = cpu();
  await sleep(measuredMs);
  return { secondsPerGB: (cpu() - start) / ((bytes() - before) / 1e9) };
}

async function throughAgent(): Promise<Figures> {
  await using agent = await TestAgent.start({ settings: { maxConcurrentSessions: 100, outputFlushInterval: 1000 } });
  writeFileSync(agent.cli, writer, { mode: 0o755 });
  const ids = Array.from({ length: sessions }, (_, at) => `s${at}`);
  for (const id of ids) {
    agent.server.order(`start_${id}`, 'start_session', id);
  }
  const started = (): boolean => ids.every((id) => agent.server.acknowledged(`start_${id}`).length > 0);
  await waitUntil(started, 'all sessions', { timeoutMs: 120_000 });
  const bytes = (): number => ids.reduce((sum, id) => sum + agent.server.session(id).bytes('stdout').length, 0);
  return await costOf(() => [agent.pid, ...agent.ownPids()], bytes);
}

async function throughRpc(): Promise<Figures> {
  // An agent without work brings up the same daemon; it is left out of the count.
  await using server = await StandInServer.start();
  await using agent = await TestAgent.start({ server });
  writeFileSync(agent.cli, writer, { mode: 0o755 });
  await using host = await connect({ socket: agent.socket });
  let received = 0;
  for (let at = 0; at < sessions; at++) {
    const session = await host.spawn({ id: `r${at}`, command: agent.cli });
    session.exit.catch(() => {});
    void (async () => {
      for await (const part of session.stdout) {
        received += part.length;
      }
    })().catch(() => {});
  }
  return await costOf(
    () => agent.ownPids(),
    () => received,
  );
}

const { agent = [], rpc } = await interleave(roundsOr(3), { agent: throughAgent, rpc: throughRpc });

report(
  against(
    'the rpc door',
    rpc?.map(({ secondsPerGB = 0 }) => secondsPerGB),
    {
      area: 'agent',
      what: 'polling door, 100 sessions with 1 MB/s in all: processor time of agent, daemon and keeper',
      unit: 's/GB',
      target: { atMost: 4 },
      ours: agent.map(({ secondsPerGB = 0 }) => secondsPerGB),
    },
  ),
);
