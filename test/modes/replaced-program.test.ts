/** A daemon lives for months: its files on disk may be those of another version by then, or gone. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { prepareDaemon } from '../support/daemon.ts';
import { connectTo } from '../support/host.ts';
import { copySource } from '../support/program-copy.ts';
import { removeFolder } from '../support/remove-folder.ts';

test('every method is served by the code the daemon was started with, whatever has become of it on disk', async () => {
  await using daemon = await prepareDaemon({ profile: 'next' });
  const copy = join(daemon.dir, 'copy');
  copySource(copy);
  daemon.program = join(copy, 'bin/holdfast');
  await daemon.start();
  for (const folder of ['src', 'platform', 'native-bindings', 'test']) {
    removeFolder(join(copy, folder));
  }
  expect(readdirSync(copy).sort()).toEqual(['bin', 'node_modules', 'package.json']);

  const repository = join(daemon.dir, 'repository');
  mkdirSync(repository);
  const git = (...words: string[]) => execFileSync('git', words, { cwd: repository, env: daemon.env, stdio: 'ignore' });
  git('init', '-b', 'main');
  git('-c', 'user.name=a', '-c', 'user.email=a@b', 'commit', '--allow-empty', '-m', 'first');
  writeFileSync(join(repository, 'file'), 'text');
  const archive = join(daemon.dir, 'archive.tar.gz');
  execFileSync('tar', ['czf', archive, '-C', repository, 'file']);

  await using client = await connectTo(daemon);
  const { git: gits, files, plugins } = client;
  const place = { baseRepo: repository, branchName: 'b', worktreePath: join(repository, '.claude/worktrees/b') };
  expect(await gits.info({ path: repository })).toMatchObject({ isRepo: true, branch: 'main' });
  expect(await gits.listBranches({ path: repository })).toEqual({ isRepo: true, branches: ['main'] });
  expect(await gits.worktreeCreate({ ...place, sourceBranch: 'main' })).toMatchObject({ success: true });
  expect(await gits.status({ path: place.worktreePath, baseRepo: repository })).toEqual({ isRepo: true, clean: true });
  expect(await gits.worktreeRemove(place)).toMatchObject({ success: true });
  expect(await files.list({ path: repository })).toMatchObject({ entries: [{ name: 'file' }] });
  expect(await files.validate({ path: repository })).toEqual({ valid: true, isDir: true });
  expect(await files.stat({ path: archive })).toMatchObject({ exists: true });
  expect(await files.read({ path: join(repository, 'file') })).toEqual({ content: 'text', exists: true });
  const extracted = { archivePath: archive, destDir: join(daemon.dir, 'extracted') };
  expect(await files.extractTar(extracted)).toMatchObject({ success: true, fileCount: 1 });
  expect(await plugins.prune({})).toMatchObject({ pruned: [] });
});
