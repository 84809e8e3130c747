/** Opens the compressed CLI, `-cli-zst` or else `-cli-url`, and verifies its checksum (spec install.md §3 steps 5-7). */
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
  /** Whether it is a file of the user's, which is removed only once it is installed. */
  readonly isLocal: boolean;
  /** Closes the blob, and removes it if it is a download. A second call does nothing. */
  release(): Promise<void>;
}

/**
 * When both are given the local file is taken, because it needs no network.
 * @param figures kept up to date when something is downloaded
 * @throws InstallFailure; a download that was begun is removed
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

/** The file lies beside the versions, because there is room for them; or in the temporary folder when that is not possible. */
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
