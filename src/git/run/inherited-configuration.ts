/** Configuration that the daemon inherited in `GIT_CONFIG_COUNT` and its pairs (spec git.md §2.2). */
import { goQuote } from '../../../platform/go-quote.ts';
import type { Variable } from '../../../platform/started-with.ts';
import type { ConfigPin } from './configuration-pins.ts';
import { GitFailure } from './failures.ts';

/**
 * The pairs in their order.
 * @throws GitFailure `notRun` when git itself would not read them as they stand, because pins put behind them could be lost
 */
export function inheritedConfigPairs(inherited: readonly Variable[]): ConfigPin[] {
  const values = new Map(inherited);
  const count = values.get('GIT_CONFIG_COUNT') ?? '';
  if (count === '') {
    return [];
  }
  if (!/^[ \t\n\v\f\r]*\+?[0-9]+$/.test(count)) {
    throw notPinned(`inherited GIT_CONFIG_COUNT ${goQuote(count)} is not a count`);
  }
  const pairs: ConfigPin[] = [];
  for (let index = 0; index < Number(count); index++) {
    const key = values.get(`GIT_CONFIG_KEY_${index}`);
    const value = values.get(`GIT_CONFIG_VALUE_${index}`);
    if (key === undefined || value === undefined) {
      throw notPinned(`inherited GIT_CONFIG pair ${index} is incomplete`);
    }
    pairs.push([key, value]);
  }
  return pairs;
}

/** The failure of every call whose hooks cannot be switched off. */
export function notPinned(reason: string, options?: ErrorOptions): GitFailure {
  return new GitFailure('notRun', `config-defined hooks could not be pinned off; git not run: ${reason}`, options);
}
