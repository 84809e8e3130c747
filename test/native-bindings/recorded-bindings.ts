// Prints what the binding files declare for the system named by the first argument, without loading any library: koffi is
// replaced by a recorder. The other arguments are the files. Output: JSON, see `RecordedBindings` in headers.ts.
import { registerHooks } from 'node:module';
import { basename, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [os = '', ...files] = process.argv.slice(2);
Object.defineProperty(process, 'platform', { value: os });

/** Its functions remember what they were declared as; nothing of it can be called. */
const recorder = `
const lib = {
  func: (declaration) => Object.assign(() => { throw new Error('only recorded'); }, { declaration }),
  symbol: () => 0n,
};
export default {
  load: () => lib, address: () => 0n, errno: () => 0,
  decode: { string16: () => '' }, view: () => new ArrayBuffer(0),
};`;
registerHooks({
  resolve: (name, context, next) =>
    name === 'koffi' ? { url: 'recorder:koffi', shortCircuit: true } : next(name, context),
  load: (url, context, next) =>
    url === 'recorder:koffi' ? { format: 'module', source: recorder, shortCircuit: true } : next(url, context),
});

const declarations: { file: string; name: string; declaration: string }[] = [];
const lists: { file: string; name: string; values: string[] }[] = [];
const constants: { file: string; name: string; value: string }[] = [];
for (const path of files) {
  const module: Record<string, unknown> = await import(pathToFileURL(resolve(path)).href);
  const file = basename(path);
  for (const [name, value] of Object.entries(module)) {
    if (typeof value === 'number' || typeof value === 'bigint') {
      constants.push({ file, name, value: String(value) });
    } else if (Array.isArray(value)) {
      lists.push({ file, name, values: value.map(String) });
    } else if (typeof value === 'function' && 'declaration' in value) {
      declarations.push({ file, name, declaration: String(value.declaration) });
    }
  }
}
process.stdout.write(JSON.stringify({ declarations, constants, lists }));
