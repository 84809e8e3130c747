/** Code that is loaded later is that of the start, whatever has become of the files. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '..', '..');

test.each([
  ['in a file', "openSync(join(folder, 'copy'), 'wx+')"],
  ['in memory where no file can be made', "openSync(join(folder, 'nowhere', 'copy'), 'wx+')"],
  ['in memory where the file system is full', "openSync('/dev/full', 'r+')"],
])('what may be loaded later is kept %s, and is loaded as it was', (_, open) => {
  const folder = mkdtempSync('/tmp/hf-');
  try {
    mkdirSync(join(folder, 'src/late'), { recursive: true });
    cpSync(join(root, 'src/base'), join(folder, 'src/base'), { recursive: true });
    cpSync(join(root, 'platform'), join(folder, 'platform'), { recursive: true });
    writeFileSync(
      join(folder, 'src/late/first.ts'),
      "import { word } from './second.ts';\nexport const text: string = word;\n",
    );
    writeFileSync(join(folder, 'src/late/second.ts'), "export const word: string = 'as it was';\n");
    const script = `
      import { openSync, rmSync, writeFileSync } from 'node:fs';
      import { join } from 'node:path';
      import { pinModules } from ${JSON.stringify(pathToFileURL(join(folder, 'src/base/pinned-modules.ts')).href)};
      const folder = ${JSON.stringify(folder)};
      pinModules(['src/late'], () => ${open});
      writeFileSync(join(folder, 'src/late/first.ts'), 'export const text = 1;');
      rmSync(join(folder, 'src/late/second.ts'));
      const { text } = await import(${JSON.stringify(pathToFileURL(join(folder, 'src/late/first.ts')).href)});
      console.log(text);
    `;
    const { stdout, stderr } = spawnSync(
      process.execPath,
      ['--input-type=module', '--disable-warning=ExperimentalWarning', '-e', script],
      { encoding: 'utf8' },
    );
    expect({ stdout, stderr }).toEqual({ stdout: 'as it was\n', stderr: '' });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
