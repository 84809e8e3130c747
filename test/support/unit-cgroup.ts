/** The cgroup of a unit, as systemd makes one; the kernel then tells of every process in it that it is the unit's. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Need, ofThePlace, root } from './needs.ts';
import { waitUntil } from './wait.ts';

export class UnitCgroup implements AsyncDisposable {
  readonly path: string;

  /** @throws where the place forbids it */
  constructor(unit: string) {
    const hierarchies = ['systemd', 'pids', ''].map((name) => join('/sys/fs/cgroup', name));
    const hierarchy = hierarchies.find((folder) => existsSync(join(folder, 'cgroup.procs')));
    if (hierarchy === undefined) {
      throw new Error('no cgroup hierarchy is mounted');
    }
    this.path = join(mkdtempSync(join(hierarchy, 'hf-')), unit);
    mkdirSync(this.path);
  }

  /** In the order in which they came in. */
  pids(): number[] {
    return readFileSync(join(this.path, 'cgroup.procs'), 'utf8').trim().split('\n').filter(Boolean).map(Number);
  }

  /** Once nothing runs in it any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    await waitUntil(() => this.pids().length === 0 || undefined, 'everything in the cgroup to end');
    for (const folder of [this.path, dirname(this.path)]) {
      // The kernel needs a moment for the last of them.
      await waitUntil(() => removed(folder) || undefined, 'the cgroup to be removed');
    }
  }
}

function removed(folder: string): boolean {
  try {
    rmdirSync(folder);
    return true;
  } catch {
    return false;
  }
}

export function unitCgroups(): Need {
  if (root !== undefined) {
    return root;
  }
  try {
    const tried = new UnitCgroup('tried.service');
    void tried[Symbol.asyncDispose]();
    return undefined;
  } catch (error) {
    return ofThePlace(false, `a cgroup that it may make (${(error as Error).message})`);
  }
}
