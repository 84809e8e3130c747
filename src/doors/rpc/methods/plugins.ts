/** The `plugins.*` methods (spec files.md §8). */
import { type PluginServices, prunePlugins } from '../../../files/plugin-prune.ts';
import { RpcError } from '../errors.ts';
import { int64, type Mistyped, object, stringArray } from '../params.ts';
import { defineMethod, type Method } from './method.ts';

/** `keep` is accepted and never used. */
const pruneParams = object({ minAgeDays: int64(), keep: stringArray() }, { whenAbsent: 'empty', refusal: refusePrune });

export const pluginsMethods: readonly Method<PluginServices>[] = [
  defineMethod({
    name: 'plugins.prune',
    params: pruneParams,
    async run({ minAgeDays }, { services }) {
      const report = await prunePlugins(minAgeDays, services);
      return {
        root: report.root,
        pruned: report.pruned,
        prunedLegacy: report.prunedLegacy,
        staleArchives: 0,
        kept: 0,
        live: report.live,
        young: report.young,
        legacy: report.legacy,
        skipped: report.skipped,
        errors: report.errors.length > 0 ? report.errors : undefined,
        minAgeDays: report.minAgeDays,
      };
    },
  }),
];

/** The one refusal of a wrong type that says what was wrong, in the words of the contract's JSON library. */
function refusePrune({ member, inside, found, numberText }: Mistyped): RpcError {
  let into = 'Go value of type handlers.PruneParams';
  let what: string = found;
  if (member === 'minAgeDays') {
    into = 'Go struct field PruneParams.minAgeDays of type int';
    if (found === 'number') {
      what = `number ${numberText}`;
    }
  } else if (member === 'keep') {
    into = `Go struct field PruneParams.keep of type ${inside ? '' : '[]'}string`;
  }
  return new RpcError('invalidParams', `Invalid params: json: cannot unmarshal ${what} into ${into}`);
}
