/** When a failed attempt is made again (spec mesh.md §8). */
import type { MeshTimings } from '../timings.ts';

/** The attempt that is the last one. */
export const mostAttempts = 25;

/** The pause after the attempt with this number, counted from 1: 1, 2, 4, 8, 16, 30, 30 … s. */
export function pauseAfter(attempts: number, { retryBaseMs, retryMaxMs }: MeshTimings): number {
  return Math.min(retryMaxMs, retryBaseMs * 2 ** Math.min(attempts, 12));
}
