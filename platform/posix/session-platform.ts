/** The adapter for Linux and macOS as far as sessions need it. */
import type { SessionPlatform } from '../platform.ts';
import { createChildMarkers } from './child-markers.ts';
import { createHost } from './host.ts';
import { createIdentities } from './identity.ts';
import { createPaths } from './paths.ts';
import { createProcesses } from './processes.ts';
import { createRunDirectories } from './run-directories.ts';
import { createSharedMemory } from './shared-memory.ts';
import { startedWith } from './started-with.ts';
import { posixSystem as os } from './system.ts';
import { createTransport } from './transport.ts';

export function createSessionPlatform(): SessionPlatform {
  const paths = createPaths(os);
  const identities = createIdentities(os);
  return {
    paths,
    processes: createProcesses(identities, paths),
    transport: createTransport(os, paths),
    runDirectories: createRunDirectories(paths),
    host: createHost(os, paths),
    startedWith,
    childMarkers: createChildMarkers(os, identities),
    sharedMemory: os === 'linux' ? createSharedMemory() : undefined,
  };
}
