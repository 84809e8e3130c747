/** Something that is made from the source once and kept as long as the source is the same. */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');
/** What was not asked for that long is removed by the next one that is made. */
const keptMs = 3_600_000;

export interface KeptBuild {
  /** Folder below `node_modules/.cache`. */
  readonly name: string;
  /** Every file that decides what comes of it, as patterns from the root of the project. */
  readonly sources: readonly string[];
  /** Fills an empty folder. */
  readonly make: (folder: string) => Promise<void>;
}

/** @returns the folder, which all test files share and none may change */
export async function keptBuild({ name, sources, make }: KeptBuild): Promise<string> {
  const builds = join(root, 'node_modules/.cache', name);
  const folder = join(builds, sourceHash(sources));
  if (!existsSync(folder)) {
    mkdirSync(builds, { recursive: true });
    removeUnused(builds);
    const making = mkdtempSync(join(builds, 'making-'));
    await make(making);
    // Some tests start it as another user.
    chmodSync(making, 0o755);
    try {
      renameSync(making, folder);
    } catch {
      // Another process was quicker.
      rmSync(making, { recursive: true });
    }
  }
  const now = new Date();
  utimesSync(folder, now, now);
  return folder;
}

function removeUnused(builds: string): void {
  for (const each of readdirSync(builds).map((found) => join(builds, found))) {
    // Another process may remove it at the same time.
    const usedMs = statSync(each, { throwIfNoEntry: false })?.mtimeMs;
    if (usedMs !== undefined && usedMs < Date.now() - keptMs) {
      rmSync(each, { recursive: true, force: true });
    }
  }
}

function sourceHash(patterns: readonly string[]): string {
  const hash = createHash('sha256');
  for (const file of globSync(['package-lock.json', ...patterns], { cwd: root }).sort()) {
    hash.update(`${file}\0`).update(readFileSync(join(root, file)));
  }
  return hash.digest('hex').slice(0, 16);
}
