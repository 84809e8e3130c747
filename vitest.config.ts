import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Files that take longest, so that none of them is left over when everything else is done. */
const first = [
  'test/git/differential/differential.test.ts',
  'test/conformance/conformance.test.ts',
  'test/keeper/chaos.test.ts',
  'test/keeper/failpoints.test.ts',
  'test/install/disk.test.ts',
  'test/operate/failing-calls.test.ts',
  'test/git/worktree/create.test.ts',
  'test/git/vectors/sizes.test.ts',
  'test/deploy/deploy.test.ts',
  'test/install/local.test.ts',
  'test/git/run/hostile-repository.test.ts',
  'test/git/faults.test.ts',
  'test/modes/serve.test.ts',
  'test/install/interruption.test.ts',
  'test/executable/macos.test.ts',
  'test/keeper/adoption.test.ts',
  'test/git/vectors/fuzz.test.ts',
  'test/files/hostile.test.ts',
  'test/newcomer/newcomer.test.ts',
  'test/faults/slow-ssh-client.test.ts',
  'test/engine/reap-tree.test.ts',
  'test/git/worktree/branch-change.test.ts',
  'test/doors/rpc/connection.test.ts',
  'test/run-directory/run-lock.test.ts',
  'test/keeper/durable.test.ts',
  'test/deploy/windows-host.test.ts',
  'test/client/links.test.ts',
  'test/operate/failing-start.test.ts',
  'test/platform/guards-by-spelling.test.ts',
  'test/keeper/upgrade.test.ts',
  'test/doors/rpc/request-cost.test.ts',
  'test/faults/simultaneous-starts.test.ts',
  'test/install/download.test.ts',
  'test/client/package.test.ts',
  'test/operate/doctor/doctor.test.ts',
  'test/install/zstd.test.ts',
];

/** Files that measure memory or time, or that load the machine so that others would be late. */
const alone = [
  'test/faults/slow-reader.test.ts',
  'test/faults/exhaustion.test.ts',
  'test/faults/out-of-memory.test.ts',
];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = (file: TestSpecification): number => {
      const index = first.findIndex((name) => file.moduleId.endsWith(name));
      return index < 0 ? first.length : index;
    };
    // The order of the others is that of the base class: by group, then the larger file first.
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}

const include = ['test/**/*.test.ts'];
// The Windows suite runs on the Windows build of Node (test/windows/run.sh).
const exclude = ['test/windows/**', 'test/platform/win32.test.ts'];

export default defineConfig({
  test: {
    // forks, not threads: a native addon in worker threads can crash at teardown (docs/dependencies.md).
    pool: 'forks',
    // Hundreds of real processes share two cores in CI: a test that lost the race for them is asked once more, and vitest
    // says so. A fault of the product fails twice.
    retry: process.env.CI === 'true' ? 1 : 0,
    // Only what turns a hang into a message: files that run side by side take longer each.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    sequence: { sequencer: LongestFirst },
    globalSetup: 'test/support/global-setup.ts',
    // Every daemon, folder, port and user of a test is its own, so files run side by side. A worker with what it starts uses
    // less than half of a processor, the rest is waiting (docs/testing.md has the figures): six keep two busy.
    projects: [
      {
        extends: true,
        test: { name: 'beside', include, exclude: [...exclude, ...alone], maxWorkers: 6, sequence: { groupOrder: 0 } },
      },
      { extends: true, test: { name: 'alone', include: alone, maxWorkers: 1, sequence: { groupOrder: 1 } } },
    ],
  },
});
