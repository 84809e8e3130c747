/**
 * Code that is loaded by its first use and still fits what runs. A daemon lives for months, and by then its files on disk may
 * be those of another version, or gone. So what may be loaded later is read at the start and kept compressed.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { isExecutable } from './own-program.ts';

/**
 * Keeps the modules below these folders as they are now for every later `import()`. The single executable has its pieces
 * inside and needs none of this.
 * @param folders relative to the root of the program: `src/git`
 * @throws a system error when one cannot be read
 */
export function pinModules(folders: readonly string[]): void {
  if (isExecutable) {
    return;
  }
  /** The folder that holds `src`. */
  const root = new URL('../..', import.meta.url).href;
  // The package of npm has JavaScript.
  const ending = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
  const format = ending === '.ts' ? 'module-typescript' : 'module';
  const pinned = new PinnedSources(
    folders.map((folder) => new URL(`${folder}/`, root)),
    ending,
  );
  registerHooks({
    resolve(specifier, context, nextResolve) {
      const { parentURL = '' } = context;
      // They name files, so nothing on disk need be asked for what they import.
      return pinned.has(parentURL) && specifier.startsWith('.')
        ? { url: new URL(specifier, parentURL).href, shortCircuit: true }
        : nextResolve(specifier, context);
    },
    load(url, context, nextLoad) {
      return pinned.has(url) ? { format, source: pinned.source(url), shortCircuit: true } : nextLoad(url, context);
    },
  });
}

/** Sources by the URLs of their files. */
class PinnedSources {
  readonly #places = new Map<string, readonly [start: number, end: number]>();
  readonly #compressed: Buffer;
  #inflated: WeakRef<Buffer> | undefined;

  constructor(folders: readonly URL[], ending: string) {
    const sources: Buffer[] = [];
    let length = 0;
    for (const folder of folders) {
      for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
        if (name.endsWith(ending)) {
          const file = new URL(name.replaceAll('\\', '/'), folder);
          const source = readFileSync(file);
          this.#places.set(file.href, [length, length + source.length]);
          sources.push(source);
          length += source.length;
        }
      }
    }
    // In one piece: the library takes a quarter of a megabyte for each that it compresses, and the holes stay with us.
    this.#compressed = Buffer.from(deflateRawSync(Buffer.concat(sources), { level: 1 }));
  }

  has(url: string): boolean {
    return this.#places.has(url);
  }

  source(url: string): Buffer {
    const all = this.#inflated?.deref() ?? inflateRawSync(this.#compressed);
    this.#inflated = new WeakRef(all);
    return all.subarray(...(this.#places.get(url) ?? [0, 0]));
  }
}
