/**
 * Programs that populated submodules configure. `git status` of a whole repository asks git about each of them, and the
 * pins of the repository's own programs do not know their names.
 */
import { join } from 'node:path';
import type { Paths } from '../../platform/platform.ts';
import { entryAt, openRegular } from './control-files.ts';
import type { ConfigPin } from './hardening.ts';
import type { Repository } from './repository.ts';
import { submodulesInIndex } from './submodules.ts';
import { lineOf } from './text.ts';

/** Submodules asked at once. */
const atOnce = 4;
/** Of the submodules of submodules and so on; git itself has no limit, but a loop of links must end. */
const deepest = 16;

/**
 * @param worktree a folder in the work tree, or the top of it
 * @param gitDirectory of that work tree, absolute or relative to `worktree`
 * @throws CannotPin
 */
export async function submoduleProgramPins(
  repository: Repository,
  worktree: string,
  gitDirectory: string,
): Promise<ConfigPin[]> {
  return pinsBelow(repository, worktree, gitDirectory, 0);
}

async function pinsBelow(
  repository: Repository,
  worktree: string,
  gitDirectory: string,
  depth: number,
): Promise<ConfigPin[]> {
  if (
    depth === deepest ||
    !(await mayNameSubmodules(join(gitDirectory, 'index'), repository.program.services.platform.paths))
  )
    return [];
  const top = await repository.run(['rev-parse', '--show-toplevel'], { directory: worktree });
  const index = await repository.run(['ls-files', '-s', '-z', '--full-name', '--', ':(top)'], { directory: worktree });
  if (top.failure !== undefined || index.failure !== undefined) return [];
  const populated: string[] = [];
  for (const name of submodulesInIndex(index.stdout)) {
    const path = join(lineOf(top), name.toString());
    if ((await entryAt(join(path, '.git'))) !== undefined) populated.push(path);
  }
  const pins: ConfigPin[] = [];
  for (let at = 0; at < populated.length; at += atOnce) {
    const some = populated.slice(at, at + atOnce).map((path) => pinsOf(repository, path, depth + 1));
    pins.push(...(await Promise.all(some)).flat());
  }
  return pins;
}

async function pinsOf(repository: Repository, path: string, depth: number): Promise<ConfigPin[]> {
  const where = await repository.run(['rev-parse', '--absolute-git-dir'], { directory: path, set: 'heavy' });
  if (where.failure !== undefined) return [];
  return [...(await repository.programPinsOf(path)), ...(await pinsBelow(repository, path, lineOf(where), depth))];
}

/** The mode of a submodule as an index has it, and the names of the extensions behind which there may be more entries. */
const marks = [Buffer.from([0, 0, 0xe0, 0]), Buffer.from('link'), Buffer.from('sdir')];

/**
 * Whether the index may name submodules: quick, because most name none and listing a large index costs as much as the
 * status itself. May say yes for no reason, never no.
 */
async function mayNameSubmodules(index: string, paths: Paths): Promise<boolean> {
  const opened = await openRegular(index, paths, { maxBytes: Number.MAX_SAFE_INTEGER, followLinks: true });
  if (opened.state !== 'open') return opened.state !== 'missing';
  const { file } = opened;
  try {
    const overlap = 3;
    const piece = Buffer.alloc(1_048_576 + overlap);
    let kept = 0;
    for (;;) {
      const { bytesRead } = await file.read(piece, kept, piece.length - kept, null);
      if (bytesRead === 0) return false;
      const seen = piece.subarray(0, kept + bytesRead);
      if (marks.some((mark) => seen.includes(mark))) return true;
      kept = Math.min(overlap, seen.length);
      seen.copy(piece, 0, seen.length - kept);
    }
  } finally {
    await file.close();
  }
}
