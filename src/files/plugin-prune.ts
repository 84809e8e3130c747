/** The work of `plugins.prune`: removes unpacked plug-ins that nobody uses any more (spec files.md §8). */

import { whyKept } from '../../platform/common/removal-guard.ts';
import type { Platform } from '../../platform/platform.ts';
import { socketName } from '../../platform/published-names.ts';
import { messageOf } from '../base/error-texts.ts';
import { exclusivelyAt } from './destination-lock.ts';
import { findSibling } from './plugin-siblings.ts';
import { isMissing } from './system-failures.ts';

export interface PluginServices {
  readonly platform: Pick<Platform, 'files' | 'host' | 'paths' | 'transport'>;
  readonly settings: { readonly socketPath: string };
  /** Command and arguments of every child whose exit has not been reported. */
  runningArguments(): Promise<Iterable<readonly string[]>>;
}

const dayMs = 86_400_000;
const leastDays = 7n;
const mostDays = 3650n;

/** Name of an unpacked plug-in: the start of a hash. */
const hash = /^[0-9a-f]{16}$/;
/** A hash inside an argument: a run of hexadecimal digits that is neither longer nor shorter. */
const hashInText = /(?<![0-9a-f])[0-9a-f]{16}(?![0-9a-f])/g;

const noRoots = "this daemon's socket is not under run/<clientId>/, so it has no per-install plugin root to prune";

/** What a prune has done. */
export interface PruneReport {
  /** The folder of this install's own plug-ins; `''` when there is none. */
  readonly root: string;
  /** Hashes that were removed from `root`, sorted. */
  readonly pruned: readonly string[];
  /** Hashes that were removed from the folder that all installs share, sorted. */
  readonly prunedLegacy: readonly string[];
  /** How many were kept, because a child uses them or because they are not old enough. */
  readonly live: number;
  readonly young: number;
  /** What became of the shared folder, in the contract's words. */
  readonly legacy: string;
  /** Why nothing was looked at. */
  readonly skipped?: string;
  /** `<path>: <error>` of everything that could not be listed or removed. */
  readonly errors: readonly string[];
  /** The age that was applied. */
  readonly minAgeDays: number;
}

/** What one prune has done so far. */
interface Tally {
  live: number;
  young: number;
  readonly errors: string[];
}

const nothingDone = { root: '', pruned: [], prunedLegacy: [], live: 0, young: 0, errors: [], minAgeDays: 0 } as const;

/** @param minAgeDays clamped to 7...3650 */
export async function prunePlugins(minAgeDays: bigint | undefined, services: PluginServices): Promise<PruneReport> {
  const { platform } = services;
  const install = installOf(services);
  if (install === undefined) {
    return { ...nothingDone, legacy: `skipped: ${noRoots}`, skipped: noRoots };
  }

  const days = clamp(minAgeDays ?? 0n);
  const tally: Tally = { live: 0, young: 0, errors: [] };
  const root = join(install.folder, 'plugins', install.id);
  const pruned = await sweep(root, () => false);

  const sharedRoot = join(install.folder, 'plugins');
  const sibling = await findSibling(join(install.folder, 'run'), install.id, platform);
  if (sibling !== undefined) {
    const why = `another install's daemon is running (${sibling}); its sessions may use the shared legacy dirs`;
    return { ...tally, root, pruned, prunedLegacy: [], legacy: `skipped: ${why}`, minAgeDays: days };
  }
  if ((await statusOf(sharedRoot)) === undefined) {
    return { ...tally, root, pruned, prunedLegacy: [], legacy: 'absent', minAgeDays: days };
  }
  // The id of an install may look like a hash, but the folder of its plug-ins is no plug-in.
  const installs = await namesIn(join(install.folder, 'run'));
  const prunedLegacy = await sweep(sharedRoot, (name) => name === install.id || installs.includes(name));
  return { ...tally, root, pruned, prunedLegacy, legacy: 'swept', minAgeDays: days };

  function join(...parts: string[]): string {
    return platform.paths.clean(parts.join(platform.paths.separator));
  }

  /** @returns the hashes whose folders are gone now, sorted */
  async function sweep(folder: string, isForeign: (name: string) => boolean): Promise<string[]> {
    const gone: string[] = [];
    const names = (await namesIn(folder, tally.errors)).filter((name) => hash.test(name) && !isForeign(name)).sort();
    for (const name of names) {
      const path = join(folder, name);
      // An extraction into the same folder must not run meanwhile.
      if (await exclusivelyAt(path, () => sweepOne(path, name))) {
        gone.push(name);
      }
    }
    return gone;
  }

  async function sweepOne(path: string, name: string): Promise<boolean> {
    try {
      const found = await platform.files.statusOfEntry(path);
      if (found.kind !== 'directory') {
        return false;
      }
      if (await isLive(name)) {
        tally.live++;
        return false;
      }
      const marker = await statusOf(join(path, '.synced'));
      const newest = Math.max(found.modifiedMs, marker?.modifiedMs ?? 0);
      if (Date.now() - newest <= days * dayMs) {
        tally.young++;
        return false;
      }
      const kept = await whyKept(path, platform);
      if (kept !== undefined) {
        tally.errors.push(`${path}: it is or holds the home directory or a root, so it stays`);
        return false;
      }
      await platform.files.removeTree(path);
      return true;
    } catch (error) {
      if (!isMissing(error)) {
        tally.errors.push(`${path}: ${messageOf(error)}`);
      }
      return false;
    }
  }

  async function isLive(name: string): Promise<boolean> {
    for (const argv of await services.runningArguments()) {
      if (argv.some((argument) => argument.match(hashInText)?.includes(name))) {
        return true;
      }
    }
    return false;
  }

  /** A missing folder has no names. @param errors where any other failure is told */
  async function namesIn(folder: string, errors?: string[]): Promise<string[]> {
    try {
      return (await platform.files.list(folder, 'folderOnly')).map(({ name }) => name.toString());
    } catch (error) {
      if (!isMissing(error)) {
        errors?.push(`${folder}: ${messageOf(error)}`);
      }
      return [];
    }
  }

  async function statusOf(path: string) {
    return platform.files.statusOfEntry(path).catch(() => undefined);
  }
}

/** `<X>` and `<clientId>` of a socket path `<X>/run/<clientId>/rpc.sock`; `undefined` for any other. */
function installOf({ platform: { paths }, settings }: PluginServices): { folder: string; id: string } | undefined {
  const parts = paths.clean(settings.socketPath).split(paths.separator);
  const [run, id, name] = parts.slice(-3);
  if (run !== 'run' || id === undefined || name !== socketName) {
    return undefined;
  }
  const above = parts.slice(0, -3).join(paths.separator);
  const absolute = parts.length > 3;
  return { folder: absolute ? above || paths.separator : '.', id };
}

function clamp(days: bigint): number {
  if (days < leastDays) {
    return Number(leastDays);
  }
  return Number(days > mostDays ? mostDays : days);
}
