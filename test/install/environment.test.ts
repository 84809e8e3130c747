/** What the programs that `-install` and `-probe-cli` start find in their environment (spec modes.md §4, wire.md §8). */
import { describe, expect } from 'vitest';
import { cleanEnvironment, runHoldfast } from '../support/holdfast.ts';
import { linux, testNeeding } from '../support/needs.ts';
import { type Recorder, recordEnvironments } from '../support/recorded-environments.ts';
import { profiles, Workshop } from './support.ts';

const testOnLinux = testNeeding(linux);

/** What the caller of `holdfast` has in its environment. */
const given = (recorder: Recorder) => ({
  CLAUDE_RPC_TOKEN: 'ambient-secret',
  USERS_OWN: 'kept',
  PATH: `${recorder.bin}:${process.env.PATH}`,
});

function expectNoToken(runs: readonly string[][]): void {
  for (const run of runs) {
    expect(run.filter((entry) => /CLAUDE_RPC_TOKEN|ambient-secret/.test(entry))).toEqual([]);
    expect(run).toContain('USERS_OWN=kept');
  }
}

describe.each(profiles)('profile %s', (profile) => {
  testOnLinux('neither the new CLI nor ldd is given the token, both the variables of the user', {}, async () => {
    const shop = new Workshop();
    const recorder = recordEnvironments();
    recorder.program('ldd', 'echo "ldd (GNU libc) 2.36"');
    const cli = recorder.program('cli', 'echo 1.2.3');
    const words = ['-cli-version', '1.2.3', '-cli-zst', shop.blob(cli)];
    const { facts } = await shop.install(words, { profile, env: given(recorder) });
    expect(facts).toMatchObject({ libc: 'glibc', cliPath: shop.path('1.2.3') });
    expect(facts.cliError).toBeUndefined();
    const [installed, ldd] = [recorder.of('cli'), recorder.of('ldd')];
    expect([installed.length, ldd.length]).toEqual([1, 1]);
    expectNoToken([...installed, ...ldd]);
  });
});

testOnLinux('a CLI that is only tried is not given the token either', {}, async () => {
  const shop = new Workshop();
  const recorder = recordEnvironments();
  const cli = shop.put('1.2.3', recorder.program('cli', 'echo 1.2.3'));
  const env = cleanEnvironment(shop.home, given(recorder));
  const { code, stdout } = await runHoldfast(['-probe-cli', cli, '-wire-profile', 'next'], { env });
  expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
  const runs = recorder.of('cli');
  expect(runs).toHaveLength(1);
  expectNoToken(runs);
});
