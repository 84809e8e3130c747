/** Whether the kernel has killed a process for want of memory: its own log says so, where it may be read. */
import type { Processes } from '../../../platform/processes.ts';
import type { Variable } from '../../../platform/started-with.ts';
import { runCommand } from '../../base/run-command.ts';

/** Programs that print the log of the kernel; one that is not there, or not allowed, tells nothing. */
const sources = [
  ['dmesg', ['--time-format', 'iso']],
  ['journalctl', ['-k', '-o', 'short-iso', '--no-pager', '-n', '5000']],
] as const;
const sourceMs = 5_000;
const mostBytes = 64 * 1024 * 1024;

/** @returns the kernel's line; `undefined` when it does not speak of the process, or cannot be read */
export async function oomLine(
  processes: Processes,
  environment: NodeJS.ProcessEnv,
  killed: { readonly pid: number; readonly from: number; readonly until: number },
): Promise<string | undefined> {
  const env = Object.entries(environment).flatMap(([name, value]): Variable[] =>
    value === undefined ? [] : [[name, value]],
  );
  for (const [command, args] of sources) {
    const { stdout } = await runCommand(processes, {
      ...{ command, args, cwd: undefined, env, timeoutMs: sourceMs, maxOutputBytes: mostBytes },
    });
    const line = findOomKill(stdout.toString(), killed);
    if (line !== undefined) {
      return line;
    }
  }
  return undefined;
}

/** The clock of the kernel's log may run ahead or behind by so much (`dmesg` says so itself). */
const clockSlackMs = 60_000;
const killForms = [
  /\bout of memory: Kill(?:ed)? process (\d+)\b/i,
  /\boom-kill:.*\bpid=(\d+)\b/,
  /\bKilled process (\d+) \(/,
];

/**
 * @param killed a pid is used again, so what the kernel said at another time is of somebody else; milliseconds since the epoch
 */
export function findOomKill(
  text: string,
  { pid, from, until }: { readonly pid: number; readonly from: number; readonly until: number },
): string | undefined {
  return text.split('\n').findLast((line) => {
    if (!killForms.some((form) => Number(form.exec(line)?.[1]) === pid)) {
      return false;
    }
    const at = timeOf(line);
    return at === undefined || (at >= from - clockSlackMs && at <= until + clockSlackMs);
  });
}

/** Both programs begin a line with an ISO time; `dmesg` has a comma before the fraction. */
function timeOf(line: string): number | undefined {
  const [, time = ''] = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?)/.exec(line) ?? [];
  const at = Date.parse(time.replace(',', '.').replace(/([+-]\d\d)(\d\d)$/, '$1:$2'));
  return Number.isNaN(at) ? undefined : at;
}
