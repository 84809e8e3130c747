/** Damage to a file as a bad disk does it, the same for the same seed. */
import { readFileSync, writeFileSync } from 'node:fs';

/** Flips one bit at each of `places` places that chance, begun from `seed`, has chosen. */
export function flipBits(path: string, seed: number, places = 1): void {
  const bytes = readFileSync(path);
  const next = chance(seed);
  for (let at = 0; at < places; at++) {
    const place = next() % bytes.length;
    bytes[place] = (bytes[place] ?? 0) ^ (1 << (next() % 8));
  }
  writeFileSync(path, bytes);
}

/** mulberry32: 32 bits at each call. */
export function chance(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
}
