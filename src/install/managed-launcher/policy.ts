/**
 * The managed settings of a host: a base file and drop-ins, read afresh each time (spec generation-n2.md §3.2, §3.3).
 * A file that cannot be read decides, even when another one names a launcher: what the administrator wants is not known then.
 */
import { lstat, readdir } from 'node:fs/promises';
import type { Paths } from '../../../platform/paths.ts';
import { decodeUtf8 } from '../../wire/utf8.ts';
import { readSettingsFile } from './settings-file.ts';

const baseName = 'managed-settings.json';
const dropInFolderName = 'managed-settings.d';

export interface FoundLauncher {
  readonly value: string;
  /** The file whose value won, by its name in the folder, also when that is a link. */
  readonly source: string;
}

export interface UnreadablePolicy {
  readonly reason: string;
  /** The file, or the folder of the drop-ins. */
  readonly path: string;
}

/** `undefined`: no file names a launcher. */
export type Policy = FoundLauncher | UnreadablePolicy | undefined;

export async function readPolicy(folder: string, paths: Pick<Paths, 'reason'>): Promise<Policy> {
  const base = await lastValue([below(folder, baseName)], paths);
  if (base !== undefined && 'reason' in base) {
    return base;
  }
  const dropIns = below(folder, dropInFolderName);
  let files: Buffer[];
  try {
    files = await dropInsOf(dropIns);
  } catch (error) {
    const reason = `the drop-in directory could not be listed: ${paths.reason(error)}`;
    return isAbsent(error) ? base : { reason, path: shown(dropIns) };
  }
  return (await lastValue(files, paths)) ?? base;
}

/** Of the last file with a value, or why one of them cannot be read. */
async function lastValue(files: readonly Buffer[], paths: Pick<Paths, 'reason'>): Promise<Policy> {
  let last: FoundLauncher | undefined;
  for (const file of files) {
    const found = await readSettingsFile(file, paths);
    if (found === 'missing') {
      continue;
    }
    if ('reason' in found) {
      return { reason: found.reason, path: shown(file) };
    }
    if (found.value !== undefined) {
      last = { value: found.value, source: shown(file) };
    }
  }
  return last;
}

/** Regular files and links whose names count, in the order of their bytes. @throws Node's error of the listing */
async function dropInsOf(folder: Buffer): Promise<Buffer[]> {
  const entries = await readdir(folder, { encoding: 'buffer', withFileTypes: true });
  return entries
    .filter((entry) => isSettingsName(entry.name) && (entry.isFile() || entry.isSymbolicLink()))
    .filter(({ name }) => name[0] !== '.'.charCodeAt(0))
    .map(({ name }) => name)
    .sort(Buffer.compare)
    .map((name) => below(folder, name));
}

/**
 * Whether the folder holds a policy, whatever is in it: a hidden drop-in and a link that leads nowhere count too. When that
 * cannot be told the answer is yes, so that nothing switches a policy off by making it hard to see.
 */
export async function holdsPolicy(folder: string): Promise<boolean> {
  try {
    await lstat(below(folder, baseName));
    return true;
  } catch (error) {
    if (!isAbsent(error)) {
      return true;
    }
  }
  try {
    const entries = await readdir(below(folder, dropInFolderName), { encoding: 'buffer', withFileTypes: true });
    return entries.some((entry) => isSettingsName(entry.name) && !entry.isDirectory());
  } catch (error) {
    return !isAbsent(error);
  }
}

function isSettingsName(name: Buffer): boolean {
  return name.toString('latin1').endsWith('.json');
}

function isAbsent(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** Names on the disk are bytes. The folder's own name is text that we were given. */
function below(folder: string | Buffer, name: string | Buffer): Buffer {
  return Buffer.concat([Buffer.from(folder), Buffer.from('/'), Buffer.from(name)]);
}

function shown(path: Buffer): string {
  return decodeUtf8(path, 0, path.length, 'replacement');
}
