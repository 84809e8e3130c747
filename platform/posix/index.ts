/** The adapter for Linux and macOS. */
import type { Platform } from '../platform.ts';
import { createChildMarkers } from './child-markers.ts';
import { createFiles } from './files.ts';
import { createGitHost } from './git-host.ts';
import { createHost } from './host.ts';
import { createIdentities } from './identity.ts';
import { createPaths } from './paths.ts';
import { createProcesses } from './processes.ts';
import { createRunDirectories } from './run-directories.ts';
import { createSharedMemory } from './shared-memory.ts';
import { startedWith } from './started-with.ts';
import { posixSystem } from './system.ts';
import { createTransport } from './transport.ts';
import { createTrust } from './trust.ts';

export function createPlatform(): Platform {
  const os = posixSystem;
  const paths = createPaths(os);
  const identities = createIdentities(os);
  const transport = createTransport(os, paths);
  return {
    name: 'posix',
    os,
    arch: goArchitecture[process.arch] ?? process.arch,
    paths,
    processes: createProcesses(identities, paths),
    transport,
    runDirectories: createRunDirectories(paths),
    trust: createTrust(),
    host: createHost(os, paths),
    startedWith,
    git: createGitHost(),
    files: createFiles(os, paths),
    childMarkers: createChildMarkers(os, identities),
    sharedMemory: os === 'linux' ? createSharedMemory() : undefined,
    // macOS would need lsof for the connections of a process, whose answers cannot be tried here, and a guess is no ground
    // for a signal.
    hostCleaning:
      os === 'linux'
        ? async () => (await import('./host-cleaning.ts')).createHostCleaning(paths, transport)
        : undefined,
  };
}

/** The wire has Go's names for processors (spec wire.md §7.2). */
const goArchitecture: Record<string, string> = { x64: 'amd64', ia32: '386' };
