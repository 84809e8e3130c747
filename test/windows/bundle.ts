/**
 * `node test/windows/bundle.ts <folder>`: the program as the Windows suite plays it. Wine needs a third of the time for the
 * start of a bundle, and most tests of that suite make one.
 */
import { writeBundle } from '../tools/bundle.ts';

const [, , folder] = process.argv;
if (folder === undefined) {
  throw new Error('usage: node test/windows/bundle.ts <folder>');
}
await writeBundle({ folder, entries: { main: 'src/main.ts' }, format: 'esm' });
