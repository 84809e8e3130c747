/** What a sender wrote as `to`, made what a broker understands (spec mesh.md §9.5). */
import type { Peer } from './broker.ts';
import { isKey } from './member.ts';

/** `key` is the member whose messages are encrypted; without one everybody may read them. */
export interface Route {
  readonly targetSpec: string;
  readonly key?: string;
}

/** A route that is known at once, or a search among the peers that are connected now. */
export type Target =
  | Route
  | {
      /** @throws UnknownPeer */
      find(peers: readonly Peer[], ownKey: string): Route;
    };

/** It may come: the message is tried again. The text is the row's `last_error`. */
export class UnknownPeer extends Error {
  override readonly name = 'UnknownPeer';
}

/** @param to as written, trimmed */
export function targetOf(to: string): Target {
  if (to === '*' || to.startsWith('@') || /^#.{20,}$/s.test(to)) {
    return { targetSpec: to };
  }
  const lower = to.toLowerCase();
  if (isKey(lower)) {
    return { targetSpec: lower, key: lower };
  }
  if (/^[0-9a-f]{16,63}$/.test(lower)) {
    return {
      find: (peers, ownKey) =>
        theOne(
          keysOf(peers, ({ key, session }) => key.startsWith(lower) || session.startsWith(lower)),
          ownKey,
          {
            none: `no peer matching prefix "${to}"`,
            several: (count) => `prefix "${to}" is ambiguous (${count} matches)`,
          },
        ),
    };
  }
  return {
    find: (peers, ownKey) =>
      theOne(
        keysOf(peers, ({ displayName }) => displayName.toLowerCase() === lower),
        ownKey,
        {
          none: `peer "${to}" not found`,
          several: (count) => `peer name "${to}" is ambiguous (${count} matches); use a member key`,
        },
      ),
  };
}

interface ListedPeer {
  /** Of the member, and of the session where that has one of its own (daemons of generation 0.9). */
  readonly key: string;
  readonly session: string;
  readonly displayName: string;
}

/** Different members; one may be connected several times. */
function keysOf(peers: readonly Peer[], matches: (peer: ListedPeer) => boolean): ReadonlySet<string> {
  const keys = new Set<string>();
  for (const { pubkey, memberPubkey, displayName } of peers) {
    const key = isKey(memberPubkey) ? memberPubkey : pubkey;
    if (isKey(key) && typeof displayName === 'string') {
      if (matches({ key, session: isKey(pubkey) ? pubkey : key, displayName })) {
        keys.add(key);
      }
    }
  }
  return keys;
}

function theOne(
  found: ReadonlySet<string>,
  ownKey: string,
  texts: { readonly none: string; several(count: number): string },
): Route {
  // Somebody of our own name is meant before ourselves.
  const keys = found.size > 1 ? [...found].filter((key) => key !== ownKey) : [...found];
  const [key] = keys;
  if (key === undefined) {
    throw new UnknownPeer(texts.none);
  }
  if (keys.length > 1) {
    throw new UnknownPeer(texts.several(keys.length));
  }
  return { targetSpec: key, key };
}
