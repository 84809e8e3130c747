/** The adapter for Linux and macOS as far as a client of the daemon needs it. Nothing here may import native code. */
import type { ClientPlatform } from '../platform.ts';
import { createDialer } from './dial.ts';
import { user } from './home.ts';
import { createPaths } from './paths.ts';
import { startedWith } from './started-with.ts';
import { posixSystem } from './system.ts';

export function createClientPlatform(): ClientPlatform {
  const paths = createPaths(posixSystem);
  return {
    paths,
    user,
    startedWith,
    dialer: createDialer(posixSystem, paths),
    processList: async () => (await import('./process-list.ts')).createProcessList(posixSystem),
  };
}
