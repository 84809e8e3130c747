/** `/v1/version` and `/v1/health` (spec mesh.md §5). */
import type { BrokerState } from '../broker/broker.ts';
import type { Routes } from './routes.ts';

/** The generation of the mesh daemon that this door speaks, which its clients compare; the program has a version of its own. */
export const daemonVersion = {
  daemon_version: '0.9.0',
  ipc_api: 'v1',
  ipc_features: ['version', 'health', 'send', 'inbox', 'events', 'peers', 'profile'],
  schema_version: 1,
} as const;

export interface MeshStatus {
  readonly slug: string;
  brokerState(): BrokerState;
}

export function statusRoutes({ slug, brokerState }: MeshStatus): Routes {
  return {
    'GET /v1/version': { answer: () => ({ status: 200, body: daemonVersion }) },
    'GET /v1/health': {
      answer: () => ({
        status: 200,
        body: { ok: true, pid: process.pid, brokers: { [slug]: brokerState() } },
      }),
    },
  };
}
