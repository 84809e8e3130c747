/** What the runtime loads together with a file of the source. */
import { readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

const root = join(import.meta.dirname, '..', '..');

/** What `file` takes with it: its static imports of values, as they are written, and those of all our files among them. */
export interface Loaded {
  /** Itself among them; all from the root of the repository. */
  readonly files: ReadonlySet<string>;
  /** Modules of the runtime and of packages. */
  readonly others: ReadonlySet<string>;
}

export function loadedWith(...entries: readonly string[]): Loaded {
  const files = new Set<string>();
  const others = new Set<string>();
  const look = (file: string): void => {
    if (files.has(file)) {
      return;
    }
    files.add(file);
    const source = readFileSync(join(root, file), 'utf8');
    for (const [, target = ''] of source.matchAll(/^(?:import|export) (?!type )(?:[^;]*? from )?'([^']+)';$/gm)) {
      if (target.startsWith('.')) {
        look(normalize(join(dirname(file), target)));
      } else {
        others.add(target);
      }
    }
  };
  entries.forEach(look);
  return { files, others };
}
