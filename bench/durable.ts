/**
 * What `-durable` costs: the same daemon with and without it, in turns (spec durable.md §8). CPU time is that of daemon and
 * keeper together.
 */

import { startDaemon, type TestDaemon } from '../test/support/daemon.ts';
import { connectTo, start } from '../test/support/host.ts';
import { endFlood, floodingChild, pingDuringFlood } from './support/flood.ts';
import { cpuSeconds, type Figures, interleave, memoryOf, roundsOr, run, startServer } from './support/processes.ts';
import { absolute, against, report } from './support/report.ts';
import { needed, yardstick as yardstickOf } from './support/yardsticks.ts';

const area = 'durable';
const yardstick = 'without durable';
const streamBytes = 300_000_000;
const smallOutputs = '1500';
const spawns = 500;
const inFlight = 8;
/** Longer than the product waits before it counts as idle. */
const idleMs = 8_000;
const idleSessions = 100;
const fullSessions = 100;
/** One session's window of 16 MiB, nearly filled: a client of the library takes it for a failure when its first frame is gone. */
const windowBytes = 12_400_000;

const stream = needed('stream_client');
const delay = needed('delay_client');
const spawnClient = needed('spawn_client');
const noise = needed('noise');
const timestamps = needed('timestamps');

await using plain = await startDaemon();
await using durable = await startDaemon({ flags: ['-durable'] });
const keeperPid = await untilKeeper(durable);
let count = 0;

async function untilKeeper(daemon: TestDaemon): Promise<number> {
  await using client = await connectTo(daemon);
  // The keeper has started when the first session has.
  const first = await start(client, 'first', 'true');
  await first.ended();
  const { keeper } = await client.describe();
  if (keeper === undefined) {
    throw new Error('a durable daemon tells no keeper');
  }
  return keeper.pid;
}

const cpuOf = (daemon: TestDaemon): number =>
  cpuSeconds(daemon.pid()) + (daemon === durable ? cpuSeconds(keeperPid) : 0);

async function streamed(daemon: TestDaemon): Promise<Figures> {
  const before = cpuOf(daemon);
  const child = [noise, String(streamBytes), '65536'];
  const { seconds = 0 } = await run(stream, [daemon.socket, daemon.token, `s${++count}`, 'spawn', 0, ...child]);
  return { mbs: streamBytes / 1e6 / seconds, cpu: (cpuOf(daemon) - before) / (streamBytes / 1e9) };
}

const both = (sample: (daemon: TestDaemon) => Promise<Figures>, rounds: number) =>
  interleave(roundsOr(rounds), { durable: () => sample(durable), plain: () => sample(plain) });

const streams = await both(streamed, 5);
const delays = await both(
  (daemon) => run(delay, [daemon.socket, daemon.token, `d${++count}`, timestamps, smallOutputs]),
  5,
);
const rates = await both(
  (daemon) => run(spawnClient, [daemon.socket, daemon.token, `r${++count}-`, spawns, inFlight, '/bin/true']),
  5,
);

await using goStd = await startServer(yardstickOf('go_std'), ({ socket }) => [socket, ...floodingChild]);
const floods = await interleave(roundsOr(5), {
  durable: () => pingDuringFlood(durable, (id) => endFlood(durable, id)),
  ...(goStd && { goStd: () => pingDuringFlood(goStd) }),
});

const figures = (samples: readonly Figures[] | undefined, name: string): number[] =>
  (samples ?? []).map((each) => each[name] ?? Number.NaN);

const common = { area, yardstick };
report([
  ...against(yardstick, figures(streams.plain, 'mbs'), {
    ...{ ...common, what: 'durable: stream, 64 KiB writes', unit: 'MB/s', target: { atLeast: 0.75 } },
    ours: figures(streams.durable, 'mbs'),
  }),
  ...against(yardstick, figures(streams.plain, 'cpu'), {
    ...{ ...common, what: 'durable: CPU time of daemon and keeper', unit: 's/GB', target: { atMost: 1.5 } },
    ours: figures(streams.durable, 'cpu'),
  }),
  ...against(yardstick, figures(delays.plain, 'p50'), {
    ...{ ...common, what: 'durable: delay of a 17-byte output, p50', unit: 'us', target: { atMost: 1.6 } },
    ours: figures(delays.durable, 'p50'),
  }),
  ...against('go_std', goStd && figures(floods.goStd, 'p50'), {
    ...{ area, what: 'durable: server.ping while another child floods, p50', unit: 'us', target: { atMost: 2 } },
    ours: figures(floods.durable, 'p50'),
  }),
  ...against(yardstick, figures(rates.plain, 'rate'), {
    ...{ ...common, what: 'durable: spawn `true`, 8 at a time', unit: '/s', target: { atLeast: 0.8 } },
    ours: figures(rates.durable, 'rate'),
  }),
  ...(await memory()),
  ...(await adoption()),
]);

/** What keeper and daemon hold for themselves, idle, and the keeper for each session that prints nothing. */
async function memory() {
  {
    // What is compiled for the first time stays larger until the next start, and is kept when the process is idle.
    await using first = await startDaemon({ flags: ['-durable'] });
    await untilKeeper(first);
    await new Promise((resolve) => setTimeout(resolve, idleMs));
  }
  await using daemon = await startDaemon({ flags: ['-durable'] });
  const keeper = await untilKeeper(daemon);
  // Both give memory back when they have become idle.
  await new Promise((resolve) => setTimeout(resolve, idleMs));
  const idle = { keeper: memoryOf(keeper).private, daemon: memoryOf(daemon.pid()).private };
  await using client = await connectTo(daemon);
  const held: number[] = [];
  // The first ones have their code compiled, which is no part of a session.
  for (const batch of ['first', 'second']) {
    for (let index = 0; index < idleSessions; index++) {
      await start(client, `${batch}${index}`, 'sleep', ['600']);
    }
    await new Promise((resolve) => setTimeout(resolve, idleMs));
    held.push(memoryOf(keeper).private);
  }
  const [before = 0, after = 0] = held;
  const each = ((after - before) * 1000) / idleSessions;
  await client.request('holdfast.release', { all: true, timeoutMs: 1000 });
  return [
    absolute({ area, what: 'durable: keeper idle, private', unit: 'MB', target: { atMost: 14 }, ours: [idle.keeper] }),
    absolute({
      area,
      what: 'durable: daemon in front, private',
      unit: 'MB',
      target: { atMost: 16 },
      ours: [idle.daemon],
    }),
    absolute({
      area,
      what: 'durable: an idle session in the keeper',
      unit: 'KB',
      target: { atMost: 24 },
      ours: [each],
    }),
  ];
}

/** From the start of a daemon to the first replayed byte, with a hundred full windows in the keeper. */
async function adoption() {
  await using daemon = await startDaemon({ flags: ['-durable', '-memory-budget', '0'] });
  await using filler = await connectTo(daemon);
  for (let index = 0; index < fullSessions; index++) {
    const job = await filler.spawn({ id: `full${index}`, command: noise, args: [String(windowBytes), '65536'] });
    await Promise.all([job.stdout.pipeTo(new WritableStream()), job.stderr.cancel()]);
    await job.exit;
  }
  const seconds: number[] = [];
  for (let round = 0; round < roundsOr(5); round++) {
    await daemon.kill();
    const begin = performance.now();
    await daemon.start();
    await using client = await connectTo(daemon);
    const job = await client.session('full0', { fromSeq: 0 });
    await job.stdout.getReader().read();
    seconds.push((performance.now() - begin) / 1000);
  }
  return [
    absolute({
      area,
      what: 'durable: start to first replayed byte, 100 full windows',
      unit: 's',
      target: { atMost: 1 },
      ours: seconds,
    }),
  ];
}
