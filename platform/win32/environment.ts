/** The environment block: sorted, one entry per name whatever its case (spec platform.md §3 "Files, paths, environment"). */

/** Names are the same whatever the case of their ASCII letters. */
export function variableKey(name: string): string {
  return name.replace(/[a-z]+/g, (letters) => letters.toUpperCase());
}

/**
 * UTF-16 block of `NAME=value` entries, each ended by NUL, and one NUL more. Of entries that are the same variable the
 * last one wins with its spelling; `Path` in any spelling becomes `PATH`; `SYSTEMROOT` is added where it is missing,
 * because sockets and much else do not work in a process without it.
 */
export function environmentBlock(entries: ReadonlyArray<readonly [name: string, value: string]>): Buffer {
  const byName = new Map<string, string>();
  for (const [name, value] of entries) {
    const folded = variableKey(name);
    byName.set(folded, `${folded === 'PATH' ? 'PATH' : name}=${value}`);
  }
  const { SYSTEMROOT: systemRoot } = process.env;
  if (!byName.has('SYSTEMROOT') && systemRoot !== undefined) {
    byName.set('SYSTEMROOT', `SYSTEMROOT=${systemRoot}`);
  }
  const sorted = [...byName].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => `${entry}\0`);
  return Buffer.from(`${sorted.join('') || '\0'}\0`, 'utf16le');
}
