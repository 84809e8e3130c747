/** Entries for submodules in `git.status`, whose content is never looked at (spec git.md §4.2, last paragraph). */
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { goQuote } from '../../../platform/go-quote.ts';
import type { Paths } from '../../../platform/paths.ts';
import type { CommandResult } from '../../base/run-command.ts';
import { decodeBytes } from '../../wire/utf8.ts';
import { cutBytes, lineOf, nulParts } from '../run/output-text.ts';
import type { CallOptions } from '../run/repository.ts';
import { maxIndexListBytes, mayNameSubmodules, submoduleMode, submodulesInIndex } from './index-submodules.ts';

const mostEntries = 100;
const nameBytes = 200;

/** Runs git on the worktree's private git directory. */
export type Ask = (
  args: readonly string[],
  options?: Pick<CallOptions, 'maxOutputBytes' | 'input'>,
) => Promise<CommandResult>;

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
  const base = head.failure === undefined ? lineOf(head) : await emptyTree(ask);
  const staged = await ask(['diff-index', '--cached', '--raw', '-z', '--ignore-submodules=none', base, '--']);
  if (staged.failure !== undefined) {
    return { failure: staged.failure };
  }

  const entries: string[] = [];
  for (const name of indexed) {
    const presence = await presenceOf(join(worktree, name.toString()));
    if (presence !== 'absent') {
      entries.push(` S ${shown(name)} (${presence})`);
    }
  }
  for (const name of changedSubmodules(staged.stdout)) {
    entries.push(` S ${shown(name)} (submodule change staged; contents not inspected)`);
  }
  if (entries.length <= mostEntries) {
    return entries;
  }
  return [...entries.slice(0, mostEntries), ` S \u2026 (+${entries.length - mostEntries} more submodule entries)`];
}

/** Id of the tree without entries, by the repository's own hash. git knows this tree even where no object of it exists. */
async function emptyTree(ask: Ask): Promise<string> {
  return lineOf(await ask(['hash-object', '-t', 'tree', '--stdin'], { input: Buffer.alloc(0) }));
}

/** Names in the output of `git diff-index --raw -z` of records with a submodule on either side. */
function changedSubmodules(output: Buffer): Buffer[] {
  const names: Buffer[] = [];
  // Each record is two parts, the modes with ids and status, and the name: we do not ask git to look for renames.
  let isChange = false;
  let isName = false;
  for (const part of nulParts(output)) {
    if (isName && isChange) {
      names.push(part);
    } else if (!isName) {
      const [before, after] = part.toString('latin1').slice(1).split(' ');
      isChange = before === submoduleMode || after === submoduleMode;
    }
    isName = !isName;
  }
  return names;
}

/** Whether the submodule is checked out, in the words of the entry. */
async function presenceOf(submodule: string): Promise<string> {
  try {
    await lstat(join(submodule, '.git'));
    return 'submodule present; contents not inspected';
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'ENOENT' || code === 'ENOTDIR' ? 'absent' : 'submodule; could not be inspected';
  }
}

function shown(name: Buffer): string {
  return goQuote(decodeBytes(cutBytes(name, nameBytes)) + (name.length > nameBytes ? '\u2026' : ''));
}
