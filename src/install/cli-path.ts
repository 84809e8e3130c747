/** Where a CLI version lies, and which texts are no names of versions (spec install.md §1, §8). */
import { join } from 'node:path';
import { goQuote } from '../../platform/go-quote.ts';
import type { Paths } from '../../platform/paths.ts';
import { InstallFailure } from './failure.ts';

export const blobPrefix = '.blob-';

/** @param name of the file; it may contain `..`, because the contract runs what is there before it checks the name */
export function cliPathOf(folder: string, name: string, paths: Paths): string {
  return paths.clean(join(folder, name));
}

/** @throws InstallFailure for a version that is no plain file name, on every OS, or that looks like a download of ours */
export function checkVersionName(version: string): void {
  if (version === '.' || version === '..' || /[/\\]/.test(version)) {
    throw new InstallFailure(`cli version ${goQuote(version)} must be a single path component`);
  }
  if (version.startsWith(blobPrefix)) {
    throw new InstallFailure(`cli version ${goQuote(version)} collides with the install download blob`);
  }
}
