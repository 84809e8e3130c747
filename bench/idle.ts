/**
 * What a daemon costs while nobody asks for anything, and whether hours of clients that come and go make it grow.
 * Wake-ups are counted, not time: a count does not depend on the machine.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../src/client/index.ts';
import { startDaemon, type TestDaemon } from '../test/support/daemon.ts';
import { openDescriptors } from '../test/support/processes.ts';
import { memoryOf, roundsOr } from './support/processes.ts';
import { absolute, report } from './support/report.ts';

const area = 'idle';
/** The daemon counts as idle after a few seconds, and then gives pages back. */
const settleMs = 10_000;
const watchMs = 20_000;

/** Times any of its threads has begun to run again after waiting for something. */
function wakeUps(pid: number): number {
  return readdirSync(`/proc/${pid}/task`).reduce((sum, task) => {
    const status = readFileSync(`/proc/${pid}/task/${task}/status`, 'latin1');
    return sum + Number(/^voluntary_ctxt_switches:\s+(\d+)$/m.exec(status)?.[1]);
  }, 0);
}

/** Clock ticks of user and system time. */
function ticks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /s, '')
    .split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

interface Idle {
  readonly wakeUpsPerMinute: number;
  readonly ticks: number;
}

async function watch({ pid }: { readonly pid: number }): Promise<Idle> {
  const before = { wakeUps: wakeUps(pid), ticks: ticks(pid) };
  await sleep(watchMs);
  return {
    wakeUpsPerMinute: ((wakeUps(pid) - before.wakeUps) * 60_000) / watchMs,
    ticks: ticks(pid) - before.ticks,
  };
}

/** A daemon that holds ten sessions nobody looks at. */
async function idleDaemon(flags: readonly string[]): Promise<TestDaemon> {
  const daemon = await startDaemon({ profile: 'next', flags });
  await using host = await connect({ socket: daemon.socket, token: daemon.token });
  for (let n = 0; n < 10; n++) {
    await host.spawn({ id: `idle${n}`, command: 'cat' });
  }
  return daemon;
}

await using plain = await idleDaemon([]);
await using watched = await idleDaemon(['-metrics-addr', '127.0.0.1:0']);
await sleep(settleMs);
const samples = { plain: [] as Idle[], watched: [] as Idle[] };
for (let round = 0; round < roundsOr(3); round++) {
  samples.plain.push(await watch({ pid: plain.pid() }));
  samples.watched.push(await watch({ pid: watched.pid() }));
}

/**
 * An hour of a client that reconnects every second and finds its session again, after half an hour of the same in which
 * the heap gets its size; retention is shortened as much.
 */
const reconnects = 5_400;
const warmUp = 1_800;
await using busy = await startDaemon({ profile: 'next', timings: { retentionMs: 500, retentionCheckMs: 250 } });
const pid = busy.pid();
async function reconnect(n: number): Promise<void> {
  await using host = await connect({ socket: busy.socket, token: busy.token });
  if (n % 10 === 0) {
    await host.spawn({ id: `s${n / 10}`, command: 'sh', args: ['-c', 'echo out; read line; echo "$line"'] });
  } else {
    const job = await host.session(`s${Math.floor(n / 10)}`);
    if (n % 10 === 9) {
      await job.write('line\n');
    }
  }
}
const figures = (): { memory: number; descriptors: number } => ({
  memory: memoryOf(pid).private,
  descriptors: openDescriptors(pid).size,
});
let n = 0;
for (; n < warmUp; n++) {
  await reconnect(n);
}
await sleep(settleMs);
const early = figures();
for (; n < reconnects; n++) {
  await reconnect(n);
}
await sleep(settleMs);
const late = figures();

report([
  ...(['plain', 'watched'] as const).flatMap((which) => {
    const name = which === 'plain' ? 'idle daemon with ten sessions' : 'the same with a metrics listener';
    return [
      absolute({
        area,
        what: `${name}, wake-ups`,
        unit: 'in a minute',
        target: { atMost: 60 },
        ours: samples[which].map(({ wakeUpsPerMinute }) => wakeUpsPerMinute),
      }),
      absolute({
        area,
        what: `${name}, processor time in ${watchMs / 1000} s`,
        unit: 'clock ticks',
        target: { atMost: 1 },
        ours: samples[which].map((sample) => sample.ticks),
      }),
    ];
  }),
  absolute({
    area,
    what: `private memory after ${reconnects.toLocaleString('en')} reconnects, of that after ${warmUp}`,
    unit: 'times',
    target: { atMost: 1.25 },
    ours: [late.memory / early.memory],
  }),
  absolute({
    area,
    what: `descriptors more after ${reconnects.toLocaleString('en')} reconnects than after ${warmUp}`,
    unit: '',
    target: { atMost: 0 },
    ours: [late.descriptors - early.descriptors],
  }),
]);
