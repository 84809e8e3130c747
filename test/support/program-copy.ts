/** A copy of the program in a folder of a test's own, with the packages of this one. */
import { cpSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { installation, root } from './holdfast.ts';

/** Folders, whole, so that what the test entry point imports is there: also what it will import tomorrow. */
const parts = [
  'bin',
  'src',
  'platform',
  'native-bindings',
  'package.json',
  'test/fixtures',
  'test/support',
  'test/tools',
];

/** The source. @param folder is made; it must not be there yet, but for empty ones */
export function copySource(folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const part of parts) {
    cpSync(join(root, part), join(folder, part), { recursive: true });
  }
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
}

/** What most tests start: the bundle, or else the source. It keeps compiled code of its own. @param folder as of `copySource` */
export function copyInstallation(folder: string): void {
  if (installation === root) {
    copySource(folder);
    return;
  }
  const ownPackages = join(installation, 'node_modules');
  cpSync(installation, folder, { recursive: true, filter: (path) => path !== ownPackages });
  mkdirSync(join(folder, 'node_modules'));
  for (const name of readdirSync(join(root, 'node_modules')).filter((each) => each !== '.cache')) {
    symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name));
  }
}
