/**
 * What plain git says where a method has to say the same (spec git.md §3 to §6), asked as a user would ask it. The test process
 * is large, and each start out of it costs more than a git does: so questions are asked by one shell together.
 */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
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

/** @param commands by name, as words of the shell; they run in this order, whatever came of those before */
function plainly<Name extends string>(directory: string, commands: Record<Name, string>): Record<Name, Said> {
  // What no output has in it.
  const mark = randomBytes(16).toString('hex');
  const names = Object.keys(commands) as Name[];
  const script = names.map((name) => `${commands[name]}\nprintf '${mark}%s${mark}' $?\n`).join('');
  const { stdout } = spawnSync('/bin/sh', ['-c', script], {
    cwd: directory,
    env: { ...process.env, GIT_OPTIONAL_LOCKS: '0' },
    maxBuffer: 1 << 26,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const parts = stdout.toString('latin1').split(mark);
  if (parts.length !== 2 * names.length + 1) {
    throw new Error(`the shell did not get to its end: ${script}`);
  }
  const said = names.map((name, at): [Name, Said] => {
    const bytes = Buffer.from(parts[2 * at] ?? '', 'latin1');
    return [name, { ok: parts[2 * at + 1] === '0', bytes, text: bytes.toString().replace(/\n$/, '') }];
  });
  return Object.fromEntries(said) as Record<Name, Said>;
}

/** @returns the rest of a name behind its prefix; `undefined` when it has another one */
const behind = (prefix: string, { ok, text }: Said): string | undefined =>
  ok && text.startsWith(prefix) ? text.slice(prefix.length) : undefined;

const branch = { head: 'git symbolic-ref -q HEAD' };
const refs = { refs: "git for-each-ref '--format=%(refname)' refs/heads/" };
const isRepository = { gitDirectory: 'git rev-parse --git-dir' };
const changes = {
  S: { changes: 'git status --porcelain' },
  next: { changes: 'git status --porcelain --untracked-files=all --ignore-submodules=all' },
};
const changesOf = (profile: ProfileName) => (profile === 'S' ? changes.S : changes.next);

/** All that plain git says of a path, which the questions of no profile change. */
export interface PlainAnswers {
  readonly isInWorkTree: boolean;
  readonly branch: string | undefined;
  /** The commit; `undefined` before the first. */
  readonly start: string | undefined;
  /** The repository that a linked worktree belongs to; `undefined` for any other path. */
  readonly repository: string | undefined;
  readonly branches: object;
  info(profile: ProfileName): object;
  status(profile: ProfileName): unknown;
}

export function askPlainGit(path: string): PlainAnswers {
  const said = plainly(path, {
    inside: 'git rev-parse --is-inside-work-tree',
    ...branch,
    start: 'git rev-parse --verify -q HEAD',
    short: 'git rev-parse --short HEAD',
    root: 'git rev-parse --show-toplevel',
    ...isRepository,
    own: 'git rev-parse --path-format=absolute --absolute-git-dir',
    common: 'git rev-parse --path-format=absolute --git-common-dir',
    address: 'git config --get remote.origin.url',
    completed: 'git remote get-url origin',
    originHead: 'git symbolic-ref -q refs/remotes/origin/HEAD',
    ...refs,
    changes: changes.S.changes,
    next: changes.next.changes,
  });
  const isInWorkTree = said.inside.text === 'true';
  return {
    isInWorkTree,
    branch: behind('refs/heads/', said.head),
    start: said.start.ok ? said.start.text : undefined,
    repository: repositoryOf(said),
    branches: branchesOf(said),
    info(profile) {
      if (!isInWorkTree) {
        return { isRepo: false, repoSlug: '', defaultBranch: '' };
      }
      const address = (profile === 'next' ? said.completed : said.address).text;
      return {
        isRepo: true,
        repo: basename(said.root.text),
        branch: behind('refs/heads/', said.head) ?? `detached:${said.short.text}`,
        root: profile === 'next' ? realpathSync(said.root.text) : said.root.text,
        repoSlug: /github\.com[:/]([^/]+\/[^/]+?)(?:\.git)?$/.exec(address)?.[1] ?? '',
        defaultBranch: behind('refs/remotes/origin/', said.originHead) ?? '',
      };
    },
    status: (profile) => statusOf({ ...said, changes: profile === 'S' ? said.changes : said.next }, profile),
  };
}

function branchesOf({ refs }: Record<'refs', Said>): object {
  const names = refs.text.split('\n').filter((name) => name !== '');
  const branches = names.map((name) => name.slice('refs/heads/'.length));
  return refs.ok ? { isRepo: true, branches } : { isRepo: false, branches: [] };
}

/** The result, or the text of the error. */
function statusOf(said: Record<'gitDirectory' | 'changes', Said>, profile: ProfileName): unknown {
  if (!said.gitDirectory.ok) {
    return { isRepo: false, clean: false };
  }
  const { ok, bytes } = said.changes;
  if (!ok) {
    return '-32603 exit status 128';
  }
  const text = decodeBytes(bytes);
  const changes = (profile === 'S' ? text.trim() : text.replace(/\n$/, '')).split('\n').filter((line) => line !== '');
  return changes.length === 0 ? { isRepo: true, clean: true } : { isRepo: true, clean: false, changes };
}

export function expectedStatus(path: string, profile: ProfileName): unknown {
  return statusOf(plainly(path, { ...isRepository, ...changesOf(profile) }), profile);
}

function repositoryOf({ own, common }: Record<'own' | 'common', Said>): string | undefined {
  if (!own.ok || !common.ok || own.text === common.text) {
    return undefined;
  }
  return basename(common.text) === '.git' ? join(common.text, '..') : common.text;
}

/** @param start the commit to begin with; `undefined`: there is none */
export function addWorktree(path: string, worktree: string, start: string | undefined): boolean {
  return plainly(path, { add: `git worktree add -q -b plain '${worktree}' ${start ?? ''}` }).add.ok;
}

/** Removes what {@link addWorktree} has made, with its branch. */
export function removeWorktree(path: string, worktree: string): void {
  plainly(path, { remove: `git worktree remove --force '${worktree}'`, delete: 'git branch -D plain' });
}

/** What stays as it was when a worktree has been made and removed, and all paths of worktrees. */
export function afterwards(path: string): { branches: object; status: unknown; worktrees: string } {
  const said = plainly(path, {
    ...refs,
    ...isRepository,
    ...changes.S,
    worktrees: 'git worktree list --porcelain',
  });
  return { branches: branchesOf(said), status: statusOf(said, 'S'), worktrees: said.worktrees.text };
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

/** All that a user sees of a worktree: its branch, its files as they lie there, and what git says of it. */
export function worktreeState(path: string): { branch: string | undefined; state: object } {
  const files: Record<string, string> = {};
  collectFiles(Buffer.from(path), '', files);
  const said = plainly(path, {
    ...branch,
    commit: 'git rev-parse HEAD',
    index: 'git ls-files --stage -v -z',
    ...changes.S,
    sparse: 'git sparse-checkout list',
    log: 'git reflog exists "$(git symbolic-ref HEAD)"',
  });
  return {
    branch: behind('refs/heads/', said.head),
    state: {
      files,
      commit: said.commit.text,
      index: said.index.text,
      changes: said.changes.text,
      sparse: said.sparse.text,
      hasLog: said.log.ok,
    },
  };
}
