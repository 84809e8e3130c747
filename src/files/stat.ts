/** `files.stat` and `files.validate` (spec files.md §3, §6). */
import { SystemCallError } from '../../platform/errors.ts';
import type { FileKind, FileStatus } from '../../platform/files.ts';
import { RpcError } from '../doors/rpc/errors.ts';
import type { ResultObject } from '../wire/json.ts';
import type { FilesServices } from './services.ts';

/** @throws RpcError `stat <path>: <reason>` for every failure but "does not exist" */
export async function statFile(path: string, services: FilesServices): Promise<ResultObject> {
  const found = await look(path, services);
  if (found === 'missing') {
    return { exists: false, isDir: false, size: 0, mode: '' };
  }
  if (found instanceof SystemCallError) {
    throw systemError(found);
  }
  return { exists: true, isDir: found.kind === 'directory', size: found.size, mode: modeText(found) };
}

/** Tells only whether the path exists; never a JSON-RPC error. */
export async function validatePath(path: string, services: FilesServices): Promise<ResultObject> {
  const found = await look(path, services);
  if (found === 'missing') {
    return { valid: false, isDir: false, error: 'Path does not exist' };
  }
  if (found instanceof SystemCallError) {
    return { valid: false, isDir: false, error: found.message };
  }
  return { valid: true, isDir: found.kind === 'directory' };
}

/** The operating system's own words as a reply. */
export function systemError(error: SystemCallError): RpcError {
  return new RpcError('internal', error.message, { cause: error });
}

/** ENOENT alone means "does not exist" (spec files.md §2). */
export function isMissing(error: unknown): boolean {
  return error instanceof SystemCallError && error.code === 'ENOENT';
}

async function look(path: string, { platform }: FilesServices): Promise<FileStatus | 'missing' | SystemCallError> {
  try {
    return await platform.files.status(platform.paths.expandTilde(path));
  } catch (error) {
    if (isMissing(error)) {
      return 'missing';
    }
    if (error instanceof SystemCallError) {
      return error;
    }
    throw error;
  }
}

const kindLetters: Record<FileKind, string> = {
  file: '',
  directory: 'd',
  link: 'L',
  fifo: 'p',
  socket: 'S',
  blockDevice: 'D',
  characterDevice: 'D',
  other: '',
};

/** Kind letters, then nine permission characters; not the text of `ls` (spec files.md §3). */
export function modeText({ kind, permissions }: Pick<FileStatus, 'kind' | 'permissions'>): string {
  let letters = kindLetters[kind];
  if (permissions & 0o4000) {
    letters += 'u';
  }
  if (permissions & 0o2000) {
    letters += 'g';
  }
  if (kind === 'characterDevice') {
    letters += 'c';
  }
  if (permissions & 0o1000) {
    letters += 't';
  }
  if (kind === 'other') {
    letters += '?';
  }
  let positions = '';
  for (let bit = 8; bit >= 0; bit--) {
    positions += permissions & (1 << bit) ? 'rwx'[(8 - bit) % 3] : '-';
  }
  return `${letters === '' ? '-' : letters}${positions}`;
}
