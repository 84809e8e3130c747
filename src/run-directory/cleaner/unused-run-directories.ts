/**
 * Removes run directories that nobody has used for a month, with the daemon that may still listen in one, and what earlier
 * removals have left (spec platform.md §2 "Host cleaner" (b)). Whatever hints at a use keeps a directory.
 */
import { join } from 'node:path';
import { whyKept } from '../../../platform/common/removal-guard.ts';
import type { HeldRunDirectory } from '../../../platform/host-cleaning.ts';
import { messageOf } from '../../base/error-texts.ts';
import { failpointAsync } from '../../base/failpoints.ts';
import { lockFileName, logFileName, olderLogFileName, recordFolderName, socketName, tokenFileName } from '../names.ts';
import { leaveAlone, type PassOptions } from './pass-options.ts';
import { recordedChild } from './recorded-child.ts';
import { Retirement } from './retirement.ts';

/** `<name>.removing-<pid>-<time in base 36>`: a removal that was begun. */
const removing = /\.removing-\d+-[0-9a-z]+$/;

/** One of these is in every folder in which a daemon has been. */
const traces = new Set([logFileName, olderLogFileName, lockFileName, tokenFileName, socketName, recordFolderName]);

export interface Removals {
  readonly removed: number;
  readonly retired: number;
}

/** @param pids of all processes of the host */
export async function removeUnusedRunDirectories(pids: readonly number[], options: PassOptions): Promise<Removals> {
  const { hostCleaning, place, paths, signal } = options;
  let folder: ReturnType<typeof hostCleaning.openRunDirectories>;
  try {
    folder = hostCleaning.openRunDirectories(place.runFolder);
  } catch (error) {
    leaveAlone(options, place.runFolder, paths.reason(error));
    return { removed: 0, retired: 0 };
  }
  const retirement = new Retirement(pids, options);
  let removed = 0;
  try {
    for (const name of await folder.names()) {
      if (signal.aborted) {
        break;
      }
      const held = await folder.hold(name);
      if (held === undefined) {
        continue;
      }
      const path = join(place.runFolder, name);
      if (typeof held === 'string') {
        leaveAlone(options, path, held);
        continue;
      }
      try {
        const outcome = await new Candidate(held, name, path, retirement, options).removeWhenUnused();
        if (outcome === 'removed') {
          removed++;
        } else if (outcome !== 'used') {
          leaveAlone(options, path, outcome.because);
        }
      } catch (error) {
        leaveAlone(options, path, `it cannot be removed: ${messageOf(error)}`);
      } finally {
        held.close();
      }
    }
  } finally {
    folder.close();
  }
  return { removed, retired: retirement.count };
}

type Outcome = 'removed' | 'used' | { readonly because: string };

class Candidate {
  readonly #held: HeldRunDirectory;
  readonly #name: string;
  readonly #path: string;
  readonly #retirement: Retirement;
  readonly #options: PassOptions;

  constructor(held: HeldRunDirectory, name: string, path: string, retirement: Retirement, options: PassOptions) {
    this.#held = held;
    this.#name = name;
    this.#path = path;
    this.#retirement = retirement;
    this.#options = options;
  }

  /** @throws Error, also after the directory has got its other name */
  async removeWhenUnused(): Promise<Outcome> {
    const held = this.#held;
    if (held.is(this.#options.place.ownRunDirectory)) {
      return 'used';
    }
    if ((await whyKept(this.#path, this.#options)) !== undefined) {
      return { because: 'it is or holds the home directory or a root' };
    }
    const isLeftover = removing.test(this.#name);
    const changedMs = await held.latestChangeMs();
    if (!isLeftover) {
      if (Date.now() - changedMs < this.#options.timings.hostCleanUnusedMs) {
        return 'used';
      }
      const { entries } = held;
      if (entries.length > 0 && !entries.some(({ name }) => traces.has(name))) {
        return { because: 'nothing in it is from a daemon' };
      }
    }
    // A directory that has lost its name is no run directory any more, so nobody looks for its records.
    const recorded = isLeftover ? undefined : recordedChild(this.#path, this.#options);
    const refusal = this.#lockRefusal() ?? recorded ?? (await this.#otherSocket());
    if (refusal !== undefined) {
      return { because: refusal };
    }
    const retired = await this.#retirement.retire(held, this.#path);
    if (typeof retired === 'object') {
      return retired;
    }
    return this.#remove(isLeftover, retired === 'nobody' && !isLeftover ? changedMs : undefined);
  }

  /** @param changedMs a later change is a use; `undefined`: changes are known to have come from us */
  async #remove(isLeftover: boolean, changedMs: number | undefined): Promise<Outcome> {
    const { log, counters, timings, signal } = this.#options;
    const held = this.#held;
    const lockRefusal = held.claim(lockFileName);
    if (lockRefusal !== undefined) {
      return { because: lockRefusal };
    }
    const answer = await held.ask(socketName, timings.hostCleanAnswerMs);
    if (answer.state !== 'nobody') {
      return { because: 'somebody has begun to listen in it' };
    }
    if (changedMs !== undefined && (await held.latestChangeMs()) !== changedMs) {
      return { because: 'it is in use again' };
    }
    if (signal.aborted) {
      return 'used';
    }
    await failpointAsync('hostclean.rename.before');
    if (!isLeftover) {
      await held.rename(`${this.#name}.removing-${process.pid}-${Date.now().toString(36)}`);
    }
    await failpointAsync('hostclean.rename.after');
    await held.remove();
    counters.hostCleanDirectoriesRemoved++;
    log.info(
      'hostclean',
      isLeftover
        ? `removed ${this.#path}, which an earlier removal had left`
        : `removed the run directory ${this.#path}, not used for ${days(timings.hostCleanUnusedMs)}`,
    );
    return 'removed';
  }

  #lockRefusal(): string | undefined {
    const refusal = this.#held.claim(lockFileName);
    this.#held.release();
    return refusal;
  }

  /** A socket of another name than the layout's is somebody else's, or that of metrics. */
  async #otherSocket(): Promise<string | undefined> {
    for (const { name, isSocket } of this.#held.entries) {
      if (!isSocket || name === socketName) {
        continue;
      }
      const answer = await this.#held.ask(name, this.#options.timings.hostCleanAnswerMs);
      if (answer.state !== 'nobody') {
        return `somebody listens on ${name} in it`;
      }
    }
    return undefined;
  }
}

function days(milliseconds: number): string {
  const whole = Math.floor(milliseconds / (24 * 60 * 60_000));
  return whole > 0 ? `${whole} days` : `${milliseconds / 1000}s`;
}
