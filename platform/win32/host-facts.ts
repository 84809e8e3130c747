/** What is to be known of a Windows host by who looks for its faults. */
import { existsSync, statfsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { HostError } from '../errors.ts';
import type { FileSystemFacts, HostFacts } from '../host-facts.ts';
import { createTrust } from './trust.ts';

export function createHostFacts(): HostFacts {
  const trust = createTrust();
  return {
    // The pipe has a name of its own; the path is that of a small file.
    socketPathLimit: undefined,
    privacyFault(path) {
      try {
        trust.assertOnlyOurs(path, 'choose another -socket');
        return undefined;
      } catch (error) {
        if (error instanceof HostError) {
          return { what: error.message, isChangeable: true, remedy: error.remedy, mend: undefined };
        }
        throw error;
      }
    },
    fileSystemOf,
    openFiles: () => undefined,
    confinement: () => undefined,
    // The daemon has left the job of the login.
    loginEnd: () => undefined,
    loginShell: () => undefined,
    libc: () => undefined,
  };
}

function fileSystemOf(path: string): FileSystemFacts | undefined {
  let at = resolve(path);
  while (!existsSync(at) && dirname(at) !== at) {
    at = dirname(at);
  }
  try {
    const { bsize, bavail, blocks } = statfsSync(at);
    return {
      kind: '',
      isNetwork: at.startsWith('\\\\'),
      noPrograms: false,
      isReadOnly: false,
      freeBytes: bsize * bavail,
      totalBytes: bsize * blocks,
      freeEntries: undefined,
    };
  } catch {
    return undefined;
  }
}
