/** Copies into a new worktree what it gets besides the tracked files (spec git.md §6.5). No failure reaches the client. */
import { isUtf8 } from 'node:buffer';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { answerOf, askTopLevel } from '../query/repository-folders.ts';
import { entryAt, readSmallFile, targetOf } from '../run/control-files.ts';
import { nulParts } from '../run/output-text.ts';
import type { Repository } from '../run/repository.ts';
import { FileCopies } from './file-copies.ts';

const manifestName = '.worktreeinclude';
const maxManifestBytes = 16_777_216;
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

/** @param worktree the new worktree, absolute */
export async function populate(repository: Repository, worktree: string): Promise<void> {
  const { services } = repository.program;
  const source = answerOf(await askTopLevel(repository));
  if (source === undefined) {
    return;
  }
  let copies: FileCopies | undefined;
  try {
    copies = await FileCopies.into(services, source, worktree);
    switch (services.profile.git.create.populate) {
      case 'claudeAndManifest':
        await copyClaudeFolder(copies, source, worktree);
        await copyAll(copies, await manifestMatches(repository, source, []));
        return;
      case 'manifestAndIgnored': {
        const matches = await manifestMatches(repository, source, []);
        if (matches.length === 0) {
          return;
        }
        const ignored = new Set(
          plainLines(await output(repository, source, ['ls-files', ...ignoredFiles, '--exclude-standard'])),
        );
        await copyAll(
          copies,
          matches.filter((path) => ignored.has(path)),
        );
        return;
      }
      case 'bothPasses': {
        const matches = await manifestMatches(repository, source, ['-z', '--', ':(exclude).claude/worktrees']);
        await copyAll(copies, (await onlyIgnored(repository, source, matches)).filter(mayBeCopied));
        await copyAll(copies, (await ignoredClaudeFiles(repository, source)).filter(mayBeCopied));
      }
    }
  } catch {
    // The client has asked for the worktree, and the worktree is there.
  } finally {
    await copies?.[Symbol.asyncDispose]().catch(() => {});
  }
}

/** Paths are kept as latin1 text, one character a byte, so that any name can be compared and written. */
async function copyAll(copies: FileCopies, paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    // A path with a slash at its end is a nested repository, which is not copied.
    if (!path.endsWith('/')) {
      await copies.copy(Buffer.from(path, 'latin1'), 'keep');
    }
  }
}

const ignoredFiles = ['--others', '--ignored'] as const;

/** Untracked files that the manifest names. */
async function manifestMatches(repository: Repository, source: string, more: readonly string[]): Promise<string[]> {
  const { platform, profile } = repository.program.services;
  const withNul = more.includes('-z');
  const manifest = await readSmallFile(join(source, manifestName), platform.paths, {
    maxBytes: maxManifestBytes,
    followLinks: profile.git.create.populate !== 'bothPasses',
  });
  if (manifest.state !== 'read') {
    return [];
  }
  // git reads a copy, because the file itself could become a FIFO before git opens it.
  return repository.program.temporaryFolders.with(async (folder) => {
    const copy = join(folder, 'manifest');
    await writeFile(copy, manifest.bytes, { flag: 'wx', mode: 0o600 });
    const listed = await output(repository, source, ['ls-files', ...ignoredFiles, `--exclude-from=${copy}`, ...more]);
    return withNul ? namesIn(listed) : plainLines(listed);
  });
}

/** Those of the paths that git ignores. */
async function onlyIgnored(repository: Repository, source: string, paths: readonly string[]): Promise<string[]> {
  if (paths.length === 0) {
    return [];
  }
  const asked = await repository.run(['check-ignore', '--stdin', '-z'], {
    directory: source,
    statusLike: true,
    input: Buffer.from(`${paths.join('\0')}\0`, 'latin1'),
  });
  // git answers with exit status 1 when it ignores none of them.
  return asked.failure === undefined ? namesIn(asked.stdout) : [];
}

/** The ignored files below `.claude/`, which need no manifest. */
async function ignoredClaudeFiles(repository: Repository, source: string): Promise<string[]> {
  const folder = join(source, '.claude');
  if (!(await entryAt(folder))?.isDirectory()) {
    return [];
  }
  const { separator } = repository.program.services.platform.paths;
  const limit = argumentBytes[separator === '\\' ? '\\' : '/'];
  const found: string[] = [];
  let batch: string[] = [];
  let bytes = 0;
  const ask = async () => {
    if (batch.length === 0) {
      return;
    }
    const command = ['ls-files', ...ignoredFiles, '--exclude-standard', '-z', '--', ...batch];
    found.push(...namesIn(await output(repository, source, command, ['--literal-pathspecs'])));
    batch = [];
    bytes = 0;
  };
  for (const child of await readdir(folder, { encoding: 'buffer' })) {
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
  return found;
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
    for (const entry of await readdir(folder, { encoding: 'buffer', withFileTypes: true })) {
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

/** Standard output of a call that lists files; empty when the call fails or is killed. */
async function output(
  repository: Repository,
  directory: string,
  args: readonly string[],
  options: readonly string[] = [],
): Promise<Buffer> {
  const listed = await repository.run(args, { directory, options, statusLike: true });
  return listed.failure === undefined ? listed.stdout : Buffer.alloc(0);
}

/** The lines of an output, except those with a name in quotes. */
function plainLines(listed: Buffer): string[] {
  return listed
    .toString('latin1')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('"'));
}

/** @param listed an output with `-z` */
function namesIn(listed: Buffer): string[] {
  return [...nulParts(listed)].map((name) => name.toString('latin1'));
}
