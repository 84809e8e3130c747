/** Long work in pieces, so that the event loop serves the others in between. */
import { setImmediate as nextTurn } from 'node:timers/promises';

/** Work is interrupted after so long. */
const pieceMs = 8;

/** One piece of long work after the other. */
export class Turns {
  #since = performance.now();

  /** To be called between two small steps. @returns what is to be awaited; `undefined`: go on at once */
  pause(): Promise<void> | undefined {
    if (performance.now() - this.#since < pieceMs) {
      return undefined;
    }
    return this.next();
  }

  /** The next piece begins in a turn of the loop of its own. */
  async next(): Promise<void> {
    await nextTurn();
    this.#since = performance.now();
  }
}

/** Takes one step after the other; those of the first piece before it returns. @returns what the steps return */
export async function inTurns<T>(steps: Iterator<undefined, T, undefined>, turns: Turns = new Turns()): Promise<T> {
  let step = steps.next();
  while (step.done !== true) {
    const pause = turns.pause();
    if (pause !== undefined) {
      await pause;
    }
    step = steps.next();
  }
  return step.value;
}

/** Items that are sorted or merged without a look at the clock. */
const sortedAtOnce = 1024;

/** As `Array.sort`, in turns: runs that are sorted at once, merged two by two. The array itself is left as it is. */
export async function sortInTurns<T>(items: readonly T[], compare: (a: T, b: T) => number): Promise<T[]> {
  const turns = new Turns();
  let runs: T[][] = [];
  for (let at = 0; at < items.length; at += sortedAtOnce) {
    runs.push(items.slice(at, at + sortedAtOnce).sort(compare));
    await turns.pause();
  }
  while (runs.length > 1) {
    const merged: T[][] = [];
    for (let pair = 0; pair < runs.length; pair += 2) {
      merged.push(await merge(runs[pair] ?? [], runs[pair + 1] ?? [], compare, turns));
    }
    runs = merged;
  }
  return runs[0] ?? [];
}

async function merge<T>(left: T[], right: T[], compare: (a: T, b: T) => number, turns: Turns): Promise<T[]> {
  const result: T[] = [];
  let [fromLeft, fromRight] = [0, 0];
  while (fromLeft < left.length && fromRight < right.length) {
    const [a, b] = [left[fromLeft] as T, right[fromRight] as T];
    if (compare(a, b) <= 0) {
      result.push(a);
      fromLeft++;
    } else {
      result.push(b);
      fromRight++;
    }
    if (result.length % sortedAtOnce === 0) {
      await turns.pause();
    }
  }
  for (const rest of [left.slice(fromLeft), right.slice(fromRight)]) {
    for (const item of rest) {
      result.push(item);
    }
  }
  return result;
}
