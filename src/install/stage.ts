/** From the compressed blob to the CLI at its path, which only ever holds a complete 0755 file (spec install.md §3 steps 8-9). */
import { createHash } from 'node:crypto';
import { lstat, unlink } from 'node:fs/promises';
import { whyKept } from '../../platform/common/removal-guard.ts';
import { goQuote } from '../../platform/go-quote.ts';
import type { Platform } from '../../platform/platform.ts';
import { failpointAsync } from '../base/failpoints.ts';
import { type Blob, verify } from './blob.ts';
import { InstallFailure } from './failure.ts';
import type { FileIdentity } from './file-identity.ts';
import { stagingPrefix } from './leftovers.ts';
import { isMissing } from './system-call.ts';
import { TemporaryFile } from './temporary-file.ts';
import { decompress, type FrameDecoder } from './zstd.ts';

export interface PlaceRequest {
  readonly platform: Platform;
  readonly blob: Blob;
  /** SHA-256 the blob was verified against; `undefined`: nobody knows it. */
  readonly checksum: string | undefined;
  readonly folder: string;
  readonly cliPath: string;
  /** 0: no limit. */
  readonly maxBytes: number;
  readonly decoder: FrameDecoder;
  /** Called after each time that the blob was decompressed without a fault. */
  onDecompressed(): void;
  /** Runs the staged file before it takes its place. Throws when the file may not take it. */
  approve(path: string, staged: FileIdentity): Promise<void>;
}

/** The home folder is at the path of the CLI, or below it. The blob is kept then. */
export class HomeGuardFailure extends InstallFailure {}

const cliMode = 0o755;

/** @returns the identity of the installed file. @throws InstallFailure, or SystemCallError for a chmod or rename that failed */
export async function place(request: PlaceRequest): Promise<FileIdentity> {
  try {
    return await placeOnce(request);
  } catch (error) {
    if (!(error instanceof StagedFileVanished)) {
      throw error;
    }
  }
  try {
    return await placeOnce(request);
  } catch (error) {
    if (!(error instanceof StagedFileVanished)) {
      throw error;
    }
    throw new InstallFailure(`staging file vanished before install: ${error.message}`, { cause: error });
  }
}

/** Another process cleaned the folder and removed the staged file. */
class StagedFileVanished extends Error {}

async function placeOnce(request: PlaceRequest): Promise<FileIdentity> {
  const { platform, cliPath } = request;
  const staged = await stage(request);
  try {
    await failpointAsync('install.staged');
    if ((await whyKept(cliPath, platform)) !== undefined) {
      throw new HomeGuardFailure(`cli path must not be or contain the home directory: ${goQuote(cliPath)}`);
    }
    await request.approve(staged.path, staged.identity);
    await clearFolder(cliPath, platform);
    await failpointAsync('install.rename.before');
    await platform.files.rename(staged.path, cliPath);
    return staged.identity;
  } catch (error) {
    const isGone = await lstat(staged.path).then(() => false, isMissing);
    await unlink(staged.path).catch(() => {});
    if (!isGone || error instanceof HomeGuardFailure) {
      throw error;
    }
    throw new StagedFileVanished((error as Error).message, { cause: error });
  }
}

interface Staged {
  readonly path: string;
  readonly identity: FileIdentity;
}

async function stage(request: PlaceRequest): Promise<Staged> {
  const { platform, blob, checksum, folder, maxBytes, decoder } = request;
  const file = await prefixing('staging cli', TemporaryFile.create(folder, stagingPrefix, platform.paths));
  try {
    const hash = createHash('sha256');
    await prefixing('decompressing', fill(file, decompress(blob.read(hash), decoder), maxBytes));
    // The blob was verified in an earlier pass, and whoever may write the file can have changed it between the two.
    if (checksum !== undefined) {
      verify(checksum, hash.digest('hex'));
    }
    request.onDecompressed();
    await file.setMode(cliMode);
    const identity = await file.identity();
    // A file that is open for writing cannot be run.
    await file.close();
    return { path: file.path, identity };
  } catch (error) {
    await file.discard();
    throw error;
  }
}

async function fill(file: TemporaryFile, content: AsyncIterable<Buffer>, maxBytes: number): Promise<void> {
  for await (const bytes of content) {
    if (maxBytes !== 0 && file.length + bytes.length > maxBytes) {
      throw new InstallFailure(`decompressed CLI exceeds ${maxBytes} bytes`);
    }
    await file.append(bytes);
  }
  await failpointAsync('install.sync.before');
  await file.sync();
}

async function prefixing<T>(prefix: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw new InstallFailure(`${prefix}: ${(error as Error).message}`, { cause: error });
  }
}

async function clearFolder(path: string, { files }: Platform): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found?.isDirectory() === true) {
    await prefixing(`clearing stale dir at ${path}`, files.removeTree(path));
  }
}
