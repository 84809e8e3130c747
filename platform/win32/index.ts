/** The adapter for Windows. */
import type { Platform } from '../platform.ts';
import { createFiles } from './files.ts';
import { createGitHost } from './git-host.ts';
import { createHost } from './host.ts';
import { createIdentities } from './identity.ts';
import { createPaths } from './paths.ts';
import { createProcesses } from './processes.ts';
import { createRunDirectories } from './run-directories.ts';
import { startedWith } from './started-with.ts';
import { createTransport } from './transport.ts';
import { createTrust } from './trust.ts';

export function createPlatform(): Platform {
  const paths = createPaths();
  const runDirectories = createRunDirectories(paths);
  return {
    name: 'win32',
    os: 'windows',
    arch: goArchitecture[process.arch] ?? process.arch,
    paths,
    processes: createProcesses(createIdentities(), paths),
    transport: createTransport(runDirectories, paths),
    runDirectories,
    trust: createTrust(),
    host: createHost(paths),
    startedWith,
    files: createFiles(paths),
    git: createGitHost(),
    childMarkers: undefined,
    sharedMemory: undefined,
    hostCleaning: undefined,
  };
}

/** The wire has Go's names for processors (spec wire.md §7.2). */
const goArchitecture: Record<string, string> = { x64: 'amd64', ia32: '386' };
