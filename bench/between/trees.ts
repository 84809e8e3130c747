/**
 * Another tree of the project against this one, by processor time, on a machine that need not be quiet:
 *
 *     node bench/between/trees.ts ../before [area...]
 *
 * The other tree is a checkout with its packages installed. Both daemons, the same clients and the yardsticks meet the same moments: each
 * is measured once a round, in turns (HOLDFAST_BENCH_ROUNDS, default 5). Prints the table of docs/performance.md.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { startDaemon } from '../../test/support/daemon.ts';
import { cpuSeconds, type Figures, interleave, roundsOr, run, type Server, startServer } from '../support/processes.ts';
import { short, spread } from '../support/report.ts';
import { needed, yardstick } from '../support/yardsticks.ts';

const [otherTree, ...wanted] = process.argv.slice(2);
if (otherTree === undefined) {
  console.error('which tree? node bench/between/trees.ts <checkout> [area...]');
  process.exit(2);
}

interface Tree {
  /** `bin/holdfast` of it. */
  readonly program: string;
  readonly daemon: Place;
}

type Place = Pick<Server, 'pid' | 'socket' | 'token'>;

interface Area {
  /** Figures of one sample that are compared, with their units; less is better of all of them. */
  readonly figures: Readonly<Record<string, string>>;
  readonly ours: (tree: Tree) => Promise<Figures>;
  /** The same figures, as far as the yardstick has them. */
  readonly yardstick?: (() => Promise<Figures>) | undefined;
}

await using owned = new AsyncDisposableStack();
const folder = mkdtempSync('/tmp/hfb-');
owned.defer(() => rmSync(folder, { recursive: true, force: true }));
const noise = needed('noise');
let count = 0;

/** A tree with a daemon of its own. */
async function treeAt(path: string): Promise<Tree> {
  const program = join(resolve(path), 'bin/holdfast');
  const runDir = mkdtempSync('/tmp/hfb-');
  owned.defer(() => rmSync(runDir, { recursive: true, force: true }));
  const daemon = owned.use(await startDaemon({ at: { runDir, program } }));
  return { program, daemon: { pid: daemon.pid(), socket: daemon.socket, token: daemon.token } };
}

/** A yardstick that serves at a socket. */
async function serving(name: string, words: readonly string[]): Promise<Server | undefined> {
  return owned.use(
    await startServer(yardstick(name), ({ socket, token }) => [socket, ...(words.length > 0 ? words : [token])]),
  );
}

/** @param parts by which the processor time is divided, and what one part takes in microseconds is told */
async function withCpu(pid: number, parts: number, sample: () => Promise<Figures>): Promise<Figures> {
  const before = cpuSeconds(pid);
  const figures = await sample();
  return { ...figures, cpu: ((cpuSeconds(pid) - before) * 1e6) / parts };
}

function pings(
  pingCount: number,
  inFlight: number,
): Pick<Area, 'ours'> & { readonly of: (place: Place) => Promise<Figures> } {
  const of = (place: Place) =>
    withCpu(place.pid, pingCount, async () => {
      const { rate = 0 } = await run(needed('ping_client'), [place.socket, place.token, pingCount, inFlight]);
      return { each: 1e6 / rate };
    });
  return { of, ours: ({ daemon }) => of(daemon) };
}

/** A stream of `bytes`; a client that the machine held up for a whole window was dropped, and is measured again. */
async function stream(place: Place, bytes: number, words: readonly string[]): Promise<Figures> {
  for (;;) {
    try {
      return await withCpu(place.pid, bytes / 1e6, async () => {
        const client = [place.socket, place.token, `p${++count}`, 'spawn', 0, ...words];
        const { seconds = 0, wireBytes = 0 } = await run(needed('stream_client'), client);
        if (wireBytes < (bytes * 4) / 3) {
          throw new Error(`only ${wireBytes} bytes came`);
        }
        return { each: (seconds * 1e12) / bytes };
      });
    } catch (error) {
      console.error(`measured again: ${(error as Error).message}`);
    }
  }
}

async function streaming(bytes: number, writeBytes: number): Promise<Area> {
  const words = [noise, String(bytes), String(writeBytes)];
  const go = await serving('go_std', words);
  return {
    figures: { cpu: 'processor time of the daemon, us a MB', each: 'time, us a MB' },
    ours: ({ daemon }) => stream(daemon, bytes, words),
    yardstick: go && (() => stream(go, bytes, words)),
  };
}

const perPing = { cpu: 'processor time of the daemon, us a ping', each: 'time, us a ping' };

/** Each is prepared when its turn has come. */
const areas: Readonly<Record<string, () => Promise<Area>>> = {
  async bridge() {
    const socket = join(folder, 's');
    const through = async (words: readonly string[]) => {
      const figures = await run(needed('bridge_client'), [socket, 300, ...words]);
      return { p50: figures.p50 ?? 0, cpu: (figures.downCpuPerGB ?? 0) * 1e3, each: 1e6 / (figures.downMBs ?? 0) };
    };
    const go = yardstick('go_bridge');
    return {
      figures: { cpu: 'processor time, us a MB', each: 'time, us a MB', p50: 'echo of 100 bytes, us' },
      ours: ({ program }) => through([program, '-bridge', '-socket', socket]),
      yardstick: go === undefined ? undefined : () => through([go, socket]),
    };
  },
  async rpc() {
    const go = await serving('go_rpc', []);
    const { of, ours } = pings(200_000, 64);
    return { figures: perPing, ours, yardstick: go && (() => of(go)) };
  },
  async 'rpc, one in flight'() {
    const go = await serving('go_rpc', []);
    const { of, ours } = pings(10_000, 1);
    return { figures: perPing, ours, yardstick: go && (() => of(go)) };
  },
  stream: () => streaming(300_000_000, 65_536),
  'small-writes': () => streaming(50_000_000, 200),
  async replay() {
    const replays = 20;
    const full = new Map<Tree, string>();
    return {
      figures: { cpu: 'processor time of the daemon, us a window' },
      async ours(tree) {
        const { daemon } = tree;
        const id = full.get(tree) ?? `window${++count}`;
        if (!full.has(tree)) {
          await run(needed('stream_client'), [daemon.socket, daemon.token, id, 'spawn', 0, noise, '20000000', '65536']);
          full.set(tree, id);
        }
        return await withCpu(daemon.pid, replays, async () => {
          for (let index = 0; index < replays; index++) {
            await run(needed('stream_client'), [daemon.socket, daemon.token, id, 'reattach', 0]);
          }
          return {};
        });
      },
    };
  },
  async startup() {
    const empty = join(folder, 'empty.mjs');
    writeFileSync(empty, '');
    const starts = 20;
    const sample = async (words: readonly string[]) => {
      const sums = { cpu: 0, each: 0 };
      for (let index = 0; index < starts; index++) {
        const { cpuMs = 0, ms = 0 } = await run(needed('start_time'), words);
        sums.cpu += (cpuMs * 1e3) / starts;
        sums.each += (ms * 1e3) / starts;
      }
      return sums;
    };
    return {
      figures: { cpu: 'processor time of `-version`, us', each: 'time, us' },
      ours: ({ program }) => sample([program, '-version']),
      yardstick: () => sample([process.execPath, empty]),
    };
  },
  async latency() {
    const messages = 1_500;
    const child = [needed('timestamps'), String(messages)];
    const go = await serving('go_std', child);
    const of = (place: Place) =>
      withCpu(place.pid, messages, () =>
        run(needed('delay_client'), [place.socket, place.token, `p${++count}`, ...child]),
      );
    return {
      figures: { cpu: 'processor time of the daemon, us an output of 17 bytes', p50: 'delay, us' },
      ours: ({ daemon }) => of(daemon),
      yardstick: go && (() => of(go)),
    };
  },
  async spawn() {
    const starts = 500;
    return {
      figures: { cpu: 'processor time of the daemon, us a start of `true`' },
      ours: ({ daemon }) =>
        withCpu(daemon.pid, starts, () =>
          run(needed('spawn_client'), [daemon.socket, daemon.token, `r${++count}-`, starts, 8, '/bin/true']),
        ),
    };
  },
};

const before = await treeAt(otherTree);
const now = await treeAt(join(import.meta.dirname, '../..'));
const ratio = (some: readonly number[], others: readonly number[]) =>
  spread(some.map((value, round) => value / (others[round] ?? Number.NaN)));

console.log(
  '| area | what, less is better | before | now | now of before, in each round | of the yardstick: before, now |',
);
console.log('| --- | --- | --- | --- | --- | --- |');
for (const name of wanted.length > 0 ? wanted : Object.keys(areas)) {
  const area = await areas[name]?.();
  if (area === undefined) {
    console.error(`no such area: ${name}; there are: ${Object.keys(areas).join(', ')}`);
    process.exitCode = 2;
    break;
  }
  const samples = await interleave(roundsOr(5), {
    before: () => area.ours(before),
    now: () => area.ours(now),
    ...(area.yardstick && { yardstick: area.yardstick }),
  });
  for (const [figure, what] of Object.entries(area.figures)) {
    const of = (figures: readonly Figures[] | undefined) => figures?.map((each) => each[figure] ?? Number.NaN) ?? [];
    const [old, ours, theirs] = [of(samples.before), of(samples.now), of(samples.yardstick)];
    const each = ratio(ours, old);
    const compared =
      theirs.length === 0 ? '' : [old, ours].map((values) => short(ratio(values, theirs).median)).join(', ');
    console.log(
      `| ${name} | ${what} | ${short(spread(old).median)} | ${short(spread(ours).median)} | ${short(each.median)} (${short(each.min)} to ${short(each.max)}) | ${compared} |`,
    );
  }
}
