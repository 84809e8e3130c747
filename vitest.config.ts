import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // The Windows suite runs on the Windows build of Node (test/windows/run.sh).
    exclude: ['test/windows/**', 'test/platform/win32.test.ts'],
    // forks, not threads: a native addon in worker threads can crash at teardown (docs/dependencies.md).
    pool: 'forks',
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
