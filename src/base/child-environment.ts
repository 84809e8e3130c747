/** The environment of the programs we start, made of our own. */
import type { Host } from '../../platform/host.ts';
import type { Variable } from '../../platform/started-with.ts';
import { ambientTokenVariable } from './start-markers.ts';

type Names = Pick<Host, 'variableKey'>;

/**
 * Our environment without the token, which no program may have (spec wire.md §8), and without the named variables.
 * @param own in its order, which is kept
 */
export function childEnvironment(own: readonly Variable[], dropped: readonly string[], host: Names): Variable[] {
  const keys = new Set([ambientTokenVariable, ...dropped].map((name) => host.variableKey(name)));
  return own.filter(([name]) => !keys.has(host.variableKey(name)));
}
