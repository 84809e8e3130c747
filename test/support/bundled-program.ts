/**
 * The program in a bundle, laid out as an installation is: what nearly every test starts (test/support/holdfast.ts). A start
 * and an end of a daemon take half as much of the processor as from the source.
 *
 *     bin/, test/fixtures/holdfast-for-tests.sh      the start scripts
 *     src/main.js, test/fixtures/main-for-tests.js   what they start
 *     src/bundle/                                    the modules
 *     test/scripts/                                  other programs that tests start hundreds of times
 *     node_modules/                                  the runtime, and what it has compiled
 */
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { keptBuild } from './kept-build.ts';

const root = join(import.meta.dirname, '../..');
const startScript = 'test/fixtures/holdfast-for-tests.sh';
/** By the names of the bundled ones. */
const scripts = Object.fromEntries(
  [
    ...['asking-agent', 'chatter', 'count-forever', 'echo-lines', 'write-noise'].map(
      (name) => `test/fixtures/${name}.ts`,
    ),
    'test/operate/fixtures/write-state.ts',
  ].map((file) => [basename(file, '.ts'), file]),
);

/** @returns its folder */
export function bundledProgram(): Promise<string> {
  return keptBuild({
    name: 'holdfast-bundle-for-tests',
    sources: [
      '{src,platform,native-bindings}/**/*.ts',
      'test/{fixtures,support,tools}/*.ts',
      'test/operate/fixtures/*.ts',
      'bin/*',
      startScript,
    ],
    async make(folder) {
      // Loaded here only, because most runs have a bundle already.
      const { writeBundle } = await import('../tools/bundle.ts');
      const { loadedOnDemand } = await import('../../src/doors/rpc/methods/all.ts');
      await writeBundle({
        folder: join(folder, 'src/bundle'),
        entries: { main: 'src/main.ts', 'main-for-tests': 'test/fixtures/main-for-tests.ts' },
        // It starts quicker than the other format.
        format: 'cjs',
      });
      // Some of them wait at the top, which the format of the program cannot do.
      await writeBundle({ folder: join(folder, 'test/scripts'), entries: scripts, format: 'esm' });
      writeFileSync(join(folder, 'test/scripts/package.json'), '{ "type": "module" }\n');
      mkdirSync(join(folder, 'test/fixtures'), { recursive: true });
      mkdirSync(join(folder, 'node_modules'));
      writeFileSync(join(folder, 'package.json'), '{ "type": "commonjs" }\n');
      writeFileSync(join(folder, 'src/main.js'), "require('./bundle/main.js');\n");
      writeFileSync(
        join(folder, 'test/fixtures/main-for-tests.js'),
        "require('../../src/bundle/main-for-tests.js');\n",
      );
      for (const part of ['bin', startScript]) {
        cpSync(join(root, part), join(folder, part), { recursive: true });
      }
      symlinkSync(join(root, 'node_modules/.bin'), join(folder, 'node_modules/.bin'));
      // A daemon reads what lies there when it starts (src/base/pinned-modules.ts); here that is in the bundle.
      for (const part of loadedOnDemand) {
        mkdirSync(join(folder, part), { recursive: true });
      }
    },
  });
}
