/**
 * Which submodules have changes of their own, for the status of a whole repository (spec git.md §4.1). git would start
 * itself in every submodule, with that submodule's own configuration. So git is told not to look inside (`dirty`), each
 * submodule is asked like a repository of its own, and the answers go into the lines where git would have put them.
 */
import { join } from 'node:path';
import { isTrue } from '../run/allowed-settings.ts';
import { parseConfigList } from '../run/configuration-list.ts';
import { entryAt } from '../run/control-files.ts';
import { GitFailure, LimitReached } from '../run/failures.ts';
import { withRepository } from '../run/open-repository.ts';
import type { Repository } from '../run/repository.ts';
import { readSettings } from '../run/repository-settings.ts';
import { checkIndex, maxIndexListBytes, mayNameSubmodules, submodulesInIndex } from './index-submodules.ts';

/** Keeps git out of the submodules, and still lets it tell which of them are at another commit. */
export const withoutLookingInside = '--ignore-submodules=dirty';

/** So many submodules are asked at the same time. */
const atOnce = 4;
/** Levels of submodules in submodules. git itself has no limit, but a loop of links must end. */
const deepest = 16;
/** Submodules that one request looks into, all levels together. */
const mostLookedInto = 2_000;

/** What one request still may look into. */
interface Budget {
  left: number;
}

/** How much of a submodule counts: `none` of it is ignored, its untracked files are, all but its commit, or everything. */
type Ignored = 'none' | 'untracked' | 'dirty' | 'all';

/**
 * @param lines of `git status --porcelain` with {@link withoutLookingInside}, bytes as characters
 * @param top of the work tree
 * @returns the lines as git would have printed them
 * @throws GitFailure `callFailed`, `notRun`
 */
export async function withSubmoduleChanges(
  repository: Repository,
  lines: readonly string[],
  top: string,
): Promise<readonly string[]> {
  const changes = await changesBelow(repository, top, 0, { left: mostLookedInto });
  if (changes.length === 0) {
    return lines;
  }
  const quotes = !isFalse(await configured(repository, 'core.quotepath'));
  return changes.reduce((merged, change) => withChange(merged, change, quotes), lines);
}

interface Change {
  /** From the top, bytes as characters. */
  readonly path: string;
  /** `hidden`: not even another commit is to be shown. */
  readonly state: 'dirty' | 'hidden';
}

async function changesBelow(repository: Repository, top: string, depth: number, budget: Budget): Promise<Change[]> {
  const { program } = repository;
  const gitDirectory = repository.found?.gitDirectory;
  if (
    gitDirectory === undefined ||
    !(await mayNameSubmodules(join(gitDirectory, 'index'), program.services.platform.paths))
  ) {
    return [];
  }
  const index = await repository.run(['ls-files', '-s', '-z', '--full-name', '--', ':(top)'], {
    maxOutputBytes: maxIndexListBytes,
  });
  if (index.failure !== undefined) {
    throw new GitFailure('callFailed', index.failure);
  }
  const populated: string[] = [];
  for (const name of submodulesInIndex(index.stdout)) {
    if ((await entryAt(Buffer.concat([Buffer.from(`${top}/`), name, Buffer.from('/.git')]))) !== undefined) {
      populated.push(name.toString('latin1'));
    }
  }
  if (populated.length === 0) {
    return [];
  }
  budget.left -= populated.length;
  if (budget.left < 0) {
    throw new LimitReached(
      `git status not run: ${top} has more than ${mostLookedInto} submodules, the most that are looked into; set status.submoduleSummary or ask for each of them`,
    );
  }
  if (depth === deepest) {
    throw new LimitReached(
      `git status not run: submodules are nested more than ${deepest} levels deep at ${top}, and deeper ones are not looked into`,
    );
  }
  const ignored = await ignoredParts(repository, top);
  const changes: Change[] = [];
  for (let at = 0; at < populated.length; at += atOnce) {
    const some = populated.slice(at, at + atOnce).map(async (path): Promise<Change | undefined> => {
      const part = ignored(path);
      if (part === 'all') {
        return { path, state: 'hidden' };
      }
      const isDirty = part !== 'dirty' && (await hasChanges(repository, top, path, part, depth + 1, budget));
      return isDirty ? { path, state: 'dirty' } : undefined;
    });
    changes.push(...(await Promise.all(some)).filter((change) => change !== undefined));
  }
  return changes;
}

/** Whether anything differs in the submodule from its commit, or in a submodule of it. */
function hasChanges(
  above: Repository,
  top: string,
  path: string,
  ignored: Ignored,
  depth: number,
  budget: Budget,
): Promise<boolean> {
  const place = join(top, Buffer.from(path, 'latin1').toString());
  return withRepository(above.program, place, async (repository) => {
    // Without a repository here git would go on to the one around it.
    if (repository.found?.workTree !== place) {
      return false;
    }
    await checkIndex(join(repository.found.gitDirectory, 'index'));
    const untracked = ignored === 'untracked' ? ['-uno'] : [];
    const status = await repository.run(['status', '--porcelain', withoutLookingInside, ...untracked], {
      statusLike: true,
    });
    if (status.failure !== undefined) {
      throw new GitFailure('callFailed', status.failure);
    }
    const lines = status.stdout
      .toString('latin1')
      .split('\n')
      .filter((line) => line !== '');
    const inside = await changesBelow(repository, place, depth, budget);
    return inside.reduce((merged, change) => withChange(merged, change, true), lines as readonly string[]).length > 0;
  });
}

/** What is ignored of each submodule, by its path (gitmodules(5), `submodule.<name>.ignore`). */
async function ignoredParts(repository: Repository, top: string): Promise<(path: string) => Ignored> {
  const { paths } = repository.program.services.platform;
  const named = await readSettings(join(top, '.gitmodules'), paths);
  if ('refused' in named) {
    throw new GitFailure('notRun', named.refused);
  }
  const inTree = 'settings' in named ? named.settings : [];
  const listed = await repository.run(['config', '-z', '--list']);
  if (listed.failure !== undefined) {
    throw new GitFailure('callFailed', listed.failure);
  }
  const inForce = parseConfigList(listed.stdout).map(({ key, value }) => ({
    key: key.toString('latin1'),
    value: value.toString('latin1'),
  }));
  const all = [...inTree, ...inForce];
  const names = new Map<string, string>();
  for (const { key, value } of inTree) {
    const name = /^submodule\.(.*)\.path$/s.exec(key)?.[1];
    if (name !== undefined && value !== undefined) {
      names.set(value, name);
    }
  }
  const last = (key: string) => all.findLast((setting) => setting.key === key)?.value;
  const general = last('diff.ignoresubmodules');
  const hidesUntracked = last('status.showuntrackedfiles') === 'no' || isFalse(last('status.showuntrackedfiles'));
  return (path) => {
    const name = names.get(path);
    const own = asIgnored(name === undefined ? undefined : last(`submodule.${name}.ignore`)) ?? asIgnored(general);
    const part = own ?? 'none';
    return part === 'none' && hidesUntracked ? 'untracked' : part;
  };
}

function asIgnored(value: string | undefined): Ignored | undefined {
  return value === 'none' || value === 'untracked' || value === 'dirty' || value === 'all' ? value : undefined;
}

async function configured(repository: Repository, key: string): Promise<string | undefined> {
  const asked = await repository.run(['config', '-z', '--get', key]);
  return asked.failure === undefined ? asked.stdout.toString('latin1').split('\0')[0] : undefined;
}

function isFalse(value: string | undefined): boolean {
  return value !== undefined && !isTrue([{ key: '', value }], '');
}

/** Lines are sorted by name, those of untracked files behind all others. */
function withChange(lines: readonly string[], change: Change, quotes: boolean): readonly string[] {
  const isTracked = (line: string) => !line.startsWith('??') && !line.startsWith('!!');
  const at = lines.findIndex((line) => !isTracked(line) || nameIn(line) >= change.path);
  const place = at < 0 ? lines.length : at;
  const line = lines[place];
  const isThere = line !== undefined && isTracked(line) && nameIn(line) === change.path;
  if (!isThere) {
    return change.state === 'hidden' ? lines : lines.toSpliced(place, 0, ` M ${quoted(change.path, quotes)}`);
  }
  if (change.state === 'hidden') {
    const staged = `${line[0]} ${line.slice(2)}`;
    return line[1] === 'M' ? lines.toSpliced(place, 1, ...(line[0] === ' ' ? [] : [staged])) : lines;
  }
  return line[1] === ' ' ? lines.toSpliced(place, 1, `${line[0]}M${line.slice(2)}`) : lines;
}

/** The name in a line of `git status --porcelain`; of a rename, the new one. */
function nameIn(line: string): string {
  const parts = [...line.slice(3).matchAll(/"((?:[^"\\]|\\.)*)"|(.+?)(?= -> |$)/g)];
  const [, inQuotes, plain] = (/^[RC]|^.[RC]/.test(line) ? parts.at(-1) : parts[0]) ?? [];
  return inQuotes === undefined ? (plain ?? '').replace(/^ -> /, '') : unquoted(inQuotes);
}

const escapes: Readonly<Record<string, string>> = {
  ...{ a: '\x07', b: '\b', t: '\t', n: '\n', v: '\v', f: '\f', r: '\r' },
  ...{ '"': '"', '\\': '\\' },
};

function unquoted(text: string): string {
  return text.replace(/\\([0-7]{3}|.)/g, (_, code: string) => escapes[code] ?? String.fromCharCode(parseInt(code, 8)));
}

/** As git prints a name: in quotes when it has a space or a character that must be escaped. */
function quoted(name: string, quotesBytes: boolean): string {
  const special = quotesBytes ? /[\x00-\x1f"\\\x7f-\xff]/g : /[\x00-\x1f"\\\x7f]/g;
  const escaped = name.replace(special, (c) => {
    const letter = Object.keys(escapes).find((each) => escapes[each] === c);
    return letter === undefined ? `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}` : `\\${letter}`;
  });
  return escaped === name && !name.includes(' ') ? name : `"${escaped}"`;
}
