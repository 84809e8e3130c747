/** The outbox and the inbox of a daemon, as a program sees them over HTTP. */
import { waitUntil } from '../../support/wait.ts';
import type { TestDaemon } from './test-daemon.ts';

export type Item = Readonly<Record<string, unknown>>;

/** Oldest first, at most 500. */
export async function outboxOf(daemon: TestDaemon): Promise<readonly Item[]> {
  return (await daemon.items('/v1/outbox?limit=500')).toReversed();
}

/** Oldest first, at most 1000. */
export async function inboxOf(daemon: TestDaemon): Promise<readonly Item[]> {
  return (await daemon.items('/v1/inbox?limit=1000')).toReversed();
}

/** The row of a key. */
export async function rowOf(daemon: TestDaemon, key: string): Promise<Item | undefined> {
  return (await outboxOf(daemon)).find(({ client_message_id }) => client_message_id === key);
}

/** The row of a key, once it has all values of `wanted`. */
export async function untilRow(daemon: TestDaemon, key: string, wanted: Item): Promise<Item> {
  let row: Item | undefined;
  const look = async (): Promise<Item | undefined> => {
    row = await rowOf(daemon, key);
    return Object.entries(wanted).every(([name, value]) => row?.[name] === value) ? row : undefined;
  };
  return await waitUntil(look, `the row ${key} as ${JSON.stringify(wanted)}`).catch((error: unknown) => {
    throw new Error(`the row is ${JSON.stringify(row)}\n${daemon.output}`, { cause: error });
  });
}
