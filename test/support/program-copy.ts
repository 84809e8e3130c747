/** A copy of the program in a folder of a test's own, with the packages of this one. */
import { cpSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

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

/** @param folder is made; it must not be there yet, but for empty ones */
export function copyProgram(folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const part of parts) {
    cpSync(join(root, part), join(folder, part), { recursive: true });
  }
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
}
