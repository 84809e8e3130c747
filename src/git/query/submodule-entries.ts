/** Entries for submodules in `git.status`, whose content is never looked at (spec git.md §4.2, last paragraph). */
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { goQuote } from '../../../platform/go-quote.ts';
import type { Paths } from '../../../platform/paths.ts';
import type { CommandResult } from '../../base/run-command.ts';
import { decodeBytes } from '../../wire/utf8.ts';
import { emptyTree, maxIndexListBytes } from '../run/git-program.ts';
import { cutBytes } from '../run/output-text.ts';
import type { CallOptions } from '../run/repository.ts';
import { mayNameSubmodules } from './index-submodules.ts';

/** Mode of a submodule in an index and in a tree. */
export const submoduleMode = '160000';
const mostEntries = 100;
const nameBytes = 200;

/** Runs git on the worktree's private git directory. */
export type Ask = (args: readonly string[], options?: Pick<CallOptions, 'maxOutputBytes'>) => Promise<CommandResult>;

/**
 * @param worktree where the files are
 * @param indexFile the index that git is asked about
 * @returns the entries, or the failure of a call
 */
export async function submoduleEntries(
  worktree: string,
  indexFile: string,
  paths: Paths,
  ask: Ask,
): Promise<string[] | { readonly failure: string }> {
  let indexed: Buffer[] = [];
  if (await mayNameSubmodules(indexFile, paths)) {
    const index = await ask(['ls-files', '-s', '-z'], { maxOutputBytes: maxIndexListBytes });
    if (index.failure !== undefined) {
      return { failure: index.failure };
    }
    indexed = submodulesInIndex(index.stdout);
  }
  const head = await ask(['rev-parse', '--verify', '-q', 'HEAD^{commit}']);
  const staged = await ask([
    'diff-index',
    '--cached',
    '--raw',
    '-z',
    '--ignore-submodules=none',
    head.failure === undefined ? 'HEAD' : emptyTree,
    '--',
  ]);
  if (staged.failure !== undefined) {
    return { failure: staged.failure };
  }

  const entries: string[] = [];
  for (const name of indexed) {
    const state = await presence(join(worktree, name.toString()));
    if (state !== 'absent') {
      entries.push(` S ${shown(name)} (${state})`);
    }
  }
  for (const name of changedSubmodules(staged.stdout)) {
    entries.push(` S ${shown(name)} (submodule change staged; contents not inspected)`);
  }
  if (entries.length <= mostEntries) {
    return entries;
  }
  return [...entries.slice(0, mostEntries), ` S … (+${entries.length - mostEntries} more submodule entries)`];
}

/** Names of the submodules in the output of `git ls-files -s -z`. */
export function submodulesInIndex(output: Buffer): Buffer[] {
  const names: Buffer[] = [];
  for (const record of records(output)) {
    const tab = record.indexOf(0x09);
    if (tab > 0 && record.toString('latin1', 0, 6) === submoduleMode) {
      names.push(record.subarray(tab + 1));
    }
  }
  return names;
}

/** Names in the output of `git diff-index --raw -z` of records with a submodule on either side. */
function changedSubmodules(output: Buffer): Buffer[] {
  const parts = [...records(output)];
  const names: Buffer[] = [];
  // A record is a line of modes, ids and status, and one name: renames are not asked for.
  for (let at = 0; at + 1 < parts.length; at += 2) {
    const [before, after] = parts[at]?.toString('latin1').slice(1).split(' ') ?? [];
    const name = parts[at + 1];
    if (name !== undefined && (before === submoduleMode || after === submoduleMode)) {
      names.push(name);
    }
  }
  return names;
}

function* records(output: Buffer): Generator<Buffer> {
  for (let at = 0; at < output.length; ) {
    const end = output.indexOf(0, at);
    if (end < 0) {
      return;
    }
    yield output.subarray(at, end);
    at = end + 1;
  }
}

async function presence(submodule: string): Promise<string> {
  try {
    await lstat(join(submodule, '.git'));
    return 'submodule present; contents not inspected';
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'ENOENT' || code === 'ENOTDIR' ? 'absent' : 'submodule; could not be inspected';
  }
}

function shown(name: Buffer): string {
  return goQuote(decodeBytes(cutBytes(name, nameBytes)) + (name.length > nameBytes ? '…' : ''));
}
