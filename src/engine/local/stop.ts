/** What the frames of a feed stop at: a reply that belongs between them, or somebody who waits until they have come so far. */
import { Mark } from '../mark.ts';

export type Stop = Mark | Gate | { readonly reached: () => void };

/** Closed as long as something else has to come first. */
export class Gate {
  open = false;
}

/** Whether the reply that belongs here is not known yet, or something else has to come first. */
export function standsStill(stop: Stop | undefined): boolean {
  return stop instanceof Mark ? stop.reply === undefined : stop instanceof Gate && !stop.open;
}

/**
 * Tells whoever waits that the frames have come so far.
 * @returns the reply that is to be sent here; `undefined`: none
 */
export function pass(stop: Stop | undefined): { readonly kind: 'reply'; readonly reply: string } | undefined {
  if (stop === undefined || stop instanceof Gate) {
    return undefined;
  }
  if (!(stop instanceof Mark)) {
    stop.reached();
    return undefined;
  }
  stop.leaveStream();
  const { reply } = stop;
  return reply === undefined || reply === '' ? undefined : { kind: 'reply', reply };
}
