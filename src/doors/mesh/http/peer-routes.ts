/** `/v1/peers` and `/v1/profile` (spec mesh.md §5). */
import { messageOf } from '../../../base/error-texts.ts';
import { refusal } from '../answer.ts';
import type { Broker, ProfileChange } from '../broker/broker.ts';
import type { Routes } from './routes.ts';

const profileBytes = 16 * 1024;
const statuses: readonly unknown[] = ['idle', 'working', 'dnd'];
const isText = (value: unknown): boolean => typeof value === 'string';

/** What each key of a profile may be; the order is that of the answer. */
const profileKeys: Readonly<Record<keyof ProfileChange, (value: unknown) => boolean>> = {
  summary: isText,
  status: (value) => statuses.includes(value),
  visible: (value) => typeof value === 'boolean',
  avatar: isText,
  title: isText,
  bio: isText,
  capabilities: (value) => Array.isArray(value) && value.every(isText),
};

export function peerRoutes(broker: Pick<Broker, 'peers' | 'changeProfile'>): Routes {
  return {
    'GET /v1/peers': {
      async answer() {
        try {
          return { status: 200, body: { peers: await broker.peers() } };
        } catch (error) {
          return { status: 502, body: { error: 'broker_unreachable', detail: messageOf(error) } };
        }
      },
    },
    'POST /v1/profile': {
      limitBytes: profileBytes,
      answer({ body }) {
        if (typeof body !== 'object' || body === null || Array.isArray(body)) {
          return refusal(400, 'expected JSON object');
        }
        const given = Object.entries(profileKeys).flatMap(([key, isRight]) => {
          const value = (body as Record<string, unknown>)[key];
          return isRight(value) ? [[key, value] as const] : [];
        });
        if (given.length > 0) {
          broker.changeProfile(Object.fromEntries(given) as ProfileChange);
        }
        return { status: 200, body: { ok: true, applied: given.map(([key]) => key) } };
      },
    },
  };
}
