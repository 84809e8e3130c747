/**
 * `node test/windows/bundle.ts <folder>`: the program as a few modules instead of some hundred files, which the executable
 * has as well. Wine needs a third of the time for such a start, and most tests of the Windows suite make one. The packages
 * stay outside, in node_modules. `folder` lies as deep below the project as `src/base`: the program finds `bin` from there.
 */
import { join } from 'node:path';
import { rolldown } from 'rolldown';

const [, , folder] = process.argv;
if (folder === undefined) {
  throw new Error('usage: node test/windows/bundle.ts <folder>');
}
const root = join(import.meta.dirname, '../..');
const build = await rolldown({
  input: join(root, 'src/main.ts'),
  cwd: root,
  platform: 'node',
  external: /^[^./]/,
  onLog(level, log) {
    // Something that is imported both at once and on demand is at hand earlier than it need be, and no more.
    if (level === 'warn' && log.code !== 'INEFFECTIVE_DYNAMIC_IMPORT') {
      throw new Error(`bundler: ${log.code}: ${log.message}`);
    }
  },
});
await build.write({ dir: folder, format: 'esm', entryFileNames: '[name].js', chunkFileNames: '[name].js' });
await build.close();
