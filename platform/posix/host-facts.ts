/** What is to be known of a Linux or macOS host by who looks for its faults. */
import { chmodSync, existsSync, lstatSync, readdirSync, readFileSync, statfsSync } from 'node:fs';
import { userInfo } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import type { AccessFault, FileSystemFacts, HostFacts, Quota } from '../host-facts.ts';
import { socketPathLimit } from './dial.ts';
import { mountOf } from './mounts.ts';
import type { PosixSystem } from './system.ts';
import { leaveLogin } from './systemd.ts';

export function createHostFacts(os: PosixSystem): HostFacts {
  return {
    socketPathLimit: socketPathLimit[os],
    privacyFault,
    fileSystemOf,
    openFiles,
    confinement: () => (os === 'linux' ? confinement() : undefined),
    loginEnd() {
      const { warning } = leaveLogin();
      const [reason = '', remedy = ''] = warning?.split('; to keep them: ') ?? [];
      return warning === undefined ? undefined : { reason, remedy };
    },
    // The account's own, not a variable: a login through ssh has it from there.
    loginShell,
    libc: () => (os === 'linux' ? libc() : undefined),
  };
}

function loginShell(): string | undefined {
  try {
    return userInfo().shell ?? undefined;
  } catch {
    // A user without an account, as in a container.
    return undefined;
  }
}

function privacyFault(path: string): AccessFault | undefined {
  const found = lstatSync(path, { throwIfNoEntry: false });
  const own = process.geteuid?.() ?? -1;
  if (found === undefined) {
    return undefined;
  }
  if (found.uid !== own) {
    const remedy = `as root: chown ${own} ${path}, or choose another -socket`;
    return { what: `belongs to user ${found.uid}, not to user ${own}`, remedy, isChangeable: true, mend: undefined };
  }
  if (found.isSymbolicLink() || (found.mode & 0o077) === 0) {
    return undefined;
  }
  const right = found.mode & 0o700;
  const mode = (found.mode & 0o7777).toString(8).padStart(4, '0');
  return {
    what: `mode ${mode} lets others in`,
    isChangeable: (found.mode & 0o022) !== 0,
    remedy: `chmod ${right.toString(8).padStart(4, '0')} ${path}`,
    mend: () => chmodSync(path, right),
  };
}

function fileSystemOf(path: string): FileSystemFacts | undefined {
  const folder = nearestFolder(resolve(path));
  try {
    const { bsize, bavail, blocks, ffree, files } = statfsSync(folder);
    const mount = mountOf(folder, textOf('/proc/self/mountinfo'));
    return {
      kind: mount?.kind ?? '',
      isNetwork: mount?.isNetwork ?? false,
      noPrograms: mount?.options.includes('noexec') ?? false,
      isReadOnly: mount?.options.includes('ro') ?? false,
      freeBytes: bsize * bavail,
      totalBytes: bsize * blocks,
      // Some file systems (btrfs) have no such number and tell zero of zero.
      freeEntries: files > 0 ? ffree : undefined,
    };
  } catch {
    return undefined;
  }
}

function nearestFolder(path: string): string {
  let at = path;
  while (!existsSync(at) && dirname(at) !== at) {
    at = dirname(at);
  }
  return at;
}

/** As the kernel tells it of this process: the runtime has raised its soft limit, so the hard one is what counts. */
function openFiles(): { readonly soft: number; readonly hard: number } | undefined {
  const [, soft, hard] = /^Max open files\s+(\S+)\s+(\S+)/m.exec(textOf('/proc/self/limits')) ?? [];
  return soft === undefined || hard === undefined ? undefined : { soft: limitOf(soft), hard: limitOf(hard) };
}

function limitOf(text: string): number {
  return /^\d+$/.test(text) ? Number(text) : Number.POSITIVE_INFINITY;
}

/** Version 2 of cgroups: the tightest of our group and those it lies in. */
function confinement(): ReturnType<HostFacts['confinement']> {
  const group = /^0::(\/.*)$/m.exec(textOf('/proc/self/cgroup'))?.[1];
  if (group === undefined) {
    return undefined;
  }
  let [memory, processes]: (Quota | undefined)[] = [];
  for (let at = join('/sys/fs/cgroup', group); at.startsWith('/sys/fs/cgroup/'); at = dirname(at)) {
    memory = tighter(memory, quotaIn(at, 'memory'));
    processes = tighter(processes, quotaIn(at, 'pids'));
  }
  return memory === undefined && processes === undefined ? undefined : { memory, processes };
}

function quotaIn(folder: string, controller: 'memory' | 'pids'): Quota | undefined {
  const [limit, used] = ['max', 'current'].map((name) => textOf(join(folder, `${controller}.${name}`)).trim());
  return /^\d+$/.test(limit ?? '') && /^\d+$/.test(used ?? '')
    ? { used: Number(used), limit: Number(limit) }
    : undefined;
}

function tighter(one: Quota | undefined, other: Quota | undefined): Quota | undefined {
  if (one === undefined || other === undefined) {
    return one ?? other;
  }
  return other.limit - other.used < one.limit - one.used ? other : one;
}

/** glibc tells its version to whoever is linked to it, which the runtime is; musl is known by its loader. */
function libc(): ReturnType<HostFacts['libc']> {
  const { glibcVersionRuntime } = (process.report.getReport() as { header: { glibcVersionRuntime?: string } }).header;
  if (glibcVersionRuntime !== undefined) {
    return { name: 'glibc', version: glibcVersionRuntime };
  }
  const hasMusl = existsSync('/lib') && readdirSync('/lib').some((name) => name.startsWith('ld-musl-'));
  return hasMusl ? { name: 'musl', version: '' } : undefined;
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
