/** `-metrics-addr`: the counters over HTTP (spec modes.md §14). Loaded only when asked for: prom-client is not light. */
import { createServer, type Server } from 'node:http';
import { Counter, Registry } from 'prom-client';
import type { Counters } from './counters.ts';

interface Row {
  readonly name: string;
  readonly help: string;
  readonly key: keyof Counters;
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
  { name: 'holdfast_overlong_lines_total', help: 'Connections closed for a line over the cap.', key: 'overlongLines' },
  { name: 'holdfast_peers_refused_total', help: 'Connections of other users, refused.', key: 'peersRefused' },
  {
    name: 'holdfast_busy_connections_total',
    help: 'Connections that reached the cap of requests in progress.',
    key: 'busyConnections',
  },
  {
    name: 'holdfast_git_outputs_capped_total',
    help: 'Calls of git ended because they printed more than the cap.',
    key: 'gitOutputsCapped',
  },
];

const contentType = 'text/plain; version=0.0.4; charset=utf-8';

export interface MetricsListener {
  close(): void;
}

/**
 * Serves `GET /metrics`; there is no authentication, so bind it to loopback.
 * @param address `host:port`; port 0 picks one; an empty host means every interface
 * @throws Error of the bind, or for an address that is none
 */
export async function serveMetrics(address: string, counters: Counters): Promise<MetricsListener> {
  const registry = new Registry();
  for (const { name, help, key } of rows) {
    new Counter({
      name,
      help,
      registers: [registry],
      collect() {
        this.reset();
        this.inc(counters[key]);
      },
    });
  }
  const server = createServer(async (request, response) => {
    const path = request.url?.split('?')[0];
    if (request.method !== 'GET' || path !== '/metrics') {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { 'Content-Type': contentType });
    response.end(await registry.metrics());
  });
  await bind(server, parseAddress(address));
  // A scrape in progress must not keep an ending daemon.
  return { close: () => server.close().closeAllConnections() };
}

function bind(server: Server, { host, port }: { host: string; port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, ...(host === '' ? {} : { host }) }, () => {
      server.removeListener('error', reject);
      server.on('error', () => {});
      server.unref();
      resolve();
    });
  });
}

function parseAddress(address: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(address);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) throw new Error(`listen tcp: address ${address}: want host:port`);
  return { host: match[1] ?? match[2] ?? '', port };
}
