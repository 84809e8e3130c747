/**
 * Tests of the place of a worktree outside its repository, at `<root>/<directory>/<name>` (`worktreeRoot`, spec git.md §6.3).
 * Nobody but the user and the system may be able to change the folders on the way.
 */
import { readdir, realpath } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { markerName } from '../query/managed-place.ts';
import { componentsOf } from '../query/path-components.ts';
import { entryAt, targetOf } from '../run/control-files.ts';
import type { Repository } from '../run/repository.ts';
import type { GitServices } from '../run/services.ts';
import type { CreateParams } from './create-params.ts';
import { noParent, notRemoved, refusing, type WorktreeVerb } from './failures.ts';
import { refuseExisting } from './fresh-folder.ts';
import { realPathSoFar } from './real-path.ts';
import { checkSpelling } from './spelling.ts';

export interface ExternalPath {
  /** All as sent, after tilde. */
  readonly root: string;
  readonly path: string;
  readonly baseRepo: string;
}

export function externalPathOf(params: Pick<CreateParams, 'worktreeRoot' | 'worktreePath' | 'baseRepo'>): ExternalPath {
  return { root: params.worktreeRoot, path: params.worktreePath, baseRepo: params.baseRepo };
}

/** Tests 1, 2 and 3: spelling. @throws WorktreeFailure */
export function checkExternalSpelling(verb: WorktreeVerb, external: ExternalPath, services: GitServices): void {
  const { root, path, baseRepo } = external;
  const { paths, git: host } = services.platform;
  if (!host.externalRoots) {
    throw refusing(verb, `${root} cannot be used: a custom worktree location is not supported on Windows hosts yet`);
  }
  checkSpelling(verb, root, paths, host, 'choose the worktree location by its absolute path, without ".."');
  checkSpelling(verb, path, paths, host);
  if (testsAll(services)) {
    checkSpelling(verb, baseRepo, paths, host);
  }
  if (levelsOf(external, services) === undefined) {
    throw refusing(verb, `${path} is not <worktree location>/<directory>/<name> beneath ${root}`);
  }
  if (paths.isRoot(paths.clean(root))) {
    throw refusing(
      verb,
      `${testsAll(services) ? root : '/'} is a filesystem root; choose the worktree location by its absolute path, without "..", beneath the filesystem root`,
    );
  }
}

/** Test 4: not in the repository, by the spelling. @throws WorktreeFailure */
export function checkOutsideRepository(verb: WorktreeVerb, external: ExternalPath, services: GitServices): void {
  const { paths } = services.platform;
  if (!testsAll(services)) {
    return;
  }
  const { root, baseRepo } = external;
  if (paths.isWithin(paths.clean(root), resolve(baseRepo))) {
    throw refusing(
      verb,
      `${root} is the repository ${baseRepo} or inside it; a worktree location must be outside the repository`,
    );
  }
}

/** Test 5: who could change the folders above the root. @throws WorktreeFailure */
export async function checkWayToRoot(external: ExternalPath, services: GitServices): Promise<void> {
  if (!testsAll(services)) {
    return;
  }
  const { root } = external;
  const { paths, git: host } = services.platform;
  const spelled = paths.clean(root);
  const ways = [spelled, await realPathSoFar(spelled)];
  for (const directory of new Set(ways.flatMap(ancestors))) {
    const found = await targetOf(directory);
    if (found === undefined) {
      continue;
    }
    if (found.uid !== host.userId() && found.uid !== 0) {
      throw refusing(
        'create',
        `${root} passes through ${directory}, which is owned by uid ${found.uid}, neither you nor the system; choose a location you reach through your own directories`,
      );
    }
    const who = writers(found.mode, found.gid, services);
    if (who !== undefined && (found.mode & 0o1000) === 0) {
      throw refusing(
        'create',
        `${root} passes through ${directory}, which is writable by ${who} without the sticky bit (mode ${octal(found.mode)}), so they could replace what is beneath it; choose a location under directories only you (or the system) control, or remove the extra write permission (chmod go-w)`,
      );
    }
  }
}

/** Test 6: not in the repository nor in one of its worktrees, by where the root really leads. @throws WorktreeFailure */
export async function checkLeadsOutside(
  verb: WorktreeVerb,
  external: ExternalPath,
  repository: Repository,
): Promise<void> {
  const { services } = repository.program;
  if (!testsAll(services)) {
    return;
  }
  const { root, baseRepo } = external;
  const { paths } = services.platform;
  const listed = await listWorktrees(repository);
  if (listed.failure !== undefined && verb === 'remove') {
    throw notRemoved(`cannot list the repository's worktrees: ${listed.failure}`);
  }
  const at = await realPathSoFar(paths.clean(root));
  const base = await realpath(resolve(baseRepo)).catch(() => resolve(baseRepo));
  if (paths.isWithin(at, base)) {
    throw refusing(
      verb,
      `${root} leads into the repository ${baseRepo} (at ${at}); a worktree location must be outside the repository`,
    );
  }
  for (const worktree of listed.worktrees) {
    const place = await realpath(worktree).catch(() => worktree);
    if (paths.isWithin(at, place)) {
      throw refusing(
        verb,
        `${root} leads into ${worktree}, a worktree of the repository ${baseRepo} (at ${place}); a worktree location must be outside the repository's checkouts`,
      );
    }
  }
}

/** git older than 2.36 does not know `-z`, and its lines cannot tell a name with a newline from two. */
async function listWorktrees(
  repository: Repository,
): Promise<{ readonly worktrees: readonly string[]; readonly failure: string | undefined }> {
  let failure: string | undefined;
  for (const [form, end] of [[['-z'], '\0'] as const, [[], '\n'] as const]) {
    const listed = await repository.run(['worktree', 'list', '--porcelain', ...form], { changes: true });
    if (listed.failure === undefined) {
      const lines = listed.stdout.toString().split(end);
      return {
        worktrees: lines.flatMap((line) => /^worktree (.*)$/s.exec(line)?.[1] ?? []),
        failure: undefined,
      };
    }
    failure = listed.failure;
  }
  return { worktrees: [], failure };
}

/** Test 7: in no checkout at all. @throws WorktreeFailure */
export async function checkOutsideCheckouts(external: ExternalPath, services: GitServices): Promise<void> {
  if (!testsAll(services)) {
    return;
  }
  const { root } = external;
  const { paths } = services.platform;
  const spelled = paths.clean(root);
  if (await loops(spelled)) {
    throw refusing('create', `${root} passes through too many symbolic links (a loop?)`);
  }
  const real = await realPathSoFar(spelled);
  for (const directory of new Set([...ancestors(spelled), spelled, ...ancestors(real), real])) {
    if ((await entryAt(join(directory, '.git'))) !== undefined) {
      throw refusing(
        'create',
        `${root} is inside a git checkout (${directory} has a .git entry); a worktree location must be outside every checkout, so that no session working in one can reach it \u2014 choose a directory that is not part of any repository`,
      );
    }
  }
}

/** Tests 8, 9 and 10: what is at the root and below it already. @throws WorktreeFailure */
export async function checkRootItself(external: ExternalPath, services: GitServices): Promise<void> {
  const { root, path } = external;
  const { git: host, paths } = services.platform;
  const found = await targetOf(paths.clean(root));
  if (found !== undefined) {
    if (!found.isDirectory()) {
      throw noParent(`${root} is not a directory`);
    }
    if (found.uid !== host.userId()) {
      throw refusing(
        'create',
        `${root} is owned by uid ${found.uid}, not by you (uid ${host.userId()}); choose a directory you own`,
      );
    }
    const who = writers(found.mode, found.gid, services);
    if (who !== undefined) {
      throw refusing(
        'create',
        `${root} is writable by ${who} (mode ${octal(found.mode)}); choose a directory only you can write to, or remove the extra write permission (chmod go-w)`,
      );
    }
  }
  const directory = dirname(paths.clean(path));
  await checkDirectoryLink('create', directory);
  const inner = await entryAt(directory);
  if (inner !== undefined) {
    if (!inner.isDirectory()) {
      throw noParent(`${directory} is not a directory`);
    }
    if (testsAll(services) && (await entryAt(join(directory, '.git'))) !== undefined) {
      throw refusing(
        'create',
        `${directory} is itself a git checkout (it has a .git entry); a worktree location must be outside every checkout`,
      );
    }
    const names = (await readdir(directory)).sort();
    const [example] = names;
    if (example !== undefined && !names.includes(markerName)) {
      throw refusing(
        'create',
        `${directory} already exists, is not marked as a worktree directory, and holds other files (for example "${example}"); a worktree directory must start out empty or carry the marker`,
      );
    }
  }
  await refuseExisting(path, services);
}

/** The folder below the root is a real one. @throws WorktreeFailure */
export async function checkDirectoryLink(verb: WorktreeVerb, directory: string): Promise<void> {
  if ((await entryAt(directory))?.isSymbolicLink()) {
    throw refusing(
      verb,
      `${directory} is a symbolic link; the directory under the worktree location must be a real directory`,
    );
  }
}

function testsAll(services: GitServices): boolean {
  return services.profile.git.externalRootTests === 'full';
}

/** `<directory>` and `<name>`; `undefined` when the path is not exactly two levels below the root. */
export function levelsOf(external: ExternalPath, services: GitServices): [directory: string, name: string] | undefined {
  const { paths } = services.platform;
  const root = paths.clean(external.root);
  const path = paths.clean(external.path);
  if (!paths.isWithin(path, root)) {
    return undefined;
  }
  const [directory, name, ...more] = componentsOf(relative(root, path));
  return directory !== undefined && name !== undefined && more.length === 0 ? [directory, name] : undefined;
}

/** The folders above a path, the topmost first. */
function ancestors(path: string): string[] {
  const parent = dirname(path);
  return parent === path ? [] : [...ancestors(parent), parent];
}

async function loops(path: string): Promise<boolean> {
  for (const at of [...ancestors(path), path]) {
    try {
      await realpath(at);
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'ELOOP';
    }
  }
  return false;
}

/** Who may write besides the owner, in the contract's words; `undefined`: nobody. */
function writers(mode: number, gid: number, services: GitServices): string | undefined {
  const group = (mode & 0o020) !== 0 && !services.platform.git.isPrivateGroup(gid);
  const others = (mode & 0o002) !== 0;
  if (group && others) {
    return 'its group and every user on this host';
  }
  if (others) {
    return 'every user on this host';
  }
  return group ? 'its group' : undefined;
}

function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, '0');
}
