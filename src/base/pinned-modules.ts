/**
 * Code that is loaded by its first use and still fits what runs. A daemon lives for months, and by then its files on disk may
 * be those of another version, or gone. So what may be loaded later is copied at the start, into a file without a name.
 */
import { closeSync, readdirSync, readFileSync, readSync, writeSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { isExecutable } from './own-program.ts';

/**
 * Keeps the modules below these folders as they are now for every later `import()`. The single executable has its pieces
 * inside and needs none of this.
 * @param folders relative to the root of the program: `src/git`
 * @param openFile a new file for the copy, which is kept open; where it fails, the copy stays in memory
 * @throws a system error when one of the folders cannot be read
 */
export function pinModules(folders: readonly string[], openFile: () => number): void {
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
    openFile,
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
  readonly #places = new Map<string, readonly [start: number, length: number]>();
  /** All of them: the descriptor of a file, or the bytes where no file can be had. */
  readonly #kept: number | Buffer;

  constructor(folders: readonly URL[], ending: string, openFile: () => number) {
    const sources: Buffer[] = [];
    let start = 0;
    for (const folder of folders) {
      for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
        if (name.endsWith(ending)) {
          const file = new URL(name.replaceAll('\\', '/'), folder);
          const source = readFileSync(file);
          this.#places.set(file.href, [start, source.length]);
          sources.push(source);
          start += source.length;
        }
      }
    }
    const all = Buffer.concat(sources);
    // Nothing where all of the program is in one bundle.
    this.#kept = (all.length > 0 ? fileOf(all, openFile) : undefined) ?? all;
  }

  has(url: string): boolean {
    return this.#places.has(url);
  }

  source(url: string): Buffer {
    const [start, length] = this.#places.get(url) ?? [0, 0];
    if (typeof this.#kept !== 'number') {
      return this.#kept.subarray(start, start + length);
    }
    const source = Buffer.alloc(length);
    for (let done = 0; done < length; ) {
      const read = readSync(this.#kept, source, done, length - done, start + done);
      if (read === 0) {
        throw new Error(`the copy of ${url} ends after ${done} of ${length} bytes`);
      }
      done += read;
    }
    return source;
  }
}

/** @returns the descriptor of a file that holds `bytes`; `undefined` where the system has no room for one */
function fileOf(bytes: Buffer, openFile: () => number): number | undefined {
  let file: number | undefined;
  try {
    file = openFile();
    for (let done = 0; done < bytes.length; ) {
      done += writeSync(file, bytes, done);
    }
    return file;
  } catch {
    if (file !== undefined) {
      closeSync(file);
    }
    return undefined;
  }
}
