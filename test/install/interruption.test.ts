/** Installs that are ended, disturbed or doubled at every step (spec install.md §11, reliability fault 21). */
import { spawn } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { runProgram } from '../modes/run-program.ts';
import { cleanEnvironment, programForTests, type RunResult } from '../support/holdfast.ts';
import { knownFailpoints } from '../support/known-failpoints.ts';
import { waitUntil } from '../support/wait.ts';
import { serveHttp } from './servers.ts';
import { goodCli, pack, type profiles, readRun, sha256, Workshop } from './support.ts';

const points = knownFailpoints().filter((point) => point.startsWith('install.'));
const blob = pack(goodCli);
const oldCli = '#!/bin/sh\n# old\nexit 1\n';

interface Running {
  readonly ended: Promise<RunResult>;
  signal(name: NodeJS.Signals): void;
}

function start(shop: Workshop, profile: string, words: readonly string[], failpoints: string): Running {
  const env = cleanEnvironment(shop.home, { HOLDFAST_FAILPOINTS: failpoints, TMPDIR: shop.home });
  const all = ['-install', '-wire-profile', profile, '-cli-dir', shop.folder, '-cli-version', '1.2.3', ...words];
  const child = spawn(programForTests, all, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      texts[name] += text;
    });
  }
  const ended = new Promise<RunResult>((resolve) =>
    child.on('close', (code, signal) => resolve({ code, signal, ...texts })),
  );
  return { ended, signal: (name) => void child.kill(name) };
}

function untilThere(file: string): Promise<true> {
  return waitUntil(() => existsSync(file), `${file} to be there`);
}

async function serveBlob(): Promise<string[]> {
  const url = await serveHttp((_, answer) => answer.end(blob));
  return ['-cli-url', url, '-cli-checksum', sha256(blob)];
}

/** Names of files that may be left after a crash, beside the versions. */
const leftover = /^(\.fetch-|\.blob-|claustrum-fetch-)[0-9a-f]{16}$/;

function expectOldOrNew(shop: Workshop): void {
  const versions = shop.names().filter((name) => !leftover.test(name));
  expect(versions.filter((name) => name !== '1.0.0' && name !== '1.2.3')).toEqual([]);
  expect(readFileSync(shop.path('1.0.0'), 'utf8')).toBe(goodCli);
  const now = existsSync(shop.path('1.2.3')) ? readFileSync(shop.path('1.2.3'), 'utf8') : oldCli;
  expect([oldCli, goodCli]).toContain(now);
}

/** The next one is made in this process: what counts is what the one before has left. */
async function expectRetrySucceeds(shop: Workshop, profile: (typeof profiles)[number]): Promise<void> {
  const { outcome } = await shop.installHere({ cliZst: shop.blob() }, { profile });
  expect(outcome).not.toHaveProperty('cliError');
  expect(readFileSync(shop.path('1.2.3'), 'utf8')).toBe(goodCli);
}

test('there are places to interrupt', () => {
  expect(points.length).toBeGreaterThan(5);
});

describe.each(['S', 'next'] as const)('profile %s', (profile) => {
  describe.each(points)('at %s', (point) => {
    /** @returns a shop with an old version that does not run, and one that does */
    function shopWithVersions(): Workshop {
      const shop = new Workshop();
      shop.put('1.0.0', goodCli, { ageSeconds: 60 });
      shop.put('1.2.3', oldCli);
      return shop;
    }

    test.each(['SIGTERM', 'SIGKILL'] as const)(
      '%s ends it at once and the CLI is the old or the new one',
      async (signal) => {
        const shop = shopWithVersions();
        const paused = join(shop.home, 'paused');
        const running = start(shop, profile, await serveBlob(), `${point}=pause(${paused})`);
        await untilThere(paused);
        running.signal(signal);
        expect(await running.ended).toMatchObject({ signal });
        const { stdout } = await running.ended;
        expect(stdout).not.toContain('__INSTALL_RESULT__');
        expectOldOrNew(shop);
        rmSync(paused);
        const left = [...shop.names(), ...readdirSync(shop.home)].filter((name) => leftover.test(name));
        expect(left.length).toBeLessThanOrEqual(2);
        await expectRetrySucceeds(shop, profile);
      },
    );

    test.each(['error(ENOSPC)', 'panic'])(
      '%s is told in the one line of facts, and nothing is left behind',
      async (action) => {
        const shop = shopWithVersions();
        const running = start(shop, profile, await serveBlob(), `${point}=1*${action}`);
        const { facts } = readRun(await running.ended);
        expect(facts.cliError).toContain(`failpoint ${point}: ${action.replace(/error\((.*)\)/, '$1')}`);
        expectOldOrNew(shop);
        expect([...shop.names(), ...readdirSync(shop.home)].filter((name) => leftover.test(name))).toEqual([]);
        await expectRetrySucceeds(shop, profile);
      },
    );
  });

  test('two installs of one version at once both succeed, whoever is last', async () => {
    const shop = new Workshop();
    mkdirSync(shop.folder);
    const words = await serveBlob();
    const pauses = ['a', 'b'].map((name) => join(shop.home, name));
    const both = pauses.map((path) => start(shop, profile, words, `install.rename.before=pause(${path})`));
    await Promise.all(pauses.map(untilThere));
    expect(shop.names().filter((name) => name.startsWith('.fetch-'))).toHaveLength(2);
    for (const path of pauses) {
      unlinkSync(path);
    }
    for (const { ended } of both) {
      const { facts } = readRun(await ended);
      expect(facts).toMatchObject({ cliPath: shop.path('1.2.3'), cliWasPresent: false });
      expect(facts).not.toHaveProperty('cliError');
    }
    expect(shop.names()).toEqual(['1.2.3']);
    expect(readFileSync(shop.path('1.2.3'), 'utf8')).toBe(goodCli);
  });

  test('eight installs of one version at once leave the version and nothing else', async () => {
    const shop = new Workshop();
    const words = await serveBlob();
    const runs = await Promise.all(Array.from({ length: 8 }, () => start(shop, profile, words, '').ended));
    for (const run of runs) {
      expect(readRun(run).facts).not.toHaveProperty('cliError');
    }
    expect(shop.names()).toEqual(['1.2.3']);
    expect(readFileSync(shop.path('1.2.3'), 'utf8')).toBe(goodCli);
  });

  test('a staged file that somebody sweeps away is made once more, and missed the second time', async () => {
    const shop = new Workshop();
    const paused = join(shop.home, 'paused');
    const sweepStaged = async () => {
      await untilThere(paused);
      for (const name of shop.names()) {
        if (name.startsWith('.fetch-')) {
          unlinkSync(shop.path(name));
        }
      }
      unlinkSync(paused);
    };
    const once = start(shop, profile, ['-cli-zst', shop.blob()], `install.staged=1*pause(${paused})`);
    await sweepStaged();
    expect(readRun(await once.ended).facts).not.toHaveProperty('cliError');
    expect(shop.names()).toEqual(['1.2.3']);

    unlinkSync(shop.path('1.2.3'));
    const source = shop.blob();
    const twice = start(shop, profile, ['-cli-zst', source], `install.staged=2*pause(${paused})`);
    await sweepStaged();
    await sweepStaged();
    expect(readRun(await twice.ended).facts.cliError).toMatch(/^staging file vanished before install: /);
    expect(shop.names()).toEqual([]);
  });

  test('a CLI that is running keeps running as it is while its file is replaced', async () => {
    const shop = new Workshop();
    mkdirSync(shop.folder);
    copyFileSync('/bin/sleep', shop.path('1.2.3'));
    chmodSync(shop.path('1.2.3'), 0o755);
    const user = spawn(shop.path('1.2.3'), ['600'], { stdio: 'ignore' });
    onTestFinished(() => void user.kill('SIGKILL'));
    const executable = `/proc/${user.pid}/exe`;
    await waitUntil(() => readlinkSync(executable) === shop.path('1.2.3'), 'the CLI to run');
    // The CLI cannot be started from now on, so it is installed again.
    chmodSync(shop.path('1.2.3'), 0o644);
    await expectRetrySucceeds(shop, profile);
    expect(user.exitCode).toBeNull();
    expect(readlinkSync(executable)).toBe(`${shop.path('1.2.3')} (deleted)`);
  });
});

test('a CLI that another install has put in place meanwhile is not taken for one that does not run', async () => {
  const shop = new Workshop();
  const paused = join(shop.home, 'paused');
  const bad = '#!/bin/sh\nexit 1\n';
  const running = start(shop, 'next', ['-cli-zst', shop.blob(bad)], `install.ran=pause(${paused})`);
  await untilThere(paused);
  renameSync(shop.put('other', goodCli), shop.path('1.2.3'));
  unlinkSync(paused);
  expect(readRun(await running.ended).facts.cliError).toBe(`installed cli at ${shop.path('1.2.3')} is not runnable`);
  expect(readFileSync(shop.path('1.2.3'), 'utf8')).toBe(goodCli);
});

test('a failure that nobody foresaw is told in the one line of facts', async () => {
  const shop = new Workshop();
  const paused = join(shop.home, 'paused');
  const hook = join(shop.home, 'hook.mjs');
  const watch = `import { existsSync } from 'node:fs';
    const timer = setInterval(() => {
      if (!existsSync(${JSON.stringify(paused)})) return;
      clearInterval(timer);
      throw new Error('a listener that fails');
    }, 5);`;
  writeFileSync(hook, watch);
  const main = fileURLToPath(new URL('../fixtures/main-for-tests.ts', import.meta.url));
  const install = ['-install', '-cli-dir', shop.folder, '-cli-version', '1.2.3', '-cli-zst', shop.blob()];
  const env = cleanEnvironment(shop.home, { HOLDFAST_FAILPOINTS: `install.staged=pause(${paused})` });
  const { facts } = readRun(await runProgram(process.execPath, ['--import', hook, main, ...install], { env }));
  expect(facts).toMatchObject({ cliPath: shop.path('1.2.3'), cliError: 'holdfast: a listener that fails' });
});
