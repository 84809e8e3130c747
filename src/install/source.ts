/** Where the compressed CLI comes from: `-cli-zst`, else `-cli-url`, checked before anything is made of it (spec install.md §3 steps 5–7). */
import { tmpdir } from 'node:os';
import { failpointAsync } from '../base/failpoints.ts';
import { Blob, verify } from './blob.ts';
import { trustedAuthorities } from './certificates.ts';
import { blobPrefix } from './cli-path.ts';
import type { InstallContext, InstallRequest } from './context.ts';
import { download } from './download.ts';
import type { FetchFigures } from './facts.ts';
import { InstallFailure } from './failure.ts';
import { createProgress, silentProgress } from './progress.ts';
import { TemporaryFile } from './temporary-file.ts';

export interface Source {
  readonly blob: Blob;
  /** A file of the user's, which is removed once it is installed. */
  readonly isLocal: boolean;
  /** Lets go of it; a download is removed. A second call does nothing. */
  release(): Promise<void>;
}

/**
 * Both given: the local file, because it needs no network.
 * @param figures kept up to date when something is downloaded
 * @throws InstallFailure; nothing is left behind
 */
export async function openSource(
  request: InstallRequest,
  context: InstallContext,
  figures: FetchFigures,
): Promise<Source> {
  if (request.cliZst !== undefined) {
    return openLocal(request.cliZst, request.cliChecksum, context);
  }
  if (request.cliUrl !== undefined) {
    return fetchBlob(request.cliUrl, request, context, figures);
  }
  throw new InstallFailure(`cli ${request.version} missing and no --cli-url or --cli-zst provided`);
}

/** Whether {@link openSource} would go to the network. */
export function needsDownload({ cliZst, cliUrl }: InstallRequest): boolean {
  return cliZst === undefined && cliUrl !== undefined;
}

async function openLocal(path: string, checksum: string | undefined, { platform }: InstallContext): Promise<Source> {
  const blob = await Blob.open(path, platform.paths);
  try {
    if (checksum !== undefined) {
      verify(checksum, await blob.digest());
    }
  } catch (error) {
    await blob.close();
    throw error;
  }
  return { blob, isLocal: true, release: () => blob.close() };
}

async function fetchBlob(
  url: string,
  request: InstallRequest,
  context: InstallContext,
  figures: FetchFigures,
): Promise<Source> {
  const { platform, rules, timings, environment, print, warn } = context;
  const file = await createDownload(request.folder, context);
  try {
    await failpointAsync('install.download.created');
    const progress = rules.progress ? createProgress(timings.progressMs, print) : silentProgress;
    const digest = await download({
      url,
      environment,
      paths: platform.paths,
      timings,
      authorities: () => trustedAuthorities({ environment, paths: platform.paths, warn }),
      write: (bytes) => file.append(bytes),
      figures,
      progress,
      maxBytes: request.maxCliBytes,
      timeoutMs: request.cliDownloadTimeoutMs,
      namesInterruption: rules.namesInterruption,
    });
    verify(request.cliChecksum ?? '', digest);
    progress.finish();
    await failpointAsync('install.download.verified');
  } catch (error) {
    await file.discard();
    throw error;
  }
  return { blob: Blob.downloaded(file, platform.paths), isLocal: false, release: () => file.discard() };
}

/** Beside the versions, where there is room for them; elsewhere when that folder is not there or cannot be written. */
async function createDownload(folder: string, { platform }: InstallContext): Promise<TemporaryFile> {
  try {
    return await TemporaryFile.create(folder, blobPrefix, platform.paths);
  } catch {
    try {
      return await TemporaryFile.create(tmpdir(), 'claustrum-fetch-', platform.paths);
    } catch (error) {
      throw new InstallFailure(`download failed: ${(error as Error).message}`, { cause: error });
    }
  }
}
