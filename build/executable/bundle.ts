/** The source as a few pieces of CommonJS, which is what a single executable can hold. */
import { join } from 'node:path';
import { type OutputChunk, rolldown } from 'rolldown';

export interface BundleOptions {
  readonly root: string;
  /** ISO 8601. */
  readonly buildTime: string;
  readonly addon: { readonly sha256: string; readonly glibc: string | undefined };
}

export interface Bundle {
  /** The script the executable begins with: what loads the pieces, and the start of the program. */
  readonly main: string;
  /** By the name under which `main` asks for them; each is an expression, a function of CommonJS. */
  readonly pieces: ReadonlyMap<string, string>;
  /** Folders of the packages that something of it comes from. */
  readonly packages: readonly string[];
}

export async function bundle({ root, buildTime, addon }: BundleOptions): Promise<Bundle> {
  const define = {
    // libsodium reads it, and has no use for it outside a browser. A piece has no address of its own.
    'import.meta.url': '""',
    HOLDFAST_EXECUTABLE: 'true',
    HOLDFAST_BUILD_TIME: JSON.stringify(buildTime),
    HOLDFAST_ADDON: JSON.stringify(addon),
  };
  const program = await chunksOf(root, join(root, 'src/main.ts'), {
    define,
    alias: { koffi: join(root, 'src/executable/addon.ts') },
  });
  const [loader] = await chunksOf(root, join(root, 'src/executable/chunks.ts'), { define, alias: {} });
  const entry = program.find(({ isEntry }) => isEntry);
  if (entry === undefined || loader === undefined) {
    throw new Error('the bundler has made no entry');
  }
  const pieces = program.filter((chunk) => chunk !== entry);
  const main = [
    `"use strict";var pieces={},exports={};(function(exports){${loader.code}\n})(pieces);`,
    `pieces.loaded.set(${JSON.stringify(entry.fileName)},{exports});(function(require){${entry.code}\n})(pieces.load);\n`,
  ].join('');
  return {
    main: ascii(main),
    pieces: new Map(
      pieces.map(({ fileName, code }) => [fileName, ascii(`(function(exports,require,module){${code}\n})`)]),
    ),
    packages: packagesOf(program.flatMap(({ moduleIds }) => moduleIds)),
  };
}

function packagesOf(files: readonly string[]): string[] {
  const folder = /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/;
  return [...new Set(files.flatMap((file) => folder.exec(file.replaceAll('\\', '/'))?.[0] ?? []))].sort();
}

async function chunksOf(
  root: string,
  input: string,
  { define, alias }: { readonly define: Record<string, string>; readonly alias: Record<string, string> },
): Promise<readonly OutputChunk[]> {
  const build = await rolldown({
    input,
    // Names of modules are told from here, and their order follows their names.
    cwd: root,
    platform: 'node',
    resolve: { alias },
    transform: { define },
    onLog(level, log) {
      // Something that is imported both at once and on demand is at hand earlier than it need be, and no more.
      if (level === 'warn' && log.code !== 'INEFFECTIVE_DYNAMIC_IMPORT') {
        throw new Error(`bundler: ${log.code}: ${log.message}`);
      }
    },
  });
  const { output } = await build.generate({
    format: 'cjs',
    minify: true,
    comments: { legal: false },
    entryFileNames: '[name].js',
    chunkFileNames: '[name].js',
  });
  await build.close();
  return output.filter((each) => each.type === 'chunk');
}

/** Text with other characters takes two bytes for each in the memory of V8, and the pieces are read as Latin-1. */
function ascii(code: string): string {
  return code.replace(/[^\0-\x7f]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
