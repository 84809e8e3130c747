/**
 * `npm run build:client`: the package export `holdfast/client` as JavaScript for Node.js 20 and newer, as ES modules and as
 * CommonJS, with type declarations, in dist/client. `npm pack` puts it into the package.
 */
import { execFileSync } from 'node:child_process';
import { globSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const target = join(root, 'dist/client');
const compiler = createRequire(import.meta.url)
  .resolve('typescript/package.json')
  .replace(/package\.json$/, 'bin/tsc');

rmSync(target, { recursive: true, force: true });
for (const [kind, project] of [
  ['module', 'build/tsconfig.client.json'],
  ['commonjs', 'build/tsconfig.client-cjs.json'],
] as const) {
  execFileSync(process.execPath, [compiler, '-p', project], { cwd: root, stdio: 'inherit' });
  // Says what the files of the folder are, whatever the package around it says.
  writeFileSync(join(target, kind === 'module' ? 'esm' : 'cjs', 'package.json'), `{ "type": "${kind}" }\n`);
}
// The compiler rewrites the extensions of imports in code and leaves them in declarations.
for (const file of globSync('**/*.d.ts', { cwd: target })) {
  const path = join(target, file);
  writeFileSync(path, readFileSync(path, 'utf8').replace(/(from ')(\.[^']*)\.ts'/g, "$1$2.js'"));
}
