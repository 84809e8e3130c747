/** What is so at the moment of a scrape: sessions, memory, the event loop (design §3.9; spec modes.md §14 "more may follow"). */
import { Counter, Gauge, type Metric, type Registry } from 'prom-client';
import type { Counters } from '../../base/counters.ts';
import type { MaybePromise, SessionInfo, SessionState } from '../../engine/session-engine.ts';
import { type Distribution, latencyBuckets, type RpcLatency } from './rpc-latency.ts';
import type { SessionUsage } from './session-usage.ts';

/** By this name a metrics listener is known as one of ours. */
export const infoName = 'holdfast_info';

export interface MetricSources {
  readonly counters: Counters;
  readonly latency: RpcLatency;
  readonly version: string;
  /** Wire profile in force. */
  readonly profile: string;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** Whether the system tells the usage of a process without programs being started for it. */
  readonly showsUsage: boolean;
  connections(): number;
  sessions(): MaybePromise<readonly SessionInfo[]>;
  logLinesLost(): number;
  readonly memoryBudget: { readonly limitBytes: number; readonly heldBytes: number };
}

export function addGauges(registry: Registry, sources: MetricSources): void {
  const registers = [registry];
  const gauge = (name: string, help: string, value: () => number | Promise<number>): void => {
    new Gauge({
      name,
      help,
      registers,
      async collect() {
        this.set(await value());
      },
    });
  };
  const counter = (name: string, help: string, value: () => number): void => {
    new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(value());
      },
    });
  };

  new Gauge({
    name: infoName,
    help: 'Always 1; the labels name the version and the wire profile.',
    labelNames: ['version', 'profile'],
    registers,
  }).set({ version: sources.version, profile: sources.profile }, 1);
  gauge(
    'holdfast_start_time_seconds',
    'When the daemon started, in seconds since 1970.',
    () => sources.startedAt / 1000,
  );
  gauge('holdfast_connections', 'Open client connections.', () => sources.connections());
  counter('holdfast_log_lines_dropped_total', 'Lines the log could not be given.', () => sources.logLinesLost());
  addSessionGauges(registry, sources, gauge);
  addLoopMetrics(registry, sources.latency, gauge, counter);
  const { memoryBudget } = sources;
  gauge(
    'holdfast_held_bytes',
    'Bytes held for clients, as the memory budget counts them.',
    () => memoryBudget.heldBytes,
  );
  gauge('holdfast_memory_budget_bytes', 'The memory budget; +Inf without one.', () => memoryBudget.limitBytes);
  gauge('holdfast_memory_bytes', 'Resident memory of the daemon.', residentBytes);
  registerHistograms(registry, 'holdfast_rpc_duration_seconds', 'From a request to its answer, by method.', () =>
    [...sources.latency.byMethod].map(([method, distribution]) => ({ labels: { method }, distribution })),
  );
}

/** `NaN`, which the exposition format has for it, where the system does not tell (no /proc). */
function residentBytes(): number {
  try {
    return process.memoryUsage.rss();
  } catch {
    return Number.NaN;
  }
}

type AddGauge = (name: string, help: string, value: () => number | Promise<number>) => void;
type AddCounter = (name: string, help: string, value: () => number) => void;

const states: readonly SessionState[] = ['running', 'draining', 'exited'];

function addSessionGauges(registry: Registry, sources: MetricSources, gauge: AddGauge): void {
  new Gauge({
    name: 'holdfast_sessions',
    help: 'Processes by state: running, draining (ended, its output is still held open), exited (kept for replays).',
    labelNames: ['state'],
    registers: [registry],
    async collect() {
      const count = { running: 0, draining: 0, exited: 0 };
      for (const { state } of await sources.sessions()) {
        count[state]++;
      }
      for (const state of states) {
        this.set({ state }, count[state]);
      }
    },
  });
  gauge('holdfast_replay_bytes', 'Bytes of frames kept for replays, of all processes.', async () => {
    let bytes = 0;
    for (const { windowBytes } of await sources.sessions()) {
      bytes += windowBytes;
    }
    return bytes;
  });
  if (!sources.showsUsage) {
    return;
  }
  /** One look serves both gauges of a scrape. */
  let look: Promise<SessionUsage[]> | undefined;
  const usage = async (): Promise<SessionUsage[]> => {
    const { usageOf } = await import('./session-usage.ts');
    const running = (await sources.sessions()).filter(({ state }) => state === 'running');
    look ??= usageOf(running.map(({ pid }) => pid)).finally(() => {
      look = undefined;
    });
    return look;
  };
  const ofEach = (name: string, help: string, value: (usage: SessionUsage) => number): void => {
    new Gauge({
      name,
      help,
      // The one name of a process that is the system's and no word of a client's; the log tells which process it is.
      labelNames: ['pid'],
      registers: [registry],
      async collect() {
        const all = await usage();
        this.reset();
        for (const each of all) {
          this.set({ pid: String(each.pid) }, value(each));
        }
      },
    });
  };
  ofEach(
    'holdfast_session_cpu_seconds',
    'CPU time so far of each running process, without what it started.',
    ({ cpuSeconds }) => cpuSeconds,
  );
  ofEach(
    'holdfast_session_memory_bytes',
    'Resident memory of each running process, without what it started.',
    ({ memoryBytes }) => memoryBytes,
  );
}

/** From figures the runtime keeps anyway: nothing samples. */
function addLoopMetrics(registry: Registry, latency: RpcLatency, gauge: AddGauge, counter: AddCounter): void {
  counter('holdfast_event_loop_active_seconds_total', 'Time the event loop has spent working.', () => {
    return performance.eventLoopUtilization().active / 1000;
  });
  counter('holdfast_event_loop_turns_total', 'Turns of the event loop.', () => {
    return performance.nodeTiming.uvMetricsInfo?.loopCount ?? 0;
  });
  gauge('holdfast_event_loop_utilization', 'Share of its life that the event loop has worked, 0 to 1.', () => {
    return performance.eventLoopUtilization().utilization;
  });
  registerHistograms(
    registry,
    'holdfast_event_loop_delay_seconds',
    'How late a timer of 10 ms came; measured while requests come, and once for each scrape.',
    () => [{ labels: {}, distribution: latency.loopDelay }],
  );
}

interface LabelledDistribution {
  readonly labels: Readonly<Record<string, string>>;
  readonly distribution: Distribution;
}

/** prom-client's own histogram hashes labels at every observation; the registry only needs what `get` returns. */
function registerHistograms(registry: Registry, name: string, help: string, all: () => LabelledDistribution[]): void {
  const metric = {
    name,
    help,
    type: 'histogram',
    async get() {
      return { name, help, type: 'histogram', values: all().flatMap((one) => histogramValues(name, one)) };
    },
  };
  registry.registerMetric(metric as unknown as Metric);
}

function histogramValues(name: string, { labels, distribution }: LabelledDistribution) {
  let count = 0;
  const buckets = Array.from(distribution.counts, (each, bucket) => {
    count += each;
    const le = String(latencyBuckets[bucket] ?? '+Inf');
    return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: count };
  });
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: distribution.sum },
    { metricName: `${name}_count`, labels, value: count },
  ];
}
