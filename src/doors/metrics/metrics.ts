/**
 * What `-metrics-addr` shows: the counters of the contract and our own (spec modes.md §14); gauges are metric-gauges.ts.
 * Loaded only when asked for: prom-client is not light, and its default metrics are never collected, because they sample
 * every 10 ms in an idle process. No label ever carries a client's word: paths and ids would leak and multiply.
 */
import { Counter, Registry } from 'prom-client';
import type { Counters } from '../../base/counters.ts';
import { addGauges, type MetricSources } from './metric-gauges.ts';

interface Row {
  readonly name: string;
  readonly help: string;
  readonly key: keyof Counters;
  /** The counter counts this many for each one that is shown. */
  readonly per?: number;
}

const rows: readonly Row[] = [
  { name: 'claustrum_connections_total', help: 'Client connections accepted.', key: 'connections' },
  { name: 'claustrum_process_spawns_total', help: 'Processes started.', key: 'processSpawns' },
  { name: 'claustrum_process_exits_total', help: 'Managed processes ended.', key: 'processExits' },
  { name: 'claustrum_reattaches_total', help: 'Reattach calls that found their process.', key: 'reattaches' },
  { name: 'claustrum_stream_bytes_total', help: 'Bytes read from stdout and stderr of processes.', key: 'streamBytes' },
  { name: 'claustrum_stdin_bytes_total', help: 'Bytes accepted for stdin of processes.', key: 'stdinBytes' },
  {
    name: 'holdfast_slow_readers_dropped_total',
    help: 'Connections closed because they fell out of a replay window.',
    key: 'slowReadersDropped',
  },
  { name: 'holdfast_paced_total', help: 'Times a process was held back for a slow client.', key: 'paced' },
  {
    name: 'holdfast_paced_seconds_total',
    help: 'How long processes were held back for slow clients.',
    key: 'pacedMs',
    per: 1000,
  },
  {
    name: 'holdfast_stdin_queue_full_total',
    help: 'Processes whose stdin queue has been full.',
    key: 'stdinQueueFull',
  },
  {
    name: 'holdfast_replay_evicted_frames_total',
    help: 'Frames dropped from full replay windows.',
    key: 'replayEvictedFrames',
  },
  { name: 'holdfast_spooled_bytes_total', help: 'Bytes of frames written to spools.', key: 'spooledBytes' },
  { name: 'holdfast_spool_failures_total', help: 'Times a spool could not be written or read.', key: 'spoolFailures' },
  { name: 'holdfast_overlong_lines_total', help: 'Connections closed for a line over the cap.', key: 'overlongLines' },
  { name: 'holdfast_peers_refused_total', help: 'Connections of other users, refused.', key: 'peersRefused' },
  { name: 'holdfast_sessions_refused_total', help: 'Spawns refused for max-sessions.', key: 'sessionsRefused' },
  {
    name: 'holdfast_tree_processes_ended_total',
    help: 'Processes that ended sessions had left, ended for reap-tree.',
    key: 'treeProcessesEnded',
  },
  { name: 'holdfast_detached_ended_total', help: 'Processes ended for detached-ttl.', key: 'detachedEnded' },
  {
    name: 'holdfast_newcomers_refused_total',
    help: 'Connections closed because they and others held too much without having shown the token.',
    key: 'newcomersRefused',
  },
  {
    name: 'holdfast_metrics_connections_cut_total',
    help: 'Connections to the metrics that were cut: requests without waiting, an answer not taken, too many open.',
    key: 'metricsConnectionsCut',
  },
  {
    name: 'holdfast_busy_connections_total',
    help: 'Connections that reached the cap of requests in progress.',
    key: 'busyConnections',
  },
  {
    name: 'holdfast_stdin_refused_bytes_total',
    help: 'Bytes for stdin of processes refused because the queue was full.',
    key: 'stdinRefusedBytes',
  },
  {
    name: 'holdfast_memory_budget_reached_total',
    help: 'Times frames were dropped because the memory budget was reached.',
    key: 'memoryBudgetReached',
  },
  {
    name: 'holdfast_memory_budget_dropped_bytes_total',
    help: 'Bytes of frames dropped because the memory budget was reached.',
    key: 'memoryBudgetFrameBytes',
  },
  {
    name: 'holdfast_memory_budget_refused_total',
    help: 'Requests refused because the memory budget was reached.',
    key: 'memoryBudgetRefused',
  },
  {
    name: 'holdfast_log_rotations_total',
    help: 'Times the log reached its limit and started over.',
    key: 'logRotations',
  },
  {
    name: 'holdfast_wire_log_frames_lost_total',
    help: 'Frames the wire log could not be given.',
    key: 'wireLogFramesLost',
  },
  {
    name: 'holdfast_git_outputs_capped_total',
    help: 'Calls of git ended because they printed more than the cap.',
    key: 'gitOutputsCapped',
  },
  {
    name: 'holdfast_git_calls_queued_total',
    help: 'Calls of git that waited because eight were running.',
    key: 'gitCallsQueued',
  },
  {
    name: 'holdfast_git_limits_reached_total',
    help: 'Requests refused because something in a repository is more than is looked at.',
    key: 'gitLimitsReached',
  },
  { name: 'holdfast_hostclean_passes_total', help: 'Passes of the host cleaner.', key: 'hostCleanPasses' },
  {
    name: 'holdfast_hostclean_groups_ended_total',
    help: 'Orphaned groups of the agent CLI ended by the host cleaner.',
    key: 'hostCleanGroupsEnded',
  },
  {
    name: 'holdfast_hostclean_daemons_retired_total',
    help: 'Unused daemons ended by the host cleaner.',
    key: 'hostCleanDaemonsRetired',
  },
  {
    name: 'holdfast_hostclean_directories_removed_total',
    help: 'Unused run directories removed by the host cleaner.',
    key: 'hostCleanDirectoriesRemoved',
  },
  {
    name: 'holdfast_hostclean_refusals_total',
    help: 'Orphans and unused run directories that the host cleaner left alone.',
    key: 'hostCleanRefusals',
  },
  {
    name: 'holdfast_hostclean_caps_total',
    help: 'Caps that a pass of the host cleaner reached.',
    key: 'hostCleanCaps',
  },
  { name: 'holdfast_keeper_starts_total', help: 'Keepers of durable sessions started.', key: 'keeperStarts' },
  {
    name: 'holdfast_keeper_adoptions_total',
    help: 'Keepers with their sessions adopted from an earlier daemon.',
    key: 'keeperAdoptions',
  },
  {
    name: 'holdfast_keepers_found_dead_total',
    help: 'Keepers on record that had died without removing it.',
    key: 'keepersFoundDead',
  },
  {
    name: 'holdfast_keeper_deaths_total',
    help: 'Keepers that died in use; each of their sessions ended visibly.',
    key: 'keeperDeaths',
  },
  {
    name: 'holdfast_keeper_refusals_total',
    help: 'Keepers that were not adopted, each with its reason in the log.',
    key: 'keeperRefusals',
  },
  {
    name: 'holdfast_keeper_channel_losses_total',
    help: 'Times the channel to a living keeper was lost.',
    key: 'keeperChannelLosses',
  },
];

/** All values are read during a scrape; nothing runs between two scrapes. */
export function createRegistry(sources: MetricSources): Registry {
  const registry = new Registry();
  for (const { name, help, key, per = 1 } of rows) {
    new Counter({
      name,
      help,
      registers: [registry],
      collect() {
        this.reset();
        this.inc(sources.counters[key] / per);
      },
    });
  }
  addGauges(registry, sources);
  return registry;
}
