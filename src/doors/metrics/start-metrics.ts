/** The metrics of a daemon that was asked for them; nothing of the listener is loaded otherwise. */

import { messageOf } from '../../base/error-texts.ts';
import type { MetricSources } from './metric-gauges.ts';
import type { MetricsServer, MetricsServerOptions } from './metrics-server.ts';
import { RpcLatency } from './rpc-latency.ts';

export interface MetricsOptions extends Omit<MetricsServerOptions, 'address' | 'sources'> {
  /** Setting `metrics-addr`; `undefined`: nobody asks. */
  readonly address: string | undefined;
  /** As {@link createLatency} has made it. */
  readonly latency: RpcLatency | undefined;
  readonly sources: Omit<MetricSources, 'latency'>;
}

/** Measures requests, only where somebody can ask for the figures. */
export function createLatency(address: string | undefined): RpcLatency | undefined {
  return address === undefined ? undefined : new RpcLatency();
}

/** A listener that cannot be had is told and costs the daemon nothing else. */
export async function startMetrics(options: MetricsOptions): Promise<MetricsServer | undefined> {
  const { address, latency, sources, log } = options;
  if (address === undefined || latency === undefined) {
    return undefined;
  }
  try {
    const { serveMetrics } = await import('./metrics-server.ts');
    return await serveMetrics({ ...options, address, sources: { ...sources, latency } });
  } catch (error) {
    log.error('Server', `metrics: ${messageOf(error)}`);
    return undefined;
  }
}
