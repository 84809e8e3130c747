/** Named pipes: both ends. */
import type { Paths } from '../paths.ts';
import type { RunDirectories } from '../run-directories.ts';
import type { Transport } from '../transport.ts';
import { createDialer } from './dial.ts';
import { createListen } from './listen.ts';
import { peerOf } from './peer-credentials.ts';

/** What a test replaces to play another user or a squatter. */
export interface TransportOptions {
  /** Name of the next pipe. */
  readonly nextName?: () => string;
  /** Security identifier of the user whose pipes we trust. */
  readonly trustedUser?: () => string;
}

export function createTransport(
  runDirectories: RunDirectories,
  paths: Paths,
  { nextName, trustedUser }: TransportOptions = {},
): Transport {
  return {
    ...createDialer(paths, trustedUser),
    listensOnAnyPath: false,
    foreignNames: [],
    listen: createListen(runDirectories, nextName),
    peerOf,
  };
}
