import type { Socket } from 'node:net';

/** The descriptor of an open socket; -1 once it is closed. The runtime has no public way to tell it. */
export function socketDescriptor(socket: Socket): number {
  return (socket as unknown as { _handle?: { fd?: number } | null })._handle?.fd ?? -1;
}
