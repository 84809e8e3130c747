/** What plain git says where a method has to say the same (spec git.md §3 to §6), asked as a user would ask it. */
import { spawnSync } from 'node:child_process';
import { lstatSync, readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { ProfileName } from '../../../src/wire/profile.ts';
import { decodeBytes } from '../../../src/wire/utf8.ts';

interface Said {
  readonly ok: boolean;
  readonly bytes: Buffer;
  /** Without the last line end. */
  readonly text: string;
}

export function plainGit(directory: string, ...args: string[]): Said {
  const env = { ...process.env, GIT_OPTIONAL_LOCKS: '0' };
  const { status, stdout } = spawnSync('git', args, { cwd: directory, env, maxBuffer: 1 << 26 });
  return { ok: status === 0, bytes: stdout, text: stdout.toString().replace(/\n$/, '') };
}

/** @returns the rest of a name behind its prefix; `undefined` when it has another one */
const behind = (prefix: string, { ok, text }: Said): string | undefined =>
  ok && text.startsWith(prefix) ? text.slice(prefix.length) : undefined;

export const branchOf = (path: string): string | undefined =>
  behind('refs/heads/', plainGit(path, 'symbolic-ref', '-q', 'HEAD'));

export const isInWorkTree = (path: string): boolean =>
  plainGit(path, 'rev-parse', '--is-inside-work-tree').text === 'true';

export function expectedInfo(path: string, profile: ProfileName): object {
  if (!isInWorkTree(path)) {
    return { isRepo: false, repoSlug: '', defaultBranch: '' };
  }
  const root = plainGit(path, 'rev-parse', '--show-toplevel').text;
  const short = plainGit(path, 'rev-parse', '--short', 'HEAD');
  const url = profile === 'next' ? ['remote', 'get-url', 'origin'] : ['config', '--get', 'remote.origin.url'];
  const slug = /github\.com[:/]([^/]+\/[^/]+?)(?:\.git)?$/.exec(plainGit(path, ...url).text)?.[1] ?? '';
  return {
    isRepo: true,
    repo: basename(root),
    branch: branchOf(path) ?? `detached:${short.text}`,
    root: profile === 'next' ? realpathSync(root) : root,
    repoSlug: slug,
    defaultBranch:
      behind('refs/remotes/origin/', plainGit(path, 'symbolic-ref', '-q', 'refs/remotes/origin/HEAD')) ?? '',
  };
}

export function expectedBranches(path: string): object {
  const listed = plainGit(path, 'for-each-ref', '--format=%(refname)', 'refs/heads/');
  const names = listed.text.split('\n').filter((name) => name !== '');
  const branches = names.map((name) => name.slice('refs/heads/'.length));
  return listed.ok ? { isRepo: true, branches } : { isRepo: false, branches: [] };
}

/** The result, or the text of the error. */
export function expectedStatus(path: string, profile: ProfileName): unknown {
  if (!plainGit(path, 'rev-parse', '--git-dir').ok) {
    return { isRepo: false, clean: false };
  }
  const form = profile === 'S' ? [] : ['--untracked-files=all', '--ignore-submodules=all'];
  const { ok, bytes } = plainGit(path, 'status', '--porcelain', ...form);
  if (!ok) {
    return '-32603 exit status 128';
  }
  const text = decodeBytes(bytes);
  const changes = (profile === 'S' ? text.trim() : text.replace(/\n$/, '')).split('\n').filter((line) => line !== '');
  return changes.length === 0 ? { isRepo: true, clean: true } : { isRepo: true, clean: false, changes };
}

/** By name, byte for byte as Latin-1: the mode and the content of each file, and where each link leads. */
function collectFiles(folder: Buffer, prefix: string, files: Record<string, string>): void {
  for (const bytes of readdirSync(folder, { encoding: 'buffer' })) {
    const file = Buffer.concat([folder, Buffer.from('/'), bytes]);
    const name = prefix + bytes.toString('latin1');
    const status = lstatSync(file);
    if (status.isDirectory()) {
      collectFiles(file, `${name}/`, files);
    } else if (name !== '.git') {
      const content = status.isSymbolicLink() ? readlinkSync(file) : readFileSync(file, 'latin1');
      files[name] = `${(status.mode & 0o777).toString(8)} ${content}`;
    }
  }
}

/** All that a user sees of a worktree: its files as they lie there, and what git says of it. */
export function worktreeState(path: string): object {
  const files: Record<string, string> = {};
  collectFiles(Buffer.from(path), '', files);
  const said = (...args: string[]) => plainGit(path, ...args).text;
  return {
    files,
    commit: said('rev-parse', 'HEAD'),
    index: said('ls-files', '--stage', '-v', '-z'),
    changes: said('status', '--porcelain'),
    sparse: said('sparse-checkout', 'list'),
    hasLog: plainGit(path, 'reflog', 'exists', said('symbolic-ref', 'HEAD')).ok,
  };
}

/** The repository a linked worktree belongs to; `undefined` for any other path. */
export function repositoryOf(path: string): string | undefined {
  const [own, common] = ['--absolute-git-dir', '--git-common-dir'].map((what) =>
    plainGit(path, 'rev-parse', '--path-format=absolute', what),
  );
  if (!own?.ok || !common?.ok || own.text === common.text) {
    return undefined;
  }
  return basename(common.text) === '.git' ? join(common.text, '..') : common.text;
}
