import { expect, test } from 'vitest';
import { contractMethods } from '../../../src/doors/rpc/methods/all.ts';
import { filesMethods } from '../../../src/doors/rpc/methods/files.ts';
import { gitMethods } from '../../../src/doors/rpc/methods/git.ts';
import { pluginsMethods } from '../../../src/doors/rpc/methods/plugins.ts';

test('what is known of a method before its code is loaded is what its code says', () => {
  const known = ({ name, bulk, needsToken }: (typeof contractMethods)[number]) => ({
    name,
    bulk: bulk === true,
    needsToken,
  });
  const loaded = [...filesMethods, ...gitMethods, ...pluginsMethods].map(known);
  const names = new Set(loaded.map(({ name }) => name));
  expect(contractMethods.map(known).filter(({ name }) => names.has(name))).toEqual(loaded);
  expect(contractMethods.map(({ name }) => name).filter((name) => /^(?:files|git|plugins)\./.test(name))).toEqual([
    ...names,
  ]);
});
