/** The oldest glibc on which a program and a library run. */
import { readFileSync } from 'node:fs';

/** @returns for example `2.28`; `undefined` for files that name no version of it */
export function leastGlibc(...files: readonly string[]): string | undefined {
  const versions = files.flatMap((file) =>
    // The names of versions stand in a table of texts that end with a NUL.
    [
      ...readFileSync(file)
        .toString('latin1')
        .matchAll(/\0GLIBC_2\.(\d+)(?=\0)/g),
    ].map(([, minor]) => Number(minor)),
  );
  return versions.length === 0 ? undefined : `2.${Math.max(...versions)}`;
}
