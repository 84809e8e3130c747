/** The adapter for Windows as far as a client of the daemon needs it. Pipes and their owners need native code here. */
import type { ClientPlatform } from '../platform.ts';
import { createDialer } from './dial.ts';
import { user } from './home.ts';
import { createPaths } from './paths.ts';
import { startedWith } from './started-with.ts';

export function createClientPlatform(): ClientPlatform {
  const paths = createPaths();
  return {
    paths,
    user,
    startedWith,
    dialer: createDialer(paths),
    processList: async () => (await import('./process-list.ts')).createProcessList(),
  };
}
