/**
 * Memory while the server is away: what many sessions write meanwhile lies on disk, and all of it comes afterwards. A few
 * seconds by default; with HOLDFAST_FULL_FAULTS 100 sessions with 1 MB/s in all, for seven minutes without a server.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startDaemon } from '../../support/daemon.ts';
import { residentBytes } from '../../support/processes.ts';
import { waitUntil } from '../../support/wait.ts';
import { TestAgent } from './test-agent.ts';

const isLong = process.env.HOLDFAST_FULL_FAULTS !== undefined;
const patienceMs = isLong ? 1_200_000 : 120_000;
const mebibyte = 1024 * 1024;
const timings = { backoffMs: 50, backoffMaxMs: 1000, pollMaxMs: 1000 } as const;

const ids = (count: number): string[] => Array.from({ length: count }, (_, at) => `s${at}`);

/** Numbered lines of 100 bytes. */
function lines(count: number): string {
  return Array.from({ length: count }, (_, at) => `${String(at + 1).padStart(99, '0')}\n`).join('');
}

/** Highest sums of resident memory over what was there before: of the agent, and of daemon and keeper together. */
class MemoryWatch {
  readonly #agent: number;
  readonly #holders: readonly number[];
  readonly #before: readonly [agent: number, holders: number];
  #most: [agent: number, holders: number] = [0, 0];

  constructor(agent: number, holders: readonly number[]) {
    this.#agent = agent;
    this.#holders = holders;
    this.#before = this.#now();
  }

  #now(): [agent: number, holders: number] {
    return [residentBytes(this.#agent), this.#holders.reduce((sum, pid) => sum + residentBytes(pid), 0)];
  }

  look(): void {
    const [agent, holders] = this.#now();
    this.#most = [Math.max(this.#most[0], agent), Math.max(this.#most[1], holders)];
  }

  /** In MiB. */
  get growth(): { readonly agent: number; readonly holders: number } {
    const [agent, holders] = this.#most.map((most, at) => Math.round((most - (this.#before[at] ?? 0)) / mebibyte));
    return { agent: agent ?? 0, holders: holders ?? 0 };
  }
}

function pidsIn(runDir: string): number[] {
  return ['daemon.lock', 'keeper.json'].map((name) => JSON.parse(readFileSync(join(runDir, name), 'utf8')).pid);
}

/** Starts sessions that write when `go` is there, and then say so by a file of their own. */
async function startWriters(agent: TestAgent, count: number, write: string): Promise<readonly string[]> {
  const { server, folder } = agent;
  for (const id of ids(count)) {
    const prompt = `run while [ ! -e ${folder}/go ]; do sleep 0.2; done; ${write}; touch ${folder}/${id}.done; echo all done`;
    server.order(`start_${id}`, 'start_session', id, { prompt });
  }
  await waitUntil(
    () =>
      ids(count).every(
        (id) => server.session(id).text() === 'ready \n' && server.acknowledged(`start_${id}`).length > 0,
      ),
    `${count} sessions`,
    { timeoutMs: 120_000 },
  );
  return ids(count);
}

interface Form {
  readonly sessions: number;
  /** Lines of 100 bytes that each of them writes. */
  readonly lines: number;
  /** The command that writes them. */
  readonly write: string;
  /** What the daemon keeps in memory for all. */
  readonly budgetMiB: number;
  /** A daemon of the test's own with that budget; else the one that the agent starts, with the product's. */
  readonly ownDaemon: boolean;
}

/** 120 MB as fast as it goes; 160 MB as frames. */
const burst: Form = {
  ...{ sessions: 20, lines: 60_000, budgetMiB: 32, ownDaemon: true },
  write: 'seq -f %099.0f 1 60000',
};
/** 1 MB/s in all: each session writes 50 kB every five seconds, 420 MB in seven minutes; 560 MB as frames. */
const minutes: Form = {
  ...{ sessions: 100, lines: 42_000, budgetMiB: 256, ownDaemon: false },
  write: 'n=0; while [ $n -lt 42000 ]; do seq -f %099.0f $((n + 1)) $((n + 500)); n=$((n + 500)); sleep 5; done',
};
const form = isLong ? minutes : burst;

test(
  '9: what many sessions write while the server is away takes disk and not memory, and comes once and in order',
  async () => {
    const { sessions, budgetMiB } = form;
    await using daemon = form.ownDaemon ? await startBudgetedDaemon(budgetMiB) : undefined;
    const settings = { maxConcurrentSessions: sessions, ...(daemon === undefined ? {} : { socket: daemon.socket }) };
    await using agent = await TestAgent.start({ timings, settings });
    const { server } = agent;
    const started = await startWriters(agent, sessions, form.write);
    const { port } = server;
    await server.close();
    const memory = new MemoryWatch(agent.pid, pidsIn(daemon?.runDir ?? join(agent.stateDir, 'run')));
    writeFileSync(join(agent.folder, 'go'), '');
    const haveWritten = (): boolean => {
      memory.look();
      return started.every((id) => existsSync(join(agent.folder, `${id}.done`)));
    };
    await waitUntil(haveWritten, 'every session to have written without a server', { timeoutMs: patienceMs });
    console.info(`${sessions} sessions without a server: memory grew by ${JSON.stringify(memory.growth)} MiB`);
    // A session waits in the agent with 256 KiB, and with the request that is made of it: text, and text in JSON.
    expect(memory.growth.agent).toBeLessThan(32 + 2 * sessions);
    expect(memory.growth.holders).toBeLessThan(1.25 * budgetMiB + 64);
    await server.listen(port);
    const expected = Buffer.from(`ready \n${lines(form.lines)}all done\n`);
    for (const id of started) {
      const session = server.session(id);
      await waitUntil(() => session.newest().endsWith('all done\n'), `all of ${id}`, { timeoutMs: patienceMs });
      expect(session.bytes('stdout').equals(expected), id).toBe(true);
    }
    expect(server.errors).toEqual([]);
  },
  isLong ? 3_600_000 : 360_000,
);

function startBudgetedDaemon(budgetMiB: number) {
  const budget = ['-memory-budget', String(budgetMiB * mebibyte)];
  return startDaemon({
    profile: 'latest',
    flags: ['-durable', '-mark-children', '-reap-tree', '-spool-bytes', '268435456', ...budget],
  });
}
