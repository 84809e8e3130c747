/** How long a verb that goes on looking waits for daemons that have gone; one that is started anew is there again by then. */
import { timings } from '../base/timings.ts';
import { exitFailed, exitNone } from './exit-codes.ts';

export class Patience {
  #goneSince: number | undefined;

  /**
   * @param exitCode what a look came to (`exitCodeOf`)
   * @returns the exit code of the verb when there is nothing to look at any more; of a first look at once
   */
  endAfter(exitCode: number, isFirst: boolean): number | undefined {
    if (exitCode !== exitNone && exitCode !== exitFailed) {
      this.#goneSince = undefined;
      return undefined;
    }
    if (isFirst) {
      return exitCode;
    }
    this.#goneSince ??= performance.now();
    return performance.now() - this.#goneSince >= timings.lookGiveUpMs ? exitFailed : undefined;
  }
}
