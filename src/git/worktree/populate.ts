/** Copies into a new worktree what it gets besides the tracked files (spec git.md §6.5). No failure reaches the client. */
import { isUtf8 } from 'node:buffer';
import { opendir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { entryAt, readSmallFile, targetOf } from '../run/control-files.ts';
import { nulParts } from '../run/output-text.ts';
import type { Repository } from '../run/repository.ts';
import { FileCopies } from './file-copies.ts';

const manifestName = '.worktreeinclude';
const maxManifestBytes = 16_777_216;
/** So many ignored files are known by name. */
const mostIgnored = 1_000_000;
/** Bytes of arguments in one call, by path separator: Windows takes 32 KiB in all. */
const argumentBytes = { '/': 131_072, '\\': 24_576 } as const;

/** Names directly under `.claude/`, compared without case: what a running agent keeps there for itself, and the worktrees. */
const keptOut = [
  'scheduled_tasks.json',
  'scheduled_tasks.lock',
  'routines/.state',
  'worktrees',
  'checkpoints',
  'mailbox',
  'agent-registry.json',
  'first-run',
  'assistant-daemon-state.json',
];

/**
 * Copies from the work tree that the repository was found in, wherever else its configuration says that its files are.
 * @param worktree the new worktree, absolute
 * @param place where it must be, without links; `undefined`: wherever the path leads
 */
export async function populate(repository: Repository, worktree: string, place: string | undefined): Promise<void> {
  const { services } = repository.program;
  const source = repository.found?.workTree;
  if (source === undefined) {
    return;
  }
  let copies: FileCopies | undefined;
  try {
    copies = await FileCopies.into(services, source, { worktree, place });
    await copyInto(copies, repository, source, worktree);
    const { reached } = copies.budget;
    if (reached !== undefined) {
      services.counters.gitLimitsReached++;
      services.log.warn(
        'ServerHandler',
        `not everything was copied into the worktree ${worktree}: ${reached} is the limit; name less in ${manifestName} or in .claude`,
      );
    }
  } catch {
    // The client has asked for the worktree, and the worktree is there.
  } finally {
    await copies?.[Symbol.asyncDispose]().catch(() => {});
  }
}

async function copyInto(copies: FileCopies, repository: Repository, source: string, worktree: string): Promise<void> {
  switch (repository.program.services.profile.git.create.populate) {
    case 'claudeAndManifest':
      await copyClaudeFolder(copies, source, worktree);
      await copyAll(copies, plainLines(await manifestMatches(repository, source, [])));
      return;
    case 'manifestAndIgnored': {
      const matches = await manifestMatches(repository, source, []);
      if (matches.length === 0) {
        return;
      }
      const ignored = await setOf(
        plainLines(await output(repository, source, ['ls-files', ...ignoredFiles, '--exclude-standard'])),
      );
      await copyAll(copies, plainLines(matches), (path) => ignored.has(path));
      return;
    }
    case 'bothPasses': {
      const matches = await manifestMatches(repository, source, ['-z', '--', ':(exclude).claude/worktrees']);
      await copyAll(copies, namesIn(await onlyIgnored(repository, source, matches)), mayBeCopied);
      await copyIgnoredClaudeFiles(copies, repository, source);
    }
  }
}

/** Paths are kept as latin1 text, one character a byte, so that any name can be compared and written. */
async function copyAll(
  copies: FileCopies,
  paths: Iterable<string>,
  isWanted: (path: string) => boolean = () => true,
): Promise<void> {
  for (const path of paths) {
    if (!copies.budget.takeEntry()) {
      return;
    }
    // A path with a slash at its end is a nested repository, which is not copied.
    if (!path.endsWith('/') && isWanted(path)) {
      await copies.copy(Buffer.from(path, 'latin1'), 'keep');
    }
  }
}

const ignoredFiles = ['--others', '--ignored'] as const;
const nothing = Buffer.alloc(0);

/** The list of untracked files that the manifest names. */
async function manifestMatches(repository: Repository, source: string, more: readonly string[]): Promise<Buffer> {
  const { platform, profile } = repository.program.services;
  const manifest = await readSmallFile(join(source, manifestName), platform.paths, {
    maxBytes: maxManifestBytes,
    followLinks: profile.git.create.populate !== 'bothPasses',
  });
  if (manifest.state !== 'read') {
    return nothing;
  }
  // git reads a copy, because the file itself could become a FIFO before git opens it.
  return repository.program.temporaryFolders.with(async (folder) => {
    const copy = join(folder, 'manifest');
    await writeFile(copy, manifest.bytes, { flag: 'wx', mode: 0o600 });
    return output(repository, source, ['ls-files', ...ignoredFiles, `--exclude-from=${copy}`, ...more]);
  });
}

/**
 * Those of the paths that git ignores.
 * @param paths with a NUL byte after each, and so is the result
 */
async function onlyIgnored(repository: Repository, source: string, paths: Buffer): Promise<Buffer> {
  if (paths.length === 0) {
    return nothing;
  }
  const asked = await repository.run(['check-ignore', '--stdin', '-z'], {
    directory: source,
    statusLike: true,
    input: paths,
  });
  // git answers with exit status 1 when it ignores none of them.
  return asked.failure === undefined ? asked.stdout : nothing;
}

/** The ignored files below `.claude/`, which need no manifest. */
async function copyIgnoredClaudeFiles(copies: FileCopies, repository: Repository, source: string): Promise<void> {
  const folder = join(source, '.claude');
  if (!(await entryAt(folder))?.isDirectory()) {
    return;
  }
  const { separator } = repository.program.services.platform.paths;
  const limit = argumentBytes[separator === '\\' ? '\\' : '/'];
  let batch: string[] = [];
  let bytes = 0;
  const ask = async () => {
    if (batch.length === 0) {
      return;
    }
    const command = ['ls-files', ...ignoredFiles, '--exclude-standard', '-z', '--', ...batch];
    const listed = await output(repository, source, command, ['--literal-pathspecs']);
    await copyAll(copies, namesIn(listed), mayBeCopied);
    batch = [];
    bytes = 0;
  };
  for await (const { name: child } of entriesOf(folder)) {
    if (!copies.budget.takeEntry()) {
      return;
    }
    // Only a name in UTF-8 can be passed as an argument.
    if (!isUtf8(child) || child.toString().toLowerCase() === 'worktrees') {
      continue;
    }
    if (bytes + child.length > limit) {
      await ask();
    }
    batch.push(`.claude/${child.toString()}`);
    bytes += child.length + '.claude/'.length + 1;
  }
  await ask();
}

function mayBeCopied(path: string): boolean {
  const lower = path.toLowerCase();
  if (!lower.startsWith('.claude/')) {
    return true;
  }
  const inside = lower.slice('.claude/'.length);
  return !keptOut.some((name) => inside === name || inside.startsWith(`${name}/`));
}

/** Copies everything in `.claude/`, tracked or not, except the worktrees. */
async function copyClaudeFolder(copies: FileCopies, source: string, worktree: string): Promise<void> {
  const own = await targetOf(worktree);
  const pending = ['.claude'];
  for (let path = pending.shift(); path !== undefined; path = pending.shift()) {
    const folder = Buffer.concat([Buffer.from(`${source}/`), Buffer.from(path, 'latin1')]);
    const status = await entryAt(folder);
    if (!status?.isDirectory()) {
      continue;
    }
    // The new worktree may lie in there, and must not be copied into itself.
    if (own !== undefined && status.dev === own.dev && status.ino === own.ino) {
      continue;
    }
    for await (const entry of entriesOf(folder)) {
      if (!copies.budget.takeEntry()) {
        return;
      }
      const inner = `${path}/${entry.name.toString('latin1')}`;
      if (inner === '.claude/worktrees') {
        continue;
      }
      if (entry.isDirectory()) {
        pending.push(inner);
      } else if (entry.isFile()) {
        await copies.copy(Buffer.from(inner, 'latin1'), 'replace');
      }
    }
  }
}

interface Entry {
  readonly name: Buffer;
  isDirectory(): boolean;
  isFile(): boolean;
}

/** What is in a folder, a piece at a time. */
async function* entriesOf(folder: string | Buffer): AsyncGenerator<Entry> {
  // Node's types do not know that names can be had as bytes.
  const opened = await opendir(folder, { encoding: 'buffer' as BufferEncoding });
  for await (const entry of opened) {
    yield entry as unknown as Entry;
  }
}

/** At most as many as would be copied. Others are served meanwhile. */
async function setOf(paths: Iterable<string>): Promise<Set<string>> {
  const set = new Set<string>();
  for (const path of paths) {
    set.add(path);
    if (set.size === mostIgnored) {
      break;
    }
    if (set.size % 10_000 === 0) {
      await setImmediate();
    }
  }
  return set;
}

/** Standard output of a call that lists files; empty when the call fails or is killed. */
async function output(
  repository: Repository,
  directory: string,
  args: readonly string[],
  options: readonly string[] = [],
): Promise<Buffer> {
  const listed = await repository.run(args, { directory, options, statusLike: true });
  return listed.failure === undefined ? listed.stdout : nothing;
}

/** The lines of an output, except those with a name in quotes. */
function* plainLines(listed: Buffer): Generator<string> {
  for (let at = 0; at < listed.length; ) {
    const found = listed.indexOf(0x0a, at);
    const end = found < 0 ? listed.length : found;
    const line = listed.toString('latin1', at, end);
    if (line !== '' && !line.startsWith('"')) {
      yield line;
    }
    at = end + 1;
  }
}

/** @param listed an output with `-z` */
function* namesIn(listed: Buffer): Generator<string> {
  for (const name of nulParts(listed)) {
    yield name.toString('latin1');
  }
}
