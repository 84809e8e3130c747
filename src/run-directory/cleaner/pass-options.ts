/** What every part of a pass works with, and how it tells what it leaves. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ChildMarkers } from '../../../platform/child-markers.ts';
import type { Home } from '../../../platform/home.ts';
import type { HostCleaning } from '../../../platform/host-cleaning.ts';
import type { Paths } from '../../../platform/paths.ts';
import type { Processes } from '../../../platform/processes.ts';
import type { Counters } from '../../base/counters.ts';
import type { Log } from '../../base/log.ts';
import type { Timings } from '../../base/timings.ts';
import type { Place } from './place.ts';

/** How many processes are looked at in one turn of the event loop, so that no session has to wait. */
const processesATurn = 64;

export interface PassOptions {
  readonly hostCleaning: HostCleaning;
  readonly markers: ChildMarkers;
  readonly processes: Processes;
  readonly paths: Paths;
  readonly host: Pick<Home, 'home'>;
  readonly place: Place;
  readonly log: Log;
  readonly counters: Counters;
  readonly timings: Timings;
  /** Aborted when the daemon ends: nothing new is begun then. */
  readonly signal: AbortSignal;
}

/** Tells that something which looks like ours to clean is left as it is. */
export function leaveAlone(
  { log, counters }: Pick<PassOptions, 'log' | 'counters'>,
  what: string,
  reason: string,
): void {
  counters.hostCleanRefusals++;
  log.info('hostclean', `${what} is left alone: ${reason}`);
}

export function tellCap({ log, counters }: Pick<PassOptions, 'log' | 'counters'>, text: string): void {
  counters.hostCleanCaps++;
  log.warn('hostclean', text);
}

/** Goes through all of them without holding up the event loop. */
export async function* inTurns(pids: readonly number[]): AsyncIterable<number> {
  for (const [index, pid] of pids.entries()) {
    if (index > 0 && index % processesATurn === 0) {
      await nextTurn();
    }
    yield pid;
  }
}
