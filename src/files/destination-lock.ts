/** One at a time per folder: extraction and pruning of one destination never overlap (spec files.md §7.4). */
import { KeyedQueue } from '../base/keyed-queue.ts';

const destinations = new KeyedQueue();

/** Runs `work` after everything that was asked for the same cleaned path before. */
export function exclusivelyAt<T>(cleanedPath: string, work: () => Promise<T>): Promise<T> {
  return destinations.run(cleanedPath, work);
}
