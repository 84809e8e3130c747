/** The adapter for Linux and macOS. */
import { filesOnDemand } from '../common/files-on-demand.ts';
import type { Platform } from '../platform.ts';
import { createFileNames } from './file-names.ts';
import { createGitHost } from './git-host.ts';
import { createSessionPlatform } from './session-platform.ts';
import { posixSystem as os } from './system.ts';
import { createTrust } from './trust.ts';

export function createPlatform(): Platform {
  const forSessions = createSessionPlatform();
  const { paths, transport } = forSessions;
  return {
    ...forSessions,
    name: 'posix',
    os,
    arch: goArchitecture[process.arch] ?? process.arch,
    trust: createTrust(),
    git: createGitHost(),
    files: {
      ...createFileNames(os, paths),
      ...filesOnDemand(async () => (await import('./files.ts')).createFiles(paths)),
    },
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
