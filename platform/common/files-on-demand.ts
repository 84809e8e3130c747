/** Work on files whose code is loaded by the first of it: an idle daemon does without (docs/performance.md "Memory"). */
import type { FileCalls } from '../files.ts';

export function filesOnDemand(load: () => Promise<FileCalls>): FileCalls {
  let loaded: Promise<FileCalls> | undefined;
  const files = (): Promise<FileCalls> => {
    loaded ??= load();
    return loaded;
  };
  return {
    status: async (path) => (await files()).status(path),
    statusOfEntry: async (path) => (await files()).statusOfEntry(path),
    openForReading: async (path) => (await files()).openForReading(path),
    list: async (path, opening) => (await files()).list(path, opening),
    createFolders: async (path) => (await files()).createFolders(path),
    reopenThroughParent: async (path, made) => (await files()).reopenThroughParent(path, made),
    openFolder: async (path) => (await files()).openFolder(path),
    rename: async (from, to) => (await files()).rename(from, to),
    remove: async (path) => (await files()).remove(path),
    removeTree: async (path) => (await files()).removeTree(path),
  };
}
