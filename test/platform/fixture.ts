/** The fixture programs, for tests and for fixtures that start others; imports nothing of a test runner. */
import { fileURLToPath } from 'node:url';

/** Path of a program in `fixtures/`, to be run by Node. */
export function fixture(name: string): string {
  return fileURLToPath(new URL(`./fixtures/${name}.ts`, import.meta.url));
}
