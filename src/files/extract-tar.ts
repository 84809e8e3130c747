/** The work of `files.extract_tar`: the order of its steps and what is left after each failure (spec files.md §7.1, §7.4). */

import { whyKept } from '../../platform/common/removal-guard.ts';
import { SystemCallError } from '../../platform/errors.ts';
import type { FolderHandle, ReadableFile } from '../../platform/files.ts';
import { goQuote } from '../../platform/go-quote.ts';
import { failpointAsync } from '../base/failpoints.ts';
import { ArchiveError } from './archive-error.ts';
import { ByteReader } from './byte-reader.ts';
import { exclusivelyAt } from './destination-lock.ts';
import { extract } from './extraction.ts';
import { ExtractionError } from './extraction-error.ts';
import { GzipReader, pieceBytes } from './gzip-reader.ts';
import type { FilesServices } from './services.ts';
import { TarReader } from './tar-reader.ts';

/**
 * Unpacks a gzipped tar archive into a fresh folder and consumes the archive.
 * @returns how many files were written
 * @throws ExtractionError
 */
export async function extractTar(
  archiveParam: string,
  destinationParam: string,
  services: FilesServices,
): Promise<number> {
  const { paths } = services.platform;
  const archivePath = paths.expandTilde(archiveParam);
  const destination = paths.expandTilde(destinationParam);
  await refuseDestination(destination, services);
  const cleaned = paths.clean(destination);
  return exclusivelyAt(cleaned, () => openAndExtract(archivePath, cleaned, services));
}

/** Comes before anything is touched, so the archive stays, too. @throws ExtractionError */
async function refuseDestination(destination: string, { platform }: FilesServices): Promise<void> {
  const kept = platform.paths.isAbsolute(destination) ? await whyKept(destination, platform) : 'spelling';
  if (kept === 'spelling' || kept === 'root') {
    throw new ExtractionError(`destDir must be an absolute, non-root path: ${goQuote(destination)}`);
  }
  if (kept === 'home') {
    throw new ExtractionError(`destDir must not be or contain the home directory: ${goQuote(destination)}`);
  }
}

async function openAndExtract(archivePath: string, destination: string, services: FilesServices): Promise<number> {
  const { files } = services.platform;
  const archive = await step('open archive: ', () => files.openForReading(archivePath));
  try {
    return await readAndExtract(archive, destination, services);
  } finally {
    await archive.close();
    // An archive that was opened is consumed, also when it could not be unpacked.
    await consume(archivePath, services).catch(() => undefined);
  }
}

async function consume(archivePath: string, { platform }: FilesServices): Promise<void> {
  await failpointAsync('files.extract.consume.before');
  if (!(await isDevice(archivePath, platform))) {
    await platform.files.remove(archivePath);
  }
}

/**
 * A device is left alone as archive and as destination: a request to root's daemon could remove `/dev/null` and so take
 * it from every program of the host. The contract does not speak of devices.
 */
async function isDevice(path: string, { files }: FilesServices['platform']): Promise<boolean> {
  const found = await files.statusOfEntry(path).catch(() => undefined);
  return found?.kind === 'characterDevice' || found?.kind === 'blockDevice';
}

async function readAndExtract(archive: ReadableFile, destination: string, services: FilesServices): Promise<number> {
  const gzip = await step('gzip: ', () => GzipReader.open(new ByteReader(piecesOf(archive))));
  await step('clean destDir: ', () => clean(destination, services));
  const made = await makeDestination(destination, services);
  const pieces = gzip.pieces();
  let folder = made;
  try {
    folder = await openDestination(destination, made, services);
    await refuseUnsearchable(folder, destination, services);
    const tar = new TarReader(new ByteReader(async () => (await pieces.next()).value ?? undefined));
    return await extract(tar, { path: destination, folder }, services);
  } finally {
    await pieces.return();
    await made.close();
    if (folder !== made) {
      await folder.close();
    }
  }
}

/** @throws ExtractionError */
async function makeDestination(destination: string, services: FilesServices): Promise<FolderHandle> {
  const { files } = services.platform;
  try {
    await failpointAsync('files.extract.clean.after');
    return await files.createFolders(destination);
  } catch (error) {
    // Made, but another process had put something else in its place before it was opened.
    if (services.profile.files.tar.openTexts && error instanceof SystemCallError && error.message.startsWith('open ')) {
      throw await changedDestination(destination, services, error);
    }
    throw prefixed('mkdir destDir: ', error);
  }
}

/** The destination as the profile opens it, once it is made. @throws ExtractionError */
async function openDestination(
  destination: string,
  made: FolderHandle,
  services: FilesServices,
): Promise<FolderHandle> {
  if (!services.profile.files.tar.openTexts) {
    return made;
  }
  await failpointAsync('files.extract.made.after');
  let opened: FolderHandle | 'changed';
  try {
    opened = await services.platform.files.reopenThroughParent(destination, made);
  } catch (error) {
    if (error instanceof SystemCallError && (error.code === 'ENOTDIR' || error.code === 'ELOOP')) {
      throw await changedDestination(destination, services, error);
    }
    const isParent = error instanceof SystemCallError && error.message.startsWith('open ');
    throw prefixed(isParent ? 'open parent: ' : 'open destDir: ', error);
  }
  if (opened === 'changed') {
    throw await changedDestination(destination, services, undefined);
  }
  return opened;
}

async function changedDestination(
  destination: string,
  { platform }: FilesServices,
  cause: unknown,
): Promise<ExtractionError> {
  const base = baseOf(destination, platform);
  const found = await platform.files.statusOfEntry(destination).catch(() => undefined);
  const what =
    found?.kind === 'link'
      ? `openat ${base}: path escapes from parent`
      : `${goQuote(base)} changed while it was opened`;
  return new ExtractionError(`open destDir: ${what}`, { cause });
}

function baseOf(destination: string, { paths }: FilesServices['platform']): string {
  return destination.slice(destination.lastIndexOf(paths.separator) + 1);
}

async function clean(destination: string, { platform }: FilesServices): Promise<void> {
  if (await isDevice(destination, platform)) {
    throw new SystemCallError(`unlinkat ${destination}: ${platform.paths.reasonForCode('EPERM')}`, 'EPERM');
  }
  await platform.files.removeTree(destination);
}

/** A umask can make a folder that not even its owner may use; style `at` says so before the first entry. */
async function refuseUnsearchable(folder: FolderHandle, destination: string, services: FilesServices): Promise<void> {
  if (services.profile.files.tar.textStyle !== 'at') {
    return;
  }
  try {
    await (await folder.openFolder(Buffer.from('.'))).close();
  } catch (error) {
    const { paths } = services.platform;
    const base = goQuote(baseOf(destination, services.platform));
    throw new ExtractionError(`open destDir: ${base} could not be examined (statat .: ${paths.reason(error)})`);
  }
}

/** Pieces of one buffer: each is valid until the next is asked for. */
function piecesOf(archive: ReadableFile): () => Promise<Buffer | undefined> {
  const buffer = Buffer.allocUnsafe(pieceBytes);
  return async () => {
    const length = await archive.read(buffer);
    return length === 0 ? undefined : buffer.subarray(0, length);
  };
}

/** Runs one step; its failure gets the contract's prefix. */
async function step<T>(prefix: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw prefixed(prefix, error);
  }
}

/** What nobody expected stays as it is. */
function prefixed(prefix: string, error: unknown): unknown {
  const isExpected = error instanceof SystemCallError || error instanceof ArchiveError;
  return isExpected ? new ExtractionError(prefix + error.message, { cause: error }) : error;
}
