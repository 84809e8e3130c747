/** The oldest glibc on which programs and libraries run. */

const prefix = Buffer.from('\0GLIBC_2.');

/**
 * @param contents of files
 * @returns for example `2.28`; `undefined` when they name no version of it
 */
export function leastGlibc(...contents: readonly Buffer[]): string | undefined {
  const minors = contents.flatMap(minorVersions);
  return minors.length === 0 ? undefined : `2.${Math.max(...minors)}`;
}

/** The names of versions stand in a table of texts that end with a NUL. */
function minorVersions(content: Buffer): number[] {
  const found: number[] = [];
  for (let at = content.indexOf(prefix); at >= 0; at = content.indexOf(prefix, at + 1)) {
    const minor = /^\d+(?=\0)/.exec(content.toString('latin1', at + prefix.length, at + prefix.length + 8));
    if (minor !== null) {
      found.push(Number(minor[0]));
    }
  }
  return found;
}

/** Whether version `found` (`2.36`) is at least `needed`. */
export function isAtLeast(found: string, needed: string): boolean {
  const [[major = 0, minor = 0], [leastMajor = 0, leastMinor = 0]] = [found, needed].map((version) =>
    version.split('.').map(Number),
  ) as [number[], number[]];
  return major > leastMajor || (major === leastMajor && minor >= leastMinor);
}
