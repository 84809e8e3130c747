/** Makes sure that the wanted CLI is there and runs (spec install.md §3), and returns the facts about it. */
import { lstat, stat, unlink } from 'node:fs/promises';
import { failpointAsync } from '../base/failpoints.ts';
import { checkVersionName } from './cli-path.ts';
import type { InstallContext, InstallRequest } from './context.ts';
import type { Facts, FetchFigures, LauncherFacts } from './facts.ts';
import { InstallFailure } from './failure.ts';
import { type FileIdentity, isSameFile } from './file-identity.ts';
import { prune, type SweepOptions, sweep, sweepPartFiles } from './leftovers.ts';
import { clearFolderPlace, FolderFailure, makeFolder } from './make-folder.ts';
import { type ManagedLauncher, policyFacts, runManaged, unresponsiveThrough } from './managed-launcher/managed-run.ts';
import type { LauncherResolution } from './managed-launcher/resolve.ts';
import { assertFileIsOurs, assertFolderIsOurs, assertStillStaged, ForeignFile } from './only-ours.ts';
import { needsDownload, openSource, type Source } from './source.ts';
import { HomeGuardFailure, place } from './stage.ts';
import { runVersion, type VersionRunOutcome } from './version-run.ts';

/** Contract text. Its numbers are fixed by the specification and do not follow `timings`. */
const unresponsiveText =
  'cli unresponsive: the installed Claude Code binary started but did not answer --version within 30s (120s for a first run) and was stopped; the host is not letting it run (endpoint security software or a stalled network home are the usual causes)';

class Unresponsive extends InstallFailure {
  constructor(text = unresponsiveText) {
    super(text);
  }
}

/** The installation went well, and then `-cli-keep` could not be followed (spec generation-n2.md §9). */
export class KeepCountRefused extends Error {
  override readonly name = 'KeepCountRefused';

  constructor(count: number) {
    super(`-cli-keep ${count} is not a valid keep count`);
  }
}

export type InstallOutcome = Omit<Facts, 'libc'>;

/** Every failure is in the outcome, but one. @throws KeepCountRefused */
export async function install(request: InstallRequest, context: InstallContext): Promise<InstallOutcome> {
  try {
    assertFolderIsOurs(request.folder, context.platform);
  } catch (error) {
    return failed(request.cliPath, error);
  }
  if (context.rules.partFiles === 'ownSweep') {
    await sweepPartFiles(request.folder, await sweeping(request, context, context.timings.partFileAgeMs));
  }
  const resolution = await context.resolveLauncher?.();
  const outcome = await installThrough(resolution, request, context).catch((error: unknown) => {
    if (error instanceof KeepCountRefused) {
      throw error;
    }
    return failed(request.cliPath, error);
  });
  const facts = resolution === undefined || outcome.cliPath === '' ? {} : policyFacts(resolution);
  // What came of a run says more than the policy as such.
  return { ...facts, ...outcome };
}

async function installThrough(
  resolution: LauncherResolution | undefined,
  request: InstallRequest,
  context: InstallContext,
): Promise<InstallOutcome> {
  const launcher = resolution === undefined || resolution.status === 'none' ? undefined : resolution;
  const present = await (launcher === undefined
    ? runPresent(request, context)
    : runPresentThrough(launcher, request, context));
  if (present !== 'install') {
    return present;
  }
  try {
    checkVersionName(request.version);
  } catch (error) {
    return failed(request.cliPath, error);
  }
  return new InstallAttempt(request, context, launcher).run();
}

/** Runs the file that is at the path already. @returns what came of it, or that it must be installed */
async function runPresent(request: InstallRequest, context: InstallContext): Promise<InstallOutcome | 'install'> {
  const { cliPath } = request;
  const found = await runIfOurs(cliPath, context, () => run(cliPath, context.timings.cachedRunMs, context));
  if (found === 'passed') {
    return { cliPath, cliWasPresent: true };
  }
  if (found === 'stopped' && context.rules.unresponsive) {
    await sweepFolder(request, context);
    return failed(cliPath, new Unresponsive());
  }
  return 'install';
}

/** A launcher that fails says nothing about the CLI: only a run that hangs is a failure, and a file that is there stays. */
async function runPresentThrough(
  launcher: ManagedLauncher,
  request: InstallRequest,
  context: InstallContext,
): Promise<InstallOutcome | 'install'> {
  const { cliPath } = request;
  const found = await runIfOurs(cliPath, context, () => {
    assertFileIsOurs(cliPath, context.platform);
    return runManaged(launcher, cliPath, 'cached', context);
  });
  if (found === undefined) {
    return 'install';
  }
  const { outcome, facts } = found;
  if (outcome !== 'stopped') {
    return { cliPath, cliWasPresent: true, ...facts };
  }
  await sweepFolder(request, context);
  return { ...failed(cliPath, new Unresponsive(unresponsiveThrough(facts.launcher?.[0] ?? ''))), ...facts };
}

/** Links followed. `undefined`: there is no file, or one that another user could have put there, which counts as none. */
async function runIfOurs<T>(path: string, context: InstallContext, work: () => Promise<T>): Promise<T | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isFile() !== true) {
    return undefined;
  }
  try {
    return await work();
  } catch (error) {
    if (error instanceof ForeignFile) {
      context.warn(error.message);
      return undefined;
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
  readonly #launcher: ManagedLauncher | undefined;
  readonly #figures: FetchFigures = { bytes: 0, ms: 0, longestPauseMs: 0 };
  #triedDownload = false;
  #source: Source | undefined;
  #decompressed = false;
  #tidied = false;
  #launcherFacts: LauncherFacts | undefined;

  /** @param launcher `undefined`: the CLI is run directly */
  constructor(request: InstallRequest, context: InstallContext, launcher: ManagedLauncher | undefined) {
    this.#request = request;
    this.#context = context;
    this.#launcher = launcher;
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
    const fetch = rules.progress && this.#triedDownload ? this.#figures : undefined;
    return { ...outcome, fetch, ...this.#launcherFacts };
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
    if (this.#launcher === undefined) {
      await this.#approve(cliPath, installed);
    } else {
      await this.#approveThrough(this.#launcher);
    }
  }

  /** The new file stays, whatever comes of the run. @throws InstallFailure when the run had to be stopped */
  async #approveThrough(launcher: ManagedLauncher): Promise<void> {
    assertFileIsOurs(this.#request.cliPath, this.#context.platform);
    const { outcome, facts } = await runManaged(launcher, this.#request.cliPath, 'first', this.#context);
    this.#launcherFacts = facts;
    await failpointAsync('install.ran');
    if (outcome === 'stopped') {
      throw new Unresponsive(unresponsiveThrough(facts.launcher?.[0] ?? ''));
    }
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
    if (cliKeep < 0 && rules.negativeKeep === 'refused') {
      throw new KeepCountRefused(cliKeep);
    }
    await prune(folder, cliKeep, {
      places: platform,
      partFiles: rules.partFiles,
      foldersToo: rules.pruneFolders,
      installed: cliPath,
    });
  }
}

async function sweepFolder(request: InstallRequest, context: InstallContext): Promise<void> {
  await sweep(request.folder, await sweeping(request, context, context.timings.leftoverAgeMs));
}

async function sweeping({ cliZst }: InstallRequest, context: InstallContext, ageMs: number): Promise<SweepOptions> {
  const { platform, rules } = context;
  // The user's blob may lie in the folder itself, and a blob that was refused must stay there.
  const spared = cliZst === undefined ? undefined : await stat(cliZst, { bigint: true }).catch(() => undefined);
  return { places: platform, partFiles: rules.partFiles, ageMs, spared };
}

/** Removes our file only, because another install may have put its own there meanwhile. */
async function removeSame(path: string, installed: FileIdentity): Promise<void> {
  const now = await lstat(path, { bigint: true }).catch(() => undefined);
  if (isSameFile(now, installed)) {
    await unlink(path).catch(() => {});
  }
}
