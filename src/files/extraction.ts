/** Writes the entries of an archive into a fresh destination (spec files.md §7.2, §7.3). */
import { SystemCallError } from '../../platform/errors.ts';
import type { FolderHandle, WritableFile } from '../../platform/files.ts';
import type { Paths } from '../../platform/paths.ts';
import { failpointAsync } from '../base/failpoints.ts';
import type { TarRules } from '../wire/profile.ts';
import { decodeBytes } from '../wire/utf8.ts';
import { ArchiveError } from './archive-error.ts';
import { targetOf } from './entry-name.ts';
import { ExtractionError } from './extraction-error.ts';
import { FolderCursor, FolderFailure } from './folder-cursor.ts';
import type { FilesServices } from './services.ts';
import { failedWith } from './system-failures.ts';
import type { TarEntry, TarReader } from './tar-reader.ts';

/** The empty file at the top that tells a client that everything was unpacked. It is written last. */
export const markerName = Buffer.from('.synced');

const fileMode = 0o600;
const programMode = 0o700;
/** The owner's execute bit. */
const executeBit = 0o100;

export interface Destination {
  /** Cleaned and absolute. */
  readonly path: string;
  readonly folder: FolderHandle;
}

/**
 * Writes all entries, then the marker.
 * @returns how many file entries were written
 * @throws ExtractionError; entries so far stay, without a marker and without the file that was being written
 */
export async function extract(archive: TarReader, destination: Destination, services: FilesServices): Promise<number> {
  const extraction = new Extraction(archive, destination, services);
  try {
    const count = await extraction.writeEntries();
    await extraction.writeMarker();
    return count;
  } catch (error) {
    // There may be a marker all the same: an entry of the archive may have its name.
    await destination.folder.removeTree(markerName).catch(() => undefined);
    throw error;
  } finally {
    await extraction.close();
  }
}

class Extraction {
  readonly #archive: TarReader;
  readonly #destination: Destination;
  readonly #services: FilesServices;
  readonly #rules: TarRules;
  readonly #paths: Paths;
  readonly #cursor: FolderCursor;
  /** Bytes of file content that may still come. */
  #left: bigint;
  readonly #limited: boolean;

  constructor(archive: TarReader, destination: Destination, services: FilesServices) {
    this.#archive = archive;
    this.#destination = destination;
    this.#services = services;
    this.#rules = services.profile.files.tar;
    this.#paths = services.platform.paths;
    this.#cursor = new FolderCursor(destination.folder);
    this.#left = BigInt(services.settings.maxExtractBytes);
    this.#limited = this.#left > 0n;
  }

  async writeEntries(): Promise<number> {
    let files = 0;
    for (;;) {
      const entry = await this.#nextEntry();
      if (entry === undefined) {
        return files;
      }
      const shown = decodeBytes(entry.name);
      if (entry.type === 'other') {
        throw new ExtractionError(`unsupported tar entry type ${entry.typeLetter}: ${shown}`);
      }
      const target = targetOf(entry.name, this.#destination.path, this.#rules.nameRule, this.#services.platform.files);
      if (target === undefined) {
        throw new ExtractionError(`unsafe path in archive: ${shown}`);
      }
      if (entry.type === 'directory') {
        await this.#makeDirectory(shown, target);
      } else {
        await this.#writeFile(entry, shown, target);
        files++;
      }
    }
  }

  async writeMarker(): Promise<void> {
    const { folder } = this.#destination;
    try {
      await failpointAsync('files.extract.marker.before');
      if (this.#rules.replaceEntry) {
        await folder.removeTree(markerName);
      }
      await (await folder.createFile(markerName, fileMode, 'empty')).close();
    } catch (error) {
      throw this.#failure('write .synced: ', 'open', [markerName], error);
    }
  }

  close(): Promise<void> {
    return this.#cursor.close();
  }

  async #nextEntry(): Promise<TarEntry | undefined> {
    try {
      return await this.#archive.next();
    } catch (error) {
      throw asExtractionError(this.#rules.readPrefix, error);
    }
  }

  async #makeDirectory(shown: string, target: readonly Buffer[]): Promise<void> {
    await this.#folderAt(this.#rules.entryPrefixes ? `mkdir ${shown}: ` : '', target);
  }

  async #writeFile(entry: TarEntry, shown: string, target: readonly Buffer[]): Promise<void> {
    const name = target.at(-1);
    if (name === undefined) {
      throw this.#occupiedByDestination(shown);
    }
    const folder = await this.#folderAt(`mkdir parent ${shown}: `, target.slice(0, -1));
    const file = await this.#createFile(entry, shown, folder, name, target);
    try {
      await failpointAsync('files.extract.write');
      await this.#writeContent(file);
      await file.close();
    } catch (error) {
      await file.close().catch(() => undefined);
      // Remove it, so that nobody takes a part of the file for the whole file.
      await folder.removeFile(name).catch(() => undefined);
      throw asExtractionError(this.#rules.entryPrefixes ? `write ${shown}: ` : '', error);
    }
  }

  async #createFile(
    entry: TarEntry,
    shown: string,
    folder: FolderHandle,
    name: Buffer,
    target: readonly Buffer[],
  ): Promise<WritableFile> {
    const mode = this.#rules.execBit && entry.mode & executeBit ? programMode : fileMode;
    try {
      this.#refuseLongPath(target);
      if (!this.#rules.replaceEntry) {
        return await folder.createFile(name, mode, 'empty');
      }
      try {
        return await folder.createFile(name, mode, 'new');
      } catch (error) {
        if (!failedWith(error, 'EEXIST')) {
          throw error;
        }
        // A folder of that name is not removed, so the second attempt fails with EEXIST, too.
        await folder.removeFile(name).catch(() => undefined);
        return await folder.createFile(name, mode, 'new');
      }
    } catch (error) {
      if (this.#rules.replaceEntry && failedWith(error, 'EEXIST')) {
        throw this.#occupied(`create ${shown}: `, target, this.#services.platform.files.inTheWay.folder);
      }
      throw this.#failure(`create ${shown}: `, 'open', target, error);
    }
  }

  async #writeContent(file: WritableFile): Promise<void> {
    for await (const piece of this.#archive.content()) {
      if (this.#limited) {
        this.#left -= BigInt(piece.length);
        if (this.#left < 0n) {
          throw new ExtractionError('extraction size limit exceeded');
        }
      }
      await file.write(piece);
    }
  }

  /** @param prefix in front of the text of a failure */
  async #folderAt(prefix: string, parts: readonly Buffer[]): Promise<FolderHandle> {
    try {
      this.#refuseLongPath(parts);
      return await this.#cursor.folderAt(parts);
    } catch (error) {
      if (!(error instanceof FolderFailure)) {
        throw this.#failure(prefix, 'mkdir', parts, error);
      }
      const failed = parts.slice(0, error.depth + 1);
      if (!error.occupied) {
        throw this.#failure(prefix, 'mkdir', failed, error.cause);
      }
      // Each style has its own view of a file that stands in the way (spec files.md §7.2).
      if (this.#rules.textStyle === 'path') {
        throw this.#failure(prefix, 'mkdir', failed, undefined, 'ENOTDIR');
      }
      throw failed.length === parts.length
        ? this.#failure(prefix, 'mkdir', failed, undefined, 'EEXIST')
        : this.#occupied(prefix, failed, this.#services.platform.files.inTheWay.file);
    }
  }

  #occupiedByDestination(shown: string): ExtractionError {
    return this.#rules.textStyle === 'path'
      ? this.#failure(`create ${shown}: `, 'open', [], undefined, 'EISDIR')
      : this.#occupied(`create ${shown}: `, [], this.#services.platform.files.inTheWay.folder);
  }

  /** Style `at`: `<prefix>openat <place>: <reason>`. */
  #occupied(prefix: string, parts: readonly Buffer[], reason: string): ExtractionError {
    return new ExtractionError(`${prefix}openat ${this.#inside(parts) || '.'}: ${reason}`);
  }

  #inside(parts: readonly Buffer[]): string {
    return parts.map(decodeBytes).join(this.#paths.separator);
  }

  /** Going from folder to folder one can make a path that is too long for every program that names it as a whole. */
  #refuseLongPath(target: readonly Buffer[]): void {
    const length = target.reduce((sum, part) => sum + 1 + part.length, Buffer.byteLength(this.#destination.path));
    if (length > this.#services.platform.files.longestPath) {
      throw new LongPath();
    }
  }

  /** `<prefix><operation> <place>: <reason>` in the style of the profile. */
  #failure(
    prefix: string,
    operation: 'open' | 'mkdir',
    parts: readonly Buffer[],
    error: unknown,
    code = error instanceof LongPath ? 'ENAMETOOLONG' : undefined,
  ): ExtractionError {
    const reason = code === undefined ? this.#paths.reason(error) : this.#paths.reasonForCode(code);
    const { separator } = this.#paths;
    const inside = this.#inside(parts);
    const place =
      this.#rules.textStyle === 'at'
        ? `${operation}at ${inside === '' ? '.' : inside}`
        : `${operation} ${this.#destination.path}${inside === '' ? '' : separator}${inside}`;
    return new ExtractionError(`${prefix}${place}: ${reason}`, { cause: error });
  }
}

/** The target of an entry is longer than the longest path of the system. */
class LongPath extends Error {}

/** A failure to read the archive or to write a file gets the prefix of its place. Any other error is a bug and stays as it is. */
function asExtractionError(prefix: string, error: unknown): unknown {
  const expected = error instanceof ArchiveError || error instanceof SystemCallError;
  return expected ? new ExtractionError(prefix + error.message, { cause: error }) : error;
}
