/** Makes sure that the wanted CLI is there and runs (spec install.md §3), and returns the facts about it. */
import { lstat, stat, unlink } from 'node:fs/promises';
import { failpointAsync } from '../base/failpoints.ts';
import { checkVersionName } from './cli-path.ts';
import type { InstallContext, InstallRequest } from './context.ts';
import type { Facts, FetchFigures } from './facts.ts';
import { InstallFailure } from './failure.ts';
import { type FileIdentity, isSameFile } from './file-identity.ts';
import { prune, sweep } from './leftovers.ts';
import { clearFolderPlace, FolderFailure, makeFolder } from './make-folder.ts';
import { assertFileIsOurs, assertFolderIsOurs, assertStillStaged, ForeignFile } from './only-ours.ts';
import { needsDownload, openSource, type Source } from './source.ts';
import { HomeGuardFailure, place } from './stage.ts';
import { runVersion, type VersionRunOutcome } from './version-run.ts';

/** Contract text. Its numbers are fixed by the specification and do not follow `timings`. */
const unresponsiveText =
  'cli unresponsive: the installed Claude Code binary started but did not answer --version within 30s (120s for a first run) and was stopped; the host is not letting it run (endpoint security software or a stalled network home are the usual causes)';

class Unresponsive extends InstallFailure {
  constructor() {
    super(unresponsiveText);
  }
}

export type InstallOutcome = Omit<Facts, 'libc' | 'launcherStatus'>;

/** Every failure is in the outcome. */
export async function install(request: InstallRequest, context: InstallContext): Promise<InstallOutcome> {
  const { cliPath, folder } = request;
  let present: VersionRunOutcome;
  try {
    assertFolderIsOurs(folder, context.platform);
    present = await runPresent(cliPath, context);
  } catch (error) {
    return failed(cliPath, error);
  }
  if (present === 'passed') {
    return { cliPath, cliWasPresent: true };
  }
  if (present === 'stopped' && context.rules.unresponsive) {
    await sweepFolder(request, context);
    return failed(cliPath, new Unresponsive());
  }
  try {
    checkVersionName(request.version);
  } catch (error) {
    return failed(cliPath, error);
  }
  return new InstallAttempt(request, context).run();
}

/** Runs the file that is at the path already, links followed. One that another user could have put there counts as none. */
async function runPresent(cliPath: string, context: InstallContext): Promise<VersionRunOutcome> {
  const found = await stat(cliPath).catch(() => undefined);
  if (found?.isFile() !== true) {
    return 'failed';
  }
  try {
    return await run(cliPath, context.timings.cachedRunMs, context);
  } catch (error) {
    if (error instanceof ForeignFile) {
      context.warn(error.message);
      return 'failed';
    }
    throw error;
  }
}

/** @throws ForeignFile: such a file is not run */
async function run(path: string, boundMs: number, context: InstallContext): Promise<VersionRunOutcome> {
  const { platform, childEnv, timings } = context;
  assertFileIsOurs(path, platform);
  return runVersion(path, { platform, env: childEnv, boundMs, killedMs: timings.killedRunMs });
}

function failed(cliPath: string, error: unknown): InstallOutcome {
  return {
    cliPath: error instanceof FolderFailure ? '' : cliPath,
    cliWasPresent: false,
    cliError: (error as Error).message,
    cliUnresponsive: error instanceof Unresponsive ? true : undefined,
  };
}

/** One attempt to install. The checks that change nothing come before it. */
class InstallAttempt {
  readonly #request: InstallRequest;
  readonly #context: InstallContext;
  readonly #figures: FetchFigures = { bytes: 0, ms: 0, longestPauseMs: 0 };
  #triedDownload = false;
  #source: Source | undefined;
  #decompressed = false;
  #tidied = false;

  constructor(request: InstallRequest, context: InstallContext) {
    this.#request = request;
    this.#context = context;
  }

  async run(): Promise<InstallOutcome> {
    const { rules } = this.#context;
    const outcome = await this.#install().then(
      (): InstallOutcome => ({ cliPath: this.#request.cliPath, cliWasPresent: false }),
      (error: unknown) => failed(this.#request.cliPath, error),
    );
    await this.#tidy();
    await this.#consume();
    await failpointAsync('install.consumed');
    if (outcome.cliError === undefined) {
      await this.#prune();
    }
    return { ...outcome, fetch: rules.progress && this.#triedDownload ? this.#figures : undefined };
  }

  async #install(): Promise<void> {
    const { platform, rules, decoder } = this.#context;
    const { paths } = platform;
    const { folder, cliPath, maxCliBytes } = this.#request;
    if (rules.nextPaths) {
      await clearFolderPlace(folder, paths);
      await this.#makeFolder();
    }
    this.#triedDownload = needsDownload(this.#request);
    this.#source = await openSource(this.#request, this.#context, this.#figures);
    if (!rules.nextPaths) {
      await this.#makeFolder();
    }
    if (decoder.shortcoming !== undefined) {
      this.#context.warn(decoder.shortcoming);
    }

    const runsFirst = rules.order === 'runThenRename';
    const installed = await place({
      platform,
      blob: this.#source.blob,
      checksum: this.#request.cliChecksum,
      folder,
      cliPath,
      maxBytes: maxCliBytes,
      decoder,
      onDecompressed: () => {
        this.#decompressed = true;
      },
      approve: async (staged, identity) => {
        await assertStillStaged(staged, identity);
        if (runsFirst) {
          await this.#approve(staged);
        }
      },
    }).catch((error: unknown) => {
      if (error instanceof HomeGuardFailure) {
        this.#decompressed = false;
      }
      throw error;
    });
    await failpointAsync('install.renamed');
    if (runsFirst) {
      return;
    }
    await this.#tidy();
    await this.#approve(cliPath, installed);
  }

  /** Somebody else may have been faster, so what is there now is judged again. */
  async #makeFolder(): Promise<void> {
    const { platform } = this.#context;
    await makeFolder(this.#request.folder, platform.paths);
    assertFolderIsOurs(this.#request.folder, platform);
  }

  /** @param installed the file that is removed if it does not run. @throws InstallFailure */
  async #approve(path: string, installed?: FileIdentity): Promise<void> {
    const { rules, timings } = this.#context;
    const outcome = await run(path, timings.firstRunMs, this.#context);
    await failpointAsync('install.ran');
    if (outcome === 'passed') {
      return;
    }
    if (outcome === 'stopped' && rules.unresponsive) {
      throw new Unresponsive();
    }
    if (installed !== undefined) {
      await removeSame(path, installed);
    }
    throw new InstallFailure(`installed cli at ${this.#request.cliPath} is not runnable`);
  }

  /** Removes the download and the leftovers of earlier attempts. A second call does nothing. */
  async #tidy(): Promise<void> {
    if (this.#tidied) {
      return;
    }
    this.#tidied = true;
    await sweepFolder(this.#request, this.#context);
    if (this.#source?.isLocal === false) {
      await this.#source.release();
    }
  }

  /** Removes a local blob that could be decompressed, because it is not needed again, whether or not the CLI runs. */
  async #consume(): Promise<void> {
    if (this.#source?.isLocal !== true) {
      return;
    }
    if (!this.#decompressed) {
      await this.#source.release();
      return;
    }
    const reason = await this.#source.blob.remove();
    if (reason !== undefined) {
      this.#context.warn(`-cli-zst stays: ${reason}`);
    }
  }

  async #prune(): Promise<void> {
    const { platform, rules } = this.#context;
    const { folder, cliPath, cliKeep } = this.#request;
    await prune(folder, cliKeep, {
      places: platform,
      partFiles: rules.sweepParts,
      foldersToo: rules.pruneFolders,
      installed: cliPath,
    });
  }
}

async function sweepFolder({ folder, cliZst }: InstallRequest, context: InstallContext): Promise<void> {
  const { platform, rules, timings } = context;
  // The user's blob may lie in the folder itself, and a blob that was refused must stay there.
  const spared = cliZst === undefined ? undefined : await stat(cliZst, { bigint: true }).catch(() => undefined);
  await sweep(folder, {
    places: platform,
    partFiles: rules.sweepParts,
    ageMs: timings.leftoverAgeMs,
    spared,
  });
}

/** Removes our file only, because another install may have put its own there meanwhile. */
async function removeSame(path: string, installed: FileIdentity): Promise<void> {
  const now = await lstat(path, { bigint: true }).catch(() => undefined);
  if (isSameFile(now, installed)) {
    await unlink(path).catch(() => {});
  }
}
