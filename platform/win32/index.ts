/** The adapter for Windows. */
import { filesOnDemand } from '../common/files-on-demand.ts';
import type { Platform } from '../platform.ts';
import { createFileNames } from './file-names.ts';
import { createGitHost } from './git-host.ts';
import { createSessionPlatform } from './session-platform.ts';
import { createTrust } from './trust.ts';

export function createPlatform(): Platform {
  const forSessions = createSessionPlatform();
  return {
    ...forSessions,
    name: 'win32',
    os: 'windows',
    arch: goArchitecture[process.arch] ?? process.arch,
    trust: createTrust(),
    files: {
      ...createFileNames(forSessions.paths),
      ...filesOnDemand(async () => (await import('./files.ts')).createFiles(forSessions.paths)),
    },
    git: createGitHost(),
    hostCleaning: undefined,
  };
}

/** The wire has Go's names for processors (spec wire.md §7.2). */
const goArchitecture: Record<string, string> = { x64: 'amd64', ia32: '386' };
