/**
 * `npm run build:program`: the command `holdfast` as JavaScript, in dist/program, for Node.js that strips no types below
 * node_modules. It has the folders of the source, so that everything lies where the source would have it.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const target = join(root, 'dist/program');
const compiler = createRequire(import.meta.url)
  .resolve('typescript/package.json')
  .replace(/package\.json$/, 'bin/tsc');

rmSync(target, { recursive: true, force: true });
execFileSync(process.execPath, [compiler, '-p', 'build/tsconfig.program.json'], { cwd: root, stdio: 'inherit' });
mkdirSync(join(target, 'bin'));
for (const name of readdirSync(join(root, 'bin'))) {
  copyFileSync(join(root, 'bin', name), join(target, 'bin', name));
  chmodSync(join(target, 'bin', name), 0o755);
}
