/** The Windows suite: run.sh runs it on the Windows build of Node. */
import { dirname, resolve } from 'node:path';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  plugins: [
    {
      // The bundler's WebAssembly build, the only one Wine loads, does not find files by Windows paths.
      name: 'resolve-relative-imports',
      enforce: 'pre',
      resolveId(source, importer) {
        return source.startsWith('.') && importer !== undefined ? resolve(dirname(importer), source) : undefined;
      },
    },
  ],
  test: {
    include: ['test/platform/win32.test.ts', 'test/windows/**/*.test.ts'],
    pool: 'forks',
    fileParallelism: false,
    // A second run would take modules from it whose imports this bundler cannot resolve any more.
    fsModuleCache: false,
    // As in the project's own configuration.
    retry: process.env.CI === 'true' ? 1 : 0,
    // Wine starts a Node in half a second.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
