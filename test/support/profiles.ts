/** The generations of the wire, for tests that hold in each of them. */
import type { ProfileName } from '../../src/wire/profile.ts';

export const everyProfile: readonly ProfileName[] = ['S', 'current', 'next', 'latest'];

/** Whether the rules that came with `next` hold: there, and in every later generation. */
export function coversNext(profile: ProfileName): boolean {
  return profile !== 'S' && profile !== 'current';
}
