/**
 * Ends processes that are no children of ours: TERM, a grace, KILL, and again for what has come meanwhile. Every process is
 * named by pid and start, and both are read again right before each signal (design decision 8), so a number that belongs
 * to somebody else by now gets nothing. Who is to be ended, and what is told of it, is the caller's to know.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Processes, ProcessIdentity, SignalName } from '../../platform/processes.ts';

/** A process as the caller sees it. */
export interface Target {
  readonly identity: ProcessIdentity;
}

export interface Ending<T extends Target> {
  readonly processes: Pick<Processes, 'signalIfSame' | 'identify'>;
  /** All that are to be ended and live now. Asked before each round of signals, until there are none. */
  find(): readonly T[] | Promise<readonly T[]>;
  /** Asked right before each signal; `false`: the process is none of them any more. Its pid and start are read besides. */
  isStill?(target: T): boolean;
  /** From TERM to KILL; `undefined`: KILL at once. */
  readonly graceMs: number | undefined;
  /** After KILL a process goes as soon as the kernel lets it; it is waited for at most so long. */
  readonly killMs: number;
  readonly pollMs: number;
  /** The first signal to this process has been sent. */
  onSent?(target: T, name: SignalName): void;
}

/** `gone`: it had ended before it could be signalled. `refused`: the system did not let us. */
export type EndResult = 'ended' | 'killed' | 'gone' | 'refused' | 'survived';

export interface EndedProcess<T extends Target> {
  readonly process: T;
  readonly result: EndResult;
}

/** What is started while we look is found by another look; more than these mean a program that only forks. */
const mostRounds = 6;

/** A number and a start: the same for the same process only. */
export function processKey({ identity }: Target): string {
  return `${identity.pid} ${identity.start}`;
}

/** @returns one entry for each process that was found, by its key, in the order in which they were found */
export async function endProcesses<T extends Target>(ending: Ending<T>): Promise<Map<string, EndedProcess<T>>> {
  const { processes, graceMs, onSent } = ending;
  const ended = new Map<string, EndedProcess<T>>();
  let targets = await ending.find();
  for (let round = 0; round < mostRounds && targets.length > 0; round++) {
    const isAsking = round === 0 && graceMs !== undefined;
    for (const process of targets) {
      const key = processKey(process);
      const before = ended.get(key)?.result;
      const name = isAsking ? 'TERM' : 'KILL';
      const result = signal(process, name, ending);
      if (before === undefined || result !== 'gone') {
        ended.set(key, { process, result });
      }
      if (wasSent(result) && !wasSent(before)) {
        onSent?.(process, name);
      }
    }
    const limit = performance.now() + (isAsking ? graceMs : ending.killMs);
    while (performance.now() < limit && targets.some(isSignalledAndAlive)) {
      await delay(ending.pollMs);
    }
    // What refuses a signal refuses the next one too.
    targets = (await ending.find()).filter((each) => ended.get(processKey(each))?.result !== 'refused');
  }
  for (const process of targets) {
    ended.set(processKey(process), { process, result: 'survived' });
  }
  for (const [key, { process }] of ended) {
    if (isSignalledAndAlive(process)) {
      ended.set(key, { process, result: 'survived' });
    }
  }
  return ended;

  function isSignalledAndAlive(process: T): boolean {
    const { pid, start } = process.identity;
    return wasSent(ended.get(processKey(process))?.result) && processes.identify(pid)?.start === start;
  }
}

function wasSent(result: EndResult | undefined): boolean {
  return result === 'ended' || result === 'killed';
}

function signal<T extends Target>(process: T, name: SignalName, { processes, isStill }: Ending<T>): EndResult {
  if (isStill?.(process) === false) {
    return 'gone';
  }
  const sent = processes.signalIfSame(process.identity, name);
  return sent === 'sent' ? (name === 'TERM' ? 'ended' : 'killed') : sent;
}
