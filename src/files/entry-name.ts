/** Where an archive's entry may go (spec files.md §7.2, name rules). Purely lexical: the folders are guarded when opened. */
import type { FileOperations } from '../../platform/files.ts';
import type { TarRules } from '../wire/profile.ts';

/**
 * @param destination the cleaned destination
 * @returns the parts of the target below the destination, none for the destination itself; `undefined` when unsafe
 */
export function targetOf(
  name: Buffer,
  destination: string,
  rule: TarRules['nameRule'],
  files: Pick<FileOperations, 'splitEntryName' | 'isReservedName'>,
): readonly Buffer[] | undefined {
  const parts = files.splitEntryName(name);
  if (rule === 'local') {
    return parts.some((part) => files.isReservedName(part)) ? undefined : resolve(parts, 'refused');
  }
  // Leaving the destination and coming back is accepted: what counts is where the whole path ends.
  const folder = resolve(files.splitEntryName(Buffer.from(destination)), 'ignored');
  const whole = resolve([...(folder ?? []), ...parts], 'ignored');
  const inside = folder?.every((part, index) => whole?.[index]?.equals(part));
  return inside ? whole?.slice(folder?.length) : undefined;
}

/** Lexical resolution of `.`, `..` and doubled separators. @param climbing what a `..` at the start means */
function resolve(parts: readonly Buffer[], climbing: 'refused' | 'ignored'): Buffer[] | undefined {
  const resolved: Buffer[] = [];
  for (const part of parts) {
    const text = part.length <= 2 ? part.toString('latin1') : '';
    if (part.length === 0 || text === '.') {
      continue;
    }
    if (text !== '..') {
      resolved.push(part);
    } else if (resolved.pop() === undefined && climbing === 'refused') {
      return undefined;
    }
  }
  return resolved;
}
