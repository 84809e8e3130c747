/** Fault 11 of docs/faults.md: an innocent process gets the pid of a recorded child. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';

/** Nightly runs ask for ten thousand. */
const rounds = Number(process.env.HOLDFAST_TEST_ROUNDS ?? 25);
const script = join(import.meta.dirname, 'fixtures', 'recycle-pids.ts');
const own = process.geteuid?.() === 0 ? [] : ['--user', '--map-root-user'];
const namespace = ['unshare', ...own, '--pid', '--fork', '--mount-proc'];

const works =
  spawnSync(namespace[0] as string, [...namespace.slice(1), 'sh', '-c', 'echo 9 > /proc/sys/kernel/ns_last_pid'])
    .status === 0;
const hasStrace = spawnSync('strace', ['-V']).status === 0;
const ci = process.env.CI === 'true';
if (!works) {
  console.warn(
    'SKIPPED: recycled pids need a pid namespace: run as root, or allow user namespaces, with unshare of the package util-linux',
  );
}
if (!hasStrace) console.warn('SKIPPED: recycled pids without pidfd need the package strace');

/** The shell is the init of the namespace: it collects what nobody else does. */
function run(through: readonly string[]) {
  const words = [...through, process.execPath, script, String(rounds)];
  const [command, ...args] = [...namespace, 'sh', '-c', '"$@"; exit $?', 'sh', ...words];
  const result = spawnSync(command as string, args, { encoding: 'utf8', timeout: 280_000 });
  return { status: result.status, output: result.stdout, errors: result.stderr.slice(-2000) };
}

const untouched = {
  status: 0,
  output: `${JSON.stringify({ recycled: rounds, harmed: 0, recycledBetween: rounds, harmedBetween: 0, controlEnded: 1 })}\n`,
};

test.skipIf(!works && !ci)('whoever has the pid of a recorded child now is left alone', { timeout: 300_000 }, () => {
  expect(run([])).toMatchObject(untouched);
});

test.skipIf((!works || !hasStrace) && !ci)(
  'whoever has it is left alone where the kernel has no pidfd',
  { timeout: 300_000 },
  () => {
    const inject = ['--seccomp-bpf', '-f', '-qq', '-o', '/dev/null', '-e', 'trace=pidfd_open'];
    expect(run(['strace', ...inject, '-e', 'inject=pidfd_open:error=ENOSYS'])).toMatchObject(untouched);
  },
);
