/**
 * Methods whose code is loaded by their first call: an idle daemon does without it (docs/performance.md "Memory"). What is
 * loaded then is what lay there at the start (base/pinned-modules.ts).
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { inTurns } from '../../../base/take-turns.ts';
import type { JsonSlice } from '../../../wire/json.ts';
import type { Method } from './method.ts';

/**
 * @param rows what must be known of each before its code is there
 * @param load methods of the same names
 */
export function onDemand<S>(
  rows: readonly Pick<Method<S>, 'name' | 'bulk'>[],
  load: () => Promise<readonly Method<S>[]>,
): Method<S>[] {
  let loaded: ReadonlyMap<string, Method<S>> | undefined;
  return rows.map((row) => ({
    ...row,
    read(params, services) {
      if (loaded !== undefined) {
        return methodOf(loaded, row.name).read(params, services);
      }
      const kept = params && copied(params);
      return async (call) => {
        const methods = await load();
        loaded = new Map(methods.map((method) => [method.name, method]));
        const read = methodOf(loaded, row.name).read(kept, services);
        const start = typeof read === 'function' ? read : await inTurns(read);
        return start(call);
      };
    },
  }));
}

/** Loads one after the other and lets others in between: all at once would hold the loop for longer than a request may. */
export async function loadInTurns(imports: readonly (() => Promise<unknown>)[]): Promise<void> {
  for (const load of imports) {
    await load();
    await nextTurn();
  }
}

function methodOf<S>(methods: ReadonlyMap<string, Method<S>>, name: string): Method<S> {
  const method = methods.get(name);
  if (method === undefined) {
    throw new Error(`${name} is none of the methods that were loaded`);
  }
  return method;
}

/** Params are valid during the call only. */
function copied({ bytes, start, end }: JsonSlice): JsonSlice {
  return { bytes: Buffer.from(bytes.subarray(start, end)), start: 0, end: end - start };
}
