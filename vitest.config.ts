import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // The Windows suite runs on the Windows build of Node (test/windows/run.sh).
    exclude: ['test/windows/**', 'test/platform/win32.test.ts'],
    // forks, not threads: a native addon in worker threads can crash at teardown (docs/dependencies.md).
    pool: 'forks',
    // Hundreds of real processes share two cores in CI: a test that lost the race for them is asked once more, and vitest
    // says so. A fault of the product fails twice.
    retry: process.env.CI === 'true' ? 1 : 0,
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
