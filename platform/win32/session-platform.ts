/** The adapter for Windows as far as sessions need it. */
import type { SessionPlatform } from '../platform.ts';
import { createHost } from './host.ts';
import { createIdentities } from './identity.ts';
import { createPaths } from './paths.ts';
import { createProcesses } from './processes.ts';
import { createRunDirectories } from './run-directories.ts';
import { createSharedMemory } from './shared-memory.ts';
import { startedWith } from './started-with.ts';
import { createTransport } from './transport.ts';

export function createSessionPlatform(): SessionPlatform {
  const paths = createPaths();
  const runDirectories = createRunDirectories(paths);
  return {
    paths,
    processes: createProcesses(createIdentities(), paths),
    transport: createTransport(runDirectories, paths),
    runDirectories,
    host: createHost(paths),
    startedWith,
    childMarkers: undefined,
    sharedMemory: createSharedMemory(),
  };
}
