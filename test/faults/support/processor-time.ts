/** Processor time that a process uses: what a busy loop would show, whatever else the machine is doing. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitUntil } from '../../support/wait.ts';

/** Clock ticks (1/100 s) in one second that somebody who waits may use; a busy loop uses a hundred. */
const idleTicksPerSecond = 10;
const lookMs = 200;

/** Resolves when the process uses next to nothing; a busy loop never does. */
export async function untilIdle(pid: number): Promise<void> {
  await waitUntil(() => isIdleFor(pid, lookMs), `process ${pid} to have nothing to do`);
}

/** Whether the process uses next to nothing for so long. */
export async function isIdleFor(pid: number, ms: number): Promise<boolean> {
  const before = ticksOf(pid);
  await sleep(ms);
  return ticksOf(pid) - before <= (idleTicksPerSecond * ms) / 1000;
}

function ticksOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}
