/** `-install` and `-probe-cli` on hosts whose administrator demands a launcher (spec generation-n2.md §6). */
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { cleanEnvironment, type Environment, runHoldfast } from '../../support/holdfast.ts';
import { expectHangingEnded, goodCli, hangingCli, Workshop } from '../support.ts';
import { PolicyFolder } from './policy-folder.ts';

const profile = 'latest';
const wanted = ['-cli-version', '1.2.3'];
const tellsRun = '#!/bin/sh\necho "$0 $*" >>"$HOME/launched"\nshift 2\nexec "$@"\n';

/** A host without a policy of its own; the variable leads to the one of the test. */
const gate = (folder: PolicyFolder, more: Environment = {}): Environment => ({
  CLAUDE_SSH_MANAGED_LAUNCHER: '1',
  CLAUDE_SSH_E2E_MANAGED_SETTINGS_DIR: folder.path,
  ...more,
});

function policy(value?: string): { readonly folder: PolicyFolder; readonly launcher: string } {
  const folder = new PolicyFolder();
  const launcher = folder.program('run', tellsRun);
  folder.put('managed-settings.json', { processWrapper: value ?? `${launcher} --profile claude` });
  return { folder, launcher };
}

/** The last keys of the facts. */
const aboutLauncher = (facts: Record<string, unknown>) =>
  Object.fromEntries(
    Object.entries(facts).filter(([key]) => /^(launcher|cli(WasPresent|Error|Unresponsive))/.test(key)),
  );

describe('a CLI that is there', () => {
  test('is run through the launcher once, by its final path and without the variables of launchers', async () => {
    const { folder, launcher } = policy();
    const shop = new Workshop();
    const cli = shop.put('1.2.3', `${goodCli}env >"$HOME/seen"\n`);
    const env = gate(folder, { CLAUDE_CODE_PROCESS_WRAPPER: 'x', CLAUDE_SSH_PEER_CHECK: '1', CLAUDE_RPC_TOKEN: 't' });
    const run = await shop.install(wanted, { profile, env });
    expect(run.stderr).toBe('');
    expect(Object.keys(run.facts).slice(5)).toEqual(['cliWasPresent', 'launcherStatus', 'launcher', 'launcherSource']);
    expect(aboutLauncher(run.facts)).toEqual({
      cliWasPresent: true,
      launcherStatus: 'usable',
      launcher: [launcher, '--profile', 'claude'],
      launcherSource: folder.base,
    });
    expect(readFileSync(join(shop.home, 'launched'), 'utf8')).toBe(`${launcher} --profile claude ${cli} --version\n`);
    expect(readFileSync(join(shop.home, 'seen'), 'utf8')).not.toMatch(/^CLAUDE_/m);
  });

  test('is run directly where no policy names a launcher, and keeps the gate variable', async () => {
    const folder = new PolicyFolder();
    const shop = new Workshop();
    shop.put('1.2.3', `${goodCli}env >"$HOME/seen"\n`);
    const { facts } = await shop.install(wanted, { profile, env: gate(folder) });
    expect(aboutLauncher(facts)).toEqual({ cliWasPresent: true, launcherStatus: 'none' });
    expect(readFileSync(join(shop.home, 'seen'), 'utf8')).toMatch(/^CLAUDE_SSH_MANAGED_LAUNCHER=1$/m);
  });

  test.each<[what: string, value: string, reason: (launcher: string) => string]>([
    ['not there', '/nowhere/run', () => 'launcher `/nowhere/run` does not exist or is not an executable regular file'],
    ['the CLI itself', '', (cli) => `launcher \`${cli}\` is Claude Code's own path`],
  ])('is not run when the launcher is %s, and is not installed anew', async (_, value, reason) => {
    const shop = new Workshop();
    const cli = shop.put('1.2.3', goodCli);
    const { folder } = policy(value === '' ? cli : value);
    const blob = shop.blob();
    const { facts, stderr } = await shop.install([...wanted, '-cli-zst', blob], { profile, env: gate(folder) });
    expect(aboutLauncher(facts)).toEqual({
      cliWasPresent: true,
      launcherStatus: 'unusable',
      launcherSource: folder.base,
      launcherReason: reason(cli),
    });
    expect(stderr).toBe('');
    expect(shop.runs()).toEqual([]);
    expect(existsSync(blob)).toBe(true);
  });

  test('is not run when the policy cannot be read', async () => {
    const { folder } = policy();
    const bad = folder.put('managed-settings.d/1.json', '{');
    const shop = new Workshop();
    shop.put('1.2.3', goodCli);
    const { facts } = await shop.install(wanted, { profile, env: gate(folder) });
    expect(Object.keys(facts).slice(6)).toEqual(['launcherStatus', 'launcherPath', 'launcherReason']);
    expect(aboutLauncher(facts)).toEqual({
      cliWasPresent: true,
      launcherStatus: 'unreadable',
      launcherPath: bad,
      launcherReason: 'not valid JSON',
    });
    expect(shop.runs()).toEqual([]);
  });

  test.each<[how: string, script: string, reason: string, stderr: string | undefined]>([
    ['ends with another status', 'echo no ticket >&2; echo dropped; exit 3', 'exit status 3', 'no ticket\n'],
    ['ends by a signal', 'kill -TERM $$', 'terminated by SIGTERM', undefined],
    [
      'writes very much',
      'head -c 10000 /dev/zero | tr "\\0" x >&2; yes | head -c 1000000; exit 1',
      'exit status 1',
      `${'x'.repeat(8192)}\n[… 1808 more bytes]`,
    ],
    ['leaves somebody behind who holds its output', 'sleep 60 & exit 1', 'exit status 1', undefined],
  ])('stays when the launcher %s', async (_, script, reason, stderr) => {
    const { folder, launcher } = policy();
    folder.program('run', `#!/bin/sh\n${script}\n`);
    const shop = new Workshop();
    shop.put('1.2.3', goodCli);
    const { facts } = await shop.install(wanted, { profile, env: gate(folder) });
    expect(aboutLauncher(facts)).toEqual({
      cliWasPresent: true,
      launcherStatus: 'probe_failed',
      launcher: [launcher, '--profile', 'claude'],
      launcherSource: folder.base,
      launcherReason: reason,
      ...(stderr === undefined ? {} : { launcherStderr: stderr }),
    });
    expect(shop.names()).toEqual(['1.2.3']);
  });

  test('stays when the launcher cannot be started, which is told in the words of a spawn', async () => {
    const { folder } = policy();
    folder.program('run', '#!/nowhere\n');
    const shop = new Workshop();
    shop.put('1.2.3', goodCli);
    const { facts } = await shop.install(wanted, { profile, env: gate(folder) });
    expect(facts).toMatchObject({ cliWasPresent: true, launcherStatus: 'probe_failed' });
    expect(facts.launcherReason).toMatch(/^could not be started: its interpreter was not found/);
  });

  test('is unresponsive when the run through the launcher is stopped, with all it has started', async () => {
    const { folder, launcher } = policy();
    const shop = new Workshop();
    const cli = shop.put('1.2.3', hangingCli);
    shop.put('.fetch-old', 'x', { ageSeconds: 601 });
    shop.put('old', 'x');
    folder.program('run', `#!/bin/sh\necho starting >&2\nshift 2\n"$@"\n`);
    const { outcome } = await shop.installHere(
      { cliPath: cli, cliZst: shop.blob(), cliKeep: 1 },
      {
        profile,
        timings: { cachedLauncherRunMs: 500, launcherOutputMs: 300 },
        resolveLauncher: () => folder.resolve(),
      },
    );
    expect(outcome).toEqual({
      cliPath: cli,
      cliWasPresent: false,
      cliError: `cli unresponsive: the installed Claude Code binary was started through the host's managed launcher ${launcher} and the run did not answer --version within 33s (123s for a first run), so it was stopped; the launcher or the host is not letting it finish`,
      cliUnresponsive: true,
      launcherStatus: 'unresponsive',
      launcher: [launcher, '--profile', 'claude'],
      launcherSource: folder.base,
      launcherReason: 'did not exit within 0.5s and was stopped',
      launcherStderr: 'starting\n',
    });
    await expectHangingEnded(shop);
    expect(shop.names()).toEqual(['1.2.3', 'old']);
  });
});

describe('a CLI that is installed', () => {
  test.each<[how: string, script: string, status: string]>([
    ['runs through the launcher', tellsRun, 'usable'],
    ['does not run through the launcher', '#!/bin/sh\nexit 3\n', 'probe_failed'],
  ])('and %s stays in its place, and old versions go', async (_, script, launcherStatus) => {
    const { folder } = policy();
    folder.program('run', script);
    const shop = new Workshop();
    shop.put('old', 'x');
    const blob = shop.blob();
    const { facts } = await shop.install([...wanted, '-cli-zst', blob, '-cli-keep', '1'], {
      profile,
      env: gate(folder),
    });
    expect(facts).toMatchObject({ cliWasPresent: false, launcherStatus });
    expect(facts).not.toHaveProperty('cliError');
    expect(shop.names()).toEqual(['1.2.3']);
    expect(existsSync(blob)).toBe(false);
  });

  test('is not run on a host whose launcher cannot be used', async () => {
    const { folder } = policy('/nowhere');
    const shop = new Workshop();
    const { facts } = await shop.install([...wanted, '-cli-zst', shop.blob()], { profile, env: gate(folder) });
    expect(facts).toMatchObject({ cliWasPresent: false, launcherStatus: 'unusable' });
    expect(facts).not.toHaveProperty('cliError');
    expect(statSync(shop.path('1.2.3')).mode & 0o777).toBe(0o755);
    expect(shop.runs()).toEqual([]);
  });

  test('and whose first run through the launcher hangs stays, and nothing is pruned', async () => {
    const { folder } = policy();
    folder.program('run', '#!/bin/sh\nexec sleep 600\n');
    const shop = new Workshop();
    shop.put('old', 'x');
    const blob = shop.blob();
    const { outcome } = await shop.installHere(
      { cliZst: blob, cliKeep: 1 },
      { profile, timings: { firstLauncherRunMs: 300 }, resolveLauncher: () => folder.resolve() },
    );
    expect(outcome).toMatchObject({ cliWasPresent: false, cliUnresponsive: true, launcherStatus: 'unresponsive' });
    expect(shop.names()).toEqual(['1.2.3', 'old']);
    expect(existsSync(blob)).toBe(false);
  });

  test('without a folder for it, or without a name, says nothing of a launcher', async () => {
    const { folder } = policy();
    const shop = new Workshop();
    const none = await shop.install([], { profile, env: gate(folder) });
    expect(none.facts).not.toHaveProperty('launcherStatus');
    writeFileSync(join(shop.home, 'file'), '');
    const words = ['-cli-dir', join(shop.home, 'file', 'cli'), ...wanted];
    const noFolder = await shop.install(words, { profile, env: gate(folder) });
    expect(noFolder.facts).toMatchObject({ cliPath: '' });
    expect(noFolder.facts).not.toHaveProperty('launcherStatus');
  });
});

test.each([undefined, '', '0', 'true', '01', ' 1'])('the gate %j asks for no launcher', async (value) => {
  const { folder } = policy();
  const shop = new Workshop();
  shop.put('1.2.3', goodCli);
  const env = gate(folder, { CLAUDE_SSH_MANAGED_LAUNCHER: value });
  const { facts } = await shop.install(wanted, { profile, env });
  expect(facts).not.toHaveProperty('launcherStatus');
  expect(existsSync(join(shop.home, 'launched'))).toBe(false);
});

describe('part files', () => {
  const week = 604_800;

  test('of more than seven days go before any CLI runs, also on a cache hit and without a source', async () => {
    const shop = new Workshop();
    shop.put('1.2.3', '#!/bin/sh\nls "$HOME/cli" >"$HOME/seen"\n');
    const old = { ageSeconds: week + 60 };
    for (const name of ['a.zst.part', '.fetch-a.zst.part', '.zst.part']) {
      shop.put(name, 'x', old);
    }
    for (const name of ['b.zst.part', '.fetch-b.zst.part']) {
      shop.put(name, 'x', { ageSeconds: week - 60 });
    }
    shop.put('a.ZST.PART', 'x', old);
    await shop.install(wanted, { profile });
    expect(shop.names()).toEqual(['.fetch-b.zst.part', '1.2.3', 'a.ZST.PART', 'b.zst.part']);
    expect(readFileSync(join(shop.home, 'seen'), 'utf8')).not.toContain('a.zst.part');

    shop.put('c.zst.part', 'x', old);
    await shop.install(['-cli-version', 'no-source'], { profile });
    expect(shop.names()).not.toContain('c.zst.part');
    shop.put('c.zst.part', 'x', old);
    await shop.install(['-cli-version', '../refused'], { profile });
    expect(shop.names()).not.toContain('c.zst.part');
  });

  test('are neither counted nor removed with old versions', async () => {
    const shop = new Workshop();
    shop.put('a.zst.part', 'x', { ageSeconds: 5 });
    shop.put('.fetch-b.zst.part', 'x', { ageSeconds: 5_000 });
    shop.put('old', 'x', { ageSeconds: 10 });
    await shop.install([...wanted, '-cli-zst', shop.blob(), '-cli-keep', '2'], { profile });
    expect(shop.names()).toEqual(['.fetch-b.zst.part', '1.2.3', 'a.zst.part', 'old']);
  });

  test('of the name of a CLI are installed anew', async () => {
    const shop = new Workshop();
    shop.put('x.zst.part', goodCli, { ageSeconds: week + 60 });
    const { facts } = await shop.install(['-cli-version', 'x.zst.part', '-cli-zst', shop.blob()], { profile });
    expect(facts).toMatchObject({ cliWasPresent: false });
    expect(facts).not.toHaveProperty('cliError');
  });
});

describe('-probe-cli', () => {
  async function probe(folder: PolicyFolder, shop: Workshop, cli: string) {
    const env = cleanEnvironment(shop.home, gate(folder));
    const { code, stdout, stderr } = await runHoldfast(['-wire-profile', profile, '-probe-cli', cli], { env });
    expect(code).toBe(0);
    return { stdout, stderr };
  }

  function ready(value?: string) {
    const { folder, launcher } = policy(value);
    const shop = new Workshop();
    return { folder, launcher, shop, cli: shop.put('1.2.3', goodCli) };
  }

  test('goes through the launcher and says nothing when the CLI runs', async () => {
    const { folder, launcher, shop, cli } = ready();
    expect(await probe(folder, shop, cli)).toEqual({ stdout: '', stderr: '' });
    expect(readFileSync(join(shop.home, 'launched'), 'utf8')).toBe(`${launcher} --profile claude ${cli} --version\n`);
  });

  test('runs the CLI directly where there is no policy', async () => {
    const { shop, cli } = ready();
    expect(await probe(new PolicyFolder(), shop, cli)).toEqual({ stdout: '', stderr: '' });
    expect(shop.runs()).toEqual([`${cli} --version`]);
    expect(await probe(new PolicyFolder(), shop, shop.folder)).toEqual({ stdout: '__CLI_BAD__\n', stderr: '' });
  });

  test('says why the launcher cannot be used', async () => {
    const { folder, shop, cli } = ready('run');
    expect(await probe(folder, shop, cli)).toEqual({
      stdout: '__CLI_LAUNCHER__\n',
      stderr: `claude-ssh: ${cli} was not run: managed launcher unusable: the launcher must be an absolute path, not a bare name resolved via PATH\n`,
    });
    expect(shop.runs()).toEqual([]);
  });

  test('says why the policy cannot be read', async () => {
    const { folder, shop, cli } = ready();
    mkdirSync(join(folder.path, 'managed-settings.d'));
    writeFileSync(folder.base, '[]');
    expect(await probe(folder, shop, cli)).toEqual({
      stdout: '__CLI_LAUNCHER__\n',
      stderr: `claude-ssh: ${cli} was not run: managed settings unreadable: ${folder.base}: not a JSON object\n`,
    });
  });

  test.each<[how: string, script: string, printed: string, reason: string]>([
    [
      'with words',
      'echo no ticket >&2; exit 3',
      "claude-ssh: the managed launcher's run printed:\nno ticket\n\n",
      'exit status 3',
    ],
    ['without words', 'echo dropped; kill -KILL $$', '', 'terminated by SIGKILL'],
  ])('says how a launcher failed, %s', async (_, script, printed, reason) => {
    const { folder, launcher, shop, cli } = ready();
    folder.program('run', `#!/bin/sh\n${script}\n`);
    expect(await probe(folder, shop, cli)).toEqual({
      stdout: '__CLI_LAUNCHER__\n',
      stderr: `${printed}claude-ssh: ${cli} --version through the managed launcher ${launcher} did not succeed: ${reason}\n`,
    });
  });
});
