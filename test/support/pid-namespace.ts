/** Programs of the tests as the only users of a pid namespace, where the next pid can be chosen (`ns_last_pid`). */
import { spawnSync } from 'node:child_process';

const own = process.geteuid?.() === 0 ? [] : ['--user', '--map-root-user'];
const namespace = ['unshare', ...own, '--pid', '--fork', '--mount-proc'];

/** Whether there can be such a namespace here. */
export const canChoosePids =
  spawnSync(namespace[0] as string, [...namespace.slice(1), 'sh', '-c', 'echo 9 > /proc/sys/kernel/ns_last_pid'])
    .status === 0;
export const hasStrace = spawnSync('strace', ['-V']).status === 0;

/** Words before a program that make the kernel look like one without pidfd. */
export const withoutPidfd = [
  ...['strace', '--seccomp-bpf', '-f', '-qq', '-o', '/dev/null', '-e', 'trace=pidfd_open'],
  ...['-e', 'inject=pidfd_open:error=ENOSYS'],
];

/**
 * Runs a script with our Node.js. The shell is the init of the namespace: it collects what nobody else does.
 * @param through words before the runtime
 */
export function runInPidNamespace(script: string, args: readonly string[], through: readonly string[] = []) {
  const words = [...through, process.execPath, script, ...args];
  const [command, ...rest] = [...namespace, 'sh', '-c', '"$@"; exit $?', 'sh', ...words];
  const result = spawnSync(command as string, rest, { encoding: 'utf8', timeout: 280_000 });
  return { status: result.status, output: result.stdout, errors: result.stderr.slice(-2000) };
}
