/** `holdfast mesh`, also started as `claudemesh`: agents that message each other (spec mesh.md). */
import type { ClientPlatform, Platform } from '../../platform/platform.ts';

export interface MeshModeContext {
  readonly environment: NodeJS.ProcessEnv;
  platform(): Promise<Platform>;
  clientPlatform(): Promise<ClientPlatform>;
  print(text: string): void;
  complain(text: string): void;
}

/** `mesh`: the words of `claudemesh daemon`, and `send`. `claudemesh`: the words of the program by that name. */
export type MeshWord = 'mesh' | 'claudemesh';

/** @param words the command line after `word` @returns the exit code */
export async function runMeshMode(word: MeshWord, words: readonly string[], context: MeshModeContext): Promise<number> {
  const { runClaudemeshWords, runMeshWords } = await import('../doors/mesh/command-line.ts');
  const run = word === 'mesh' ? runMeshWords : runClaudemeshWords;
  return run(words, {
    ...context,
    onEndRequest(callback) {
      // A terminal that is closed ends the daemon as well: it is what its user sees.
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
        process.on(signal, () => callback(signal));
      }
    },
  });
}
