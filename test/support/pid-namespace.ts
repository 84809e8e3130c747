/** Programs of the tests as the only users of a pid namespace, where the next pid can be chosen (`ns_last_pid`). */
import { spawnSync } from 'node:child_process';
import { type Need, probe } from './needs.ts';

const own = process.geteuid?.() === 0 ? [] : ['--user', '--map-root-user'];
/** Words of `unshare` before a program that is to be process 1 of a namespace. */
export const pidNamespaceWords: readonly string[] = [...own, '--pid', '--fork', '--mount-proc'];

/** Whether there can be such a namespace here. */
export function pidNamespaces(): Need {
  return probe('a pid namespace', ['unshare', ...pidNamespaceWords, 'true']);
}

/** Whether pids can be chosen in it. */
export function chosenPids(): Need {
  const choose = ['sh', '-c', 'echo 9 > /proc/sys/kernel/ns_last_pid'];
  return probe('a pid namespace in which pids can be chosen', ['unshare', ...pidNamespaceWords, ...choose]);
}

/** Words before a program that make the kernel look like one without pidfd. */
export const withoutPidfd = [
  ...['strace', '--seccomp-bpf', '-f', '-qq', '-o', '/dev/null', '-e', 'trace=pidfd_open'],
  ...['-e', 'inject=pidfd_open:error=ENOSYS'],
];

/**
 * Runs a script with our Node.js. The shell is the init of the namespace: it collects what nobody else does.
 * @param through words before the runtime
 */
export function runInPidNamespace(
  script: string,
  args: readonly string[],
  through: readonly string[] = [],
  { timeoutMs = 280_000 }: { readonly timeoutMs?: number } = {},
) {
  const inside = ['sh', '-c', '"$@"; exit $?', 'sh', ...through, process.execPath, script, ...args];
  const result = spawnSync('unshare', [...pidNamespaceWords, ...inside], { encoding: 'utf8', timeout: timeoutMs });
  return { status: result.status, output: result.stdout, errors: result.stderr.slice(-2000) };
}
