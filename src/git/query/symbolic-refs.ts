/**
 * Where a symbolic ref leads, read from the files where that is exactly what git would say, because starting git takes far
 * longer. Whatever is not in the plainest form is left to git.
 */
import { join } from 'node:path';
import { entryAt, readSmallFile } from '../run/control-files.ts';
import type { Repository } from '../run/repository.ts';

export type SymbolicRef =
  /** The full name of the last ref, which need not exist. */
  | { readonly ref: string }
  /** It is no symbolic ref, or there is no such ref. */
  | 'none'
  /** git has to be asked. */
  | 'unclear';

/** `HEAD` of the worktree that the request is made in. */
export async function readHead(repository: Repository): Promise<SymbolicRef> {
  return repository.found === undefined ? 'unclear' : read(repository, repository.found.gitDirectory, 'HEAD');
}

/** @param name full, of a ref that all worktrees share */
export async function readSharedRef(repository: Repository, name: string): Promise<SymbolicRef> {
  return repository.found === undefined ? 'unclear' : read(repository, repository.found.commonDirectory, name);
}

const mostBytes = 1_024;

async function read(repository: Repository, folder: string, name: string): Promise<SymbolicRef> {
  // In another storage the files are not what git reads.
  if (repository.found === undefined || repository.settings.some(({ key }) => key === 'extensions.refstorage')) {
    return 'unclear';
  }
  const { paths } = repository.program.services.platform;
  const file = await readSmallFile(join(folder, name), paths, { maxBytes: mostBytes });
  if (file.state === 'missing') {
    // A list of packed refs has no symbolic ones.
    return name === 'HEAD' ? 'unclear' : 'none';
  }
  const content = file.state === 'read' ? file.bytes.toString('latin1') : '';
  if (isCommit(content)) {
    return 'none';
  }
  const ref = /^ref: (refs\/(?:heads|remotes)\/[\w/-]+(?:\.[\w/-]+)*)\n$/.exec(content)?.[1];
  if (ref === undefined || /\/\/|\/$|\/\.|\.lock(?:\/|$)/.test(ref)) {
    return 'unclear';
  }
  const target = join(repository.found.commonDirectory, ref);
  const found = await readSmallFile(target, paths, { maxBytes: mostBytes });
  if (found.state === 'read') {
    return isCommit(found.bytes.toString('latin1')) ? { ref } : 'unclear';
  }
  return found.state === 'missing' && (await entryAt(target)) === undefined ? { ref } : 'unclear';
}

function isCommit(content: string): boolean {
  return /^(?:[0-9a-f]{40}|[0-9a-f]{64})\n$/.test(content);
}
