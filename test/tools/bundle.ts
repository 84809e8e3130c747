/** The program as a few modules instead of some hundred files, which the executable has as well. */
import { join } from 'node:path';
import { rolldown } from 'rolldown';

const root = join(import.meta.dirname, '../..');

export interface BundleOptions {
  /** Where the modules go. It lies two folders below the one that has `bin`: the program finds its start script from there. */
  readonly folder: string;
  /** Sources by the names of their modules, paths from the root of the project. */
  readonly entries: Readonly<Record<string, string>>;
  readonly format: 'esm' | 'cjs';
}

/** The packages stay outside, in node_modules. */
export async function writeBundle({ folder, entries, format }: BundleOptions): Promise<void> {
  const build = await rolldown({
    input: Object.fromEntries(Object.entries(entries).map(([name, file]) => [name, join(root, file)])),
    cwd: root,
    platform: 'node',
    external: /^[^./]/,
    onLog(level, log) {
      // Something that is imported both at once and on demand is at hand earlier than it need be, and no more.
      if (level === 'warn' && log.code !== 'INEFFECTIVE_DYNAMIC_IMPORT') {
        throw new Error(`bundler: ${log.code}: ${log.message}`);
      }
    },
  });
  await build.write({ dir: folder, format, entryFileNames: '[name].js', chunkFileNames: '[name].js' });
  await build.close();
}
