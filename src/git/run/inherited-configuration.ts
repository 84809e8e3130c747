/** Configuration that the daemon inherited in `GIT_CONFIG_COUNT` and its pairs (spec git.md §2.2). */
import { goQuote } from '../../../platform/go-quote.ts';
import { GitRefusal } from './failures.ts';
import type { ConfigPin, Variable } from './hardening.ts';

/**
 * The pairs in their order.
 * @throws GitRefusal when git itself would not read them as they stand, so that pins put behind them could be lost
 */
export function inheritedConfigPairs(inherited: readonly Variable[]): ConfigPin[] {
  const values = new Map(inherited);
  const count = values.get('GIT_CONFIG_COUNT') ?? '';
  if (count === '') {
    return [];
  }
  if (!/^[ \t\n\v\f\r]*\+?[0-9]+$/.test(count)) {
    throw new GitRefusal(notPinned(`inherited GIT_CONFIG_COUNT ${goQuote(count)} is not a count`));
  }
  const pairs: ConfigPin[] = [];
  for (let index = 0; index < Number(count); index++) {
    const key = values.get(`GIT_CONFIG_KEY_${index}`);
    const value = values.get(`GIT_CONFIG_VALUE_${index}`);
    if (key === undefined || value === undefined) {
      throw new GitRefusal(notPinned(`inherited GIT_CONFIG pair ${index} is incomplete`));
    }
    pairs.push([key, value]);
  }
  return pairs;
}

/** The text of every refusal because of hooks that cannot be switched off. */
export function notPinned(reason: string): string {
  return `config-defined hooks could not be pinned off; git not run: ${reason}`;
}
