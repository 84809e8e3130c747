/** A memory cgroup of a test's own (version 1 or 2): what runs in it has so much memory and no more. */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Need, ofThePlace, root } from '../../support/needs.ts';
import { waitUntil } from '../../support/wait.ts';

const hierarchies = [
  {
    folder: '/sys/fs/cgroup/memory',
    limit: 'memory.limit_in_bytes',
    events: 'memory.oom_control',
    peak: 'memory.max_usage_in_bytes',
  },
  { folder: '/sys/fs/cgroup', limit: 'memory.max', events: 'memory.events', peak: 'memory.peak' },
] as const;

export class MemoryCgroup implements AsyncDisposable {
  readonly #path: string;
  readonly #files: (typeof hierarchies)[number];

  /** @throws where the place forbids it */
  constructor(limitBytes: number) {
    const files = hierarchies.find(({ folder }) => existsSync(join(folder, 'cgroup.procs')));
    if (files === undefined) {
      throw new Error('no memory cgroup is mounted');
    }
    this.#files = files;
    if (files.limit === 'memory.max') {
      writeFileSync(join(files.folder, 'cgroup.subtree_control'), '+memory');
    }
    this.#path = join(files.folder, `hf-${process.pid}-${Math.random().toString(36).slice(2, 8)}`);
    mkdirSync(this.#path);
    try {
      writeFileSync(join(this.#path, files.limit), String(limitBytes));
    } catch (error) {
      rmdirSync(this.#path);
      throw error;
    }
  }

  /** Words before a program that put it in here. */
  get through(): readonly string[] {
    return ['sh', '-c', `echo $$ >'${this.#path}/cgroup.procs' && exec "$@"`, 'sh'];
  }

  /** How many processes were killed for want of memory. */
  get killed(): number {
    return Number(/^oom_kill (\d+)$/m.exec(this.#read(this.#files.events))?.[1]);
  }

  /** Most bytes that were in use at once; `undefined` where the kernel does not tell. */
  get peakBytes(): number | undefined {
    return existsSync(join(this.#path, this.#files.peak)) ? Number(this.#read(this.#files.peak)) : undefined;
  }

  #read(name: string): string {
    return readFileSync(join(this.#path, name), 'utf8');
  }

  /** Once nothing runs in it any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    await waitUntil(() => this.#read('cgroup.procs').trim() === '' || undefined, 'everything in the cgroup to end');
    // The kernel needs a moment for the last of them.
    await waitUntil(() => this.#removed() || undefined, 'the cgroup to be removed');
  }

  #removed(): boolean {
    try {
      rmdirSync(this.#path);
      return true;
    } catch {
      return false;
    }
  }
}

export function memoryCgroups(): Need {
  if (root !== undefined) {
    return root;
  }
  try {
    const tried = new MemoryCgroup(64 * 1024 * 1024);
    void tried[Symbol.asyncDispose]();
    return undefined;
  } catch (error) {
    return ofThePlace(false, `a memory cgroup that it may make (${(error as Error).message})`);
  }
}
