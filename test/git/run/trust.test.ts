import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { daemon, git, repository, scratchFolder, standInForGit, withVariables, write } from '../support.ts';

const prefix = "the repository's git directory could not be trusted; git not run: commondir not as git writes it: ";

function withWorktree(): { base: string; path: string; entry: string } {
  const folder = scratchFolder();
  const base = repository(join(folder, 'w'));
  git(base, 'worktree', 'add', '-q', '-b', 's', join(folder, 's'));
  return { base, path: join(folder, 's'), entry: join(base, '.git', 'worktrees', 's') };
}

describe('the trust check of the later generation', () => {
  const info = async (path: string) =>
    (await daemon('next').call('git.info', { path })).replace(`-32603 ${prefix}`, '');
  const tampering = (file: string) =>
    `; git writes that file only inside .git/worktrees/<name>/; one here can send git's configuration and hooks elsewhere, so treat it as tampering: delete it, and if you did not create it, find out what did`.replace(
      /^/,
      `"${file}" is not a small plain file (%)`,
    );

  test('a git directory with a commondir that leads elsewhere is refused by every method, before git runs', async () => {
    const { base } = withWorktree();
    const file = join(base, '.git', 'commondir');
    const content = `/elsewhere/${'x'.repeat(80)}`;
    writeFileSync(file, `${content}\r\n`);
    const text = `"${file}" reads "${content.slice(0, 60)}"; git writes that file only inside .git/worktrees/<name>/, and Claude Code's sandbox may leave one containing just "."; anything else sends git's configuration and hooks elsewhere, so treat it as tampering: delete it, and if you did not create it, find out what did`;
    expect(await info(base)).toBe(text);
    const { call, started } = daemon('next');
    expect(await call('git.list_branches', { path: base })).toBe(`-32603 ${prefix}${text}`);
    expect(await call('git.status', { path: base, baseRepo: base })).toBe(`-32603 ${prefix}${text}`);
    expect(
      JSON.parse(await call('git.worktree_create', { baseRepo: base, branchName: 'b', worktreePath: join(base, 'x') })),
    ).toEqual({ success: false, error: `${prefix}${text}`, errorCode: 'worktree_add_failed' });
    expect(
      JSON.parse(await call('git.worktree_remove', { baseRepo: base, worktreePath: '/r/p/s', worktreeRoot: '/r' }))
        .error,
    ).toBe(`failed to remove worktree: cannot determine the repository's work tree: ${prefix}${text}`);
    expect(started).toEqual([]);
  });

  test.each(['.', './', '.\n', './\r\n'])('a commondir that reads %j is harmless', async (content) => {
    const { base } = withWorktree();
    writeFileSync(join(base, '.git', 'commondir'), content);
    expect(await daemon('next').ask('git.info', { path: base })).toMatchObject({ isRepo: true, root: base });
  });

  test('a commondir that is no small plain file is refused', async () => {
    const { base } = withWorktree();
    const file = join(base, '.git', 'commondir');
    mkdirSync(file);
    expect(await info(base)).toBe(tampering(file).replace('%', 'commondir is not a regular file'));
    rmSync(file, { recursive: true });
    symlinkSync('HEAD', file);
    expect(await info(base)).toBe(tampering(file).replace('%', 'commondir is not a regular file'));
    rmSync(file);
    execFileSync('mkfifo', [file]);
    expect(await info(base)).toBe(tampering(file).replace('%', 'commondir is not a regular file'));
    rmSync(file);
    writeFileSync(file, Buffer.alloc(1_048_577, 0x2e));
    expect(await info(base)).toBe(tampering(file).replace('%', 'commondir is larger than 1048576 bytes'));
  });

  test('a damaged git directory with a commondir is refused, without one it is no repository', async () => {
    const { base } = withWorktree();
    const file = join(base, '.git', 'commondir');
    rmSync(join(base, '.git', 'HEAD'));
    expect(await info(base)).toBe('{"isRepo":false,"repoSlug":"","defaultBranch":""}');
    writeFileSync(file, '.');
    expect(await info(base)).toBe(
      `"${file}" sits in a git directory git would not take as a repository (its HEAD, objects or refs missing or invalid), so git would look for one somewhere else; repair that directory (usually its HEAD file)`,
    );
  });

  test('the entry of a linked worktree must lead back to its repository', async () => {
    const { base, path, entry } = withWorktree();
    const file = join(entry, 'commondir');
    expect(await daemon('next').ask('git.info', { path })).toMatchObject({ isRepo: true, branch: 's' });
    writeFileSync(file, '/elsewhere\n');
    expect(await info(path)).toBe(
      `"${file}" does not name the entry's own repository, "${base}/.git"; restore the file to read ../.. or remove that worktree entry and add the worktree again`,
    );
    rmSync(file);
    expect(await info(path)).toBe(
      `worktree entry "${entry}" has none (git always writes one there, containing ../..); the entry is damaged or was not made by git — recreate the worktree with git worktree add, or remove the entry`,
    );
    mkdirSync(file);
    expect(await info(path)).toBe(
      `"${file}" is not a small plain file (commondir is not a regular file); remove it, or remove that worktree entry and add the worktree again so git rewrites it`,
    );
  });

  test('the walk goes up past what is no repository, and ends at what is a broken one', async () => {
    const { base } = withWorktree();
    mkdirSync(join(base, 'sub', 'deep'), { recursive: true });
    execFileSync('mkfifo', [join(base, 'sub', '.git')]);
    expect(await daemon('next').ask('git.info', { path: join(base, 'sub', 'deep') })).toMatchObject({ root: base });
    rmSync(join(base, 'sub', '.git'));
    writeFileSync(join(base, 'sub', '.git'), 'not a link to a git directory\n');
    expect(await daemon('next').ask('git.info', { path: join(base, 'sub', 'deep') })).toMatchObject({ isRepo: false });
  });

  test('a git directory elsewhere, by file or by link, is followed', async () => {
    const folder = scratchFolder();
    const base = repository(join(folder, 'w'));
    renameSync(join(base, '.git'), join(folder, 'git'));
    writeFileSync(join(base, '.git'), 'gitdir: ../git\n');
    expect(await daemon('next').ask('git.info', { path: base })).toMatchObject({ root: base, branch: 'main' });
    rmSync(join(base, '.git'));
    symlinkSync('../git', join(base, '.git'));
    expect(await daemon('next').ask('git.info', { path: base })).toMatchObject({ root: base, branch: 'main' });
  });

  test('branches are listed for a bare repository and for the inside of .git, not for a managed folder', async () => {
    const folder = scratchFolder();
    const base = repository(join(folder, 'w'));
    git(folder, 'init', '-q', '--bare', 'bare.git');
    const branches = (path: string) => daemon('next').call('git.list_branches', { path });
    expect(await branches(join(folder, 'bare.git'))).toBe('{"isRepo":true,"branches":[]}');
    expect(await branches(join(base, '.git'))).toBe('{"isRepo":true,"branches":["main"]}');
    const managed = join(base, '.claude', 'worktrees', 's');
    git(base, 'worktree', 'add', '-q', '-b', 's', managed);
    expect(await branches(managed)).toBe('{"isRepo":false,"branches":[]}');
    expect(await daemon('current').call('git.list_branches', { path: managed })).toBe(
      '{"isRepo":true,"branches":["main","s"]}',
    );
    expect(await branches(join(folder, 'missing'))).toBe('{"isRepo":false,"branches":[]}');
  });
});

describe('the hooks check of the later generation', () => {
  const listed = 'config-defined hooks could not be pinned off; git not run: ';
  const info = (path: string) => daemon('next').call('git.info', { path });

  test('hooks that the configuration names are pinned off in every call', async () => {
    const folder = scratchFolder();
    const base = repository(join(folder, 'w'));
    git(base, 'config', 'hook.my.evil one.command', 'touch x');
    const log = join(folder, 'log');
    standInForGit(
      folder,
      `case " $* " in *" config "*) ;; *) { echo "$GIT_CONFIG_COUNT"; i=0; while [ $i -lt "$GIT_CONFIG_COUNT" ]; do eval "echo \\"\\$GIT_CONFIG_KEY_$i=\\$GIT_CONFIG_VALUE_$i\\""; i=$((i+1)); done; } >> ${log};; esac; exec "$GIT" "$@"`,
    );
    withVariables({ GIT_CONFIG_COUNT: '1', GIT_CONFIG_KEY_0: 'user.name', GIT_CONFIG_VALUE_0: 'Inherited' });
    await daemon('next').call('git.list_branches', { path: base });
    const pins = [
      '5',
      'user.name=Inherited',
      'hook.enabled=false',
      'hook.event=',
      'hook.my.evil one.enabled=false',
      'hook.my.evil one.event=',
    ];
    expect(execFileSync('cat', [log], { encoding: 'utf8' }).split('\n').slice(0, 6)).toEqual(pins);
    rmSync(log);
    await daemon('current').call('git.list_branches', { path: base });
    expect(execFileSync('cat', [log], { encoding: 'utf8' }).split('\n').slice(0, 3)).toEqual([
      '2',
      'hook.enabled=false',
      'hook.event=',
    ]);
  });

  test.each([
    [
      'too many configured hooks to pin',
      Array.from({ length: 1_025 }, (_, n) => `[hook "h${n}"]\n\tcommand = x\n`).join(''),
    ],
    [
      'configured hook names exceed the aggregate pin byte bound',
      Array.from({ length: 70 }, (_, n) => `[hook "${n}${'h'.repeat(940)}"]\n\tcommand = x\n`).join(''),
    ],
  ])('a configuration with %s is refused', async (reason, configuration) => {
    const base = repository(join(scratchFolder(), 'w'));
    execFileSync('tee', ['-a', join(base, '.git', 'config')], {
      input: configuration,
      stdio: ['pipe', 'ignore', 'inherit'],
    });
    expect(await info(base)).toBe(`-32603 ${listed}${reason}`);
  });

  test('a configuration git cannot read keeps git from running', async () => {
    const base = repository(join(scratchFolder(), 'w'));
    writeFileSync(join(base, '.git', 'config'), '[core\n');
    expect(await info(base)).toBe(
      `-32603 ${listed}listing the configuration in force: exit status 128: fatal: bad config line 1 in file ${base}/.git/config`,
    );
  });

  test('a git that cannot run at all is told from a bad configuration', async () => {
    const folder = scratchFolder();
    const base = repository(join(folder, 'w'));
    standInForGit(folder, 'echo "cannot  load\tlibrary" >&2; exit 127');
    expect(await info(base)).toBe(
      '-32603 git cannot run on this host; git not run: exit status 127: cannot  load library',
    );
  });

  test('an inherited list of protocols is only ever made shorter', async () => {
    const folder = scratchFolder();
    const base = repository(join(folder, 'w'));
    const log = join(folder, 'log');
    standInForGit(folder, `echo "$GIT_ALLOW_PROTOCOL" >> ${log}; exec "$GIT" "$@"`);
    let number = 0;
    const seen = async (inherited: string, profile: 'S' | 'next') => {
      withVariables({ GIT_ALLOW_PROTOCOL: inherited });
      rmSync(log, { force: true });
      const branchName = `b${number++}`;
      const worktreePath = join(base, '.claude', 'worktrees', branchName);
      await daemon(profile).call('git.worktree_create', { baseRepo: base, branchName, worktreePath });
      return [...new Set(readFileSync(log, 'utf8').split('\n').slice(0, -1))].sort();
    };
    // Only the checkout may fetch.
    expect(await seen('file:ssh:HTTPS', 'next')).toEqual(['denied_by_claude_ssh', 'ssh']);
    expect(await seen('file', 'next')).toEqual(['', 'denied_by_claude_ssh']);
    expect(await seen('file:ssh', 'S')).toEqual(['denied_by_claude_ssh', 'https:ssh']);
  });
});

test.each(['S', 'current', 'next'] as const)(
  'variables that lead git elsewhere are not handed on (%s)',
  async (profile) => {
    const folder = scratchFolder();
    const base = repository(join(folder, 'w'));
    const other = repository(join(folder, 'other'));
    git(other, 'checkout', '-q', '-b', 'elsewhere');
    withVariables({
      GIT_DIR: join(other, '.git'),
      GIT_WORK_TREE: other,
      GIT_COMMON_DIR: join(other, '.git'),
      GIT_INDEX_FILE: join(folder, 'none'),
    });
    expect(await daemon(profile).ask('git.info', { path: base })).toMatchObject({ branch: 'main', root: base });
  },
);

test("a repository cannot replace the user's ignore file", async () => {
  const folder = scratchFolder();
  const base = repository(join(folder, 'w'));
  write(join(folder, 'home', '.config', 'git', 'ignore'), '*.mine\n');
  withVariables({ HOME: join(folder, 'home'), XDG_CONFIG_HOME: '' });
  write(join(base, 'x.mine'));
  write(join(base, 'x.other'));
  write(join(base, '.git', 'evil'), '*\n');
  git(base, 'config', 'core.excludesFile', join(base, '.git', 'evil'));
  expect(await daemon('S').call('git.status', { path: base })).toBe(
    '{"isRepo":true,"clean":false,"changes":["?? x.other"]}',
  );
  write(join(folder, 'home', '.gitconfig'), `[core]\n\texcludesFile = ~/mine\n`);
  write(join(folder, 'home', 'mine'), '*.other\n');
  expect(await daemon('S').call('git.status', { path: base })).toBe(
    '{"isRepo":true,"clean":false,"changes":["?? x.mine"]}',
  );
});
