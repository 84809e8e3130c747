/**
 * Compiled code of the pieces, for a start that need not compile them. Runs as a process of its own, on the runtime and with
 * the options that the executable will have: V8 takes compiled code only from itself.
 *
 *     node --hash-seed=<number> <options> compile.ts <folder>
 *
 * The number keeps V8 from a random order in what it writes; compiled code is taken whatever the seed was.
 *
 * For each file of the folder it writes one with `.compiled` at the end of its name.
 */
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { Script } from 'node:vm';

const [folder = ''] = process.argv.slice(2);
setFlagsFromString('--hash-seed=0');
const names = globSync('*.js', { cwd: folder }).sort();
for (const filename of names) {
  const source = readFileSync(join(folder, filename), 'latin1');
  // Every function, not only those that an empty run would need: which ones those are would depend on the run, and the same
  // source is to have the same compiled form.
  setFlagsFromString('--no-lazy');
  const script = new Script(source, { filename });
  setFlagsFromString('--lazy');
  writeFileSync(join(folder, `${filename}.compiled`), script.createCachedData());
}
