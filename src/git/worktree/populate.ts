/** What a new worktree gets besides the tracked files (spec git.md §6.5). Best effort: no failure reaches the client. */

import { isUtf8 } from 'node:buffer';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { entryAt, readSmallFile, targetOf } from '../run/control-files.ts';
import type { Repository } from '../run/repository.ts';
import { Copies } from './file-copies.ts';

const manifestName = '.worktreeinclude';
const maxManifestBytes = 16_777_216;
/** Arguments of one call; Windows takes 32 KiB in all. */
const argumentBytes = { '/': 131_072, '\\': 24_576 } as const;

/**
 * Directly under `.claude/`: what a running agent keeps there for itself, and the worktrees. Compared without case.
 */
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

export interface Population {
  /** Top of the repository's work tree, absolute. */
  readonly source: string;
  /** The new worktree, absolute. */
  readonly worktree: string;
}

export async function populate(repository: Repository, population: Population): Promise<void> {
  const { services } = repository.program;
  const { source, worktree } = population;
  let copies: Copies | undefined;
  try {
    copies = await Copies.into(services, source, worktree);
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
    // The worktree is there, and that is what was asked for.
  } finally {
    await copies?.[Symbol.asyncDispose]().catch(() => {});
  }
}

/** Paths are kept as latin1 text, one character a byte, so that any name can be compared and written. */
async function copyAll(copies: Copies, paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    // With a slash at its end: a nested repository, which is not copied.
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
  // A copy: between this look and git's the file could become a FIFO.
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-git-'));
  try {
    const copy = join(folder, 'manifest');
    await writeFile(copy, manifest.bytes, { flag: 'wx', mode: 0o600 });
    const listed = await output(repository, source, ['ls-files', ...ignoredFiles, `--exclude-from=${copy}`, ...more]);
    return withNul ? parts(listed) : plainLines(listed);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Of these paths the ones that git ignores. */
async function onlyIgnored(repository: Repository, source: string, paths: readonly string[]): Promise<string[]> {
  if (paths.length === 0) {
    return [];
  }
  const asked = await repository.run(['check-ignore', '--stdin', '-z'], {
    directory: source,
    statusLike: true,
    input: Buffer.from(`${paths.join('\0')}\0`, 'latin1'),
  });
  // Exit status 1: none of them.
  return asked.failure === undefined ? parts(asked.stdout) : [];
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
    found.push(...parts(await output(repository, source, command, ['--literal-pathspecs'])));
    batch = [];
    bytes = 0;
  };
  for (const child of await readdir(folder, { encoding: 'buffer' })) {
    // An argument is text.
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

/** Everything in `.claude/`, tracked or not, but the worktrees. */
async function copyClaudeFolder(copies: Copies, source: string, worktree: string): Promise<void> {
  const own = await targetOf(worktree);
  const pending = ['.claude'];
  for (let path = pending.shift(); path !== undefined; path = pending.shift()) {
    const folder = Buffer.concat([Buffer.from(`${source}/`), Buffer.from(path, 'latin1')]);
    const status = await entryAt(folder);
    if (!status?.isDirectory()) {
      continue;
    }
    // The new worktree may be in there: then it must not be copied into itself.
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

/** Standard output of a list step; a step that fails or is killed finds nothing. */
async function output(
  repository: Repository,
  directory: string,
  args: readonly string[],
  options: readonly string[] = [],
): Promise<Buffer> {
  const listed = await repository.run(args, { directory, options, statusLike: true });
  return listed.failure === undefined ? listed.stdout : Buffer.alloc(0);
}

/** Lines but those with a name in quotes. */
function plainLines(listed: Buffer): string[] {
  return listed
    .toString('latin1')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('"'));
}

function parts(listed: Buffer): string[] {
  return listed
    .toString('latin1')
    .split('\0')
    .filter((part) => part !== '');
}
