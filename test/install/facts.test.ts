import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { version } from '../../src/base/version.ts';
import { factsLine } from '../../src/install/facts.ts';
import { cleanEnvironment, type Environment, program, type RunResult, runHoldfast } from '../support/holdfast.ts';
import { goodCli, platform, profiles, Workshop } from './support.ts';

const here = `"serverVersion":"${version}","os":"${platform.os}","arch":"${platform.arch}","libc":"glibc"`;

function run(words: readonly string[], home: string, changes: Environment = {}): Promise<RunResult> {
  return runHoldfast(['-install', ...words], { env: cleanEnvironment(home, changes) });
}

describe('the line of facts', () => {
  test.each(profiles)('profile %s: names this host and no CLI when no version is asked for', async (profile) => {
    const { home } = new Workshop();
    expect(await run(['-wire-profile', profile, '-cli-dir', '/nowhere'], home)).toMatchObject({
      code: 0,
      stdout: `__INSTALL_RESULT__{${here},"cliPath":"","cliWasPresent":false}\n`,
      stderr: '',
    });
  });

  test.each(profiles)('profile %s: says whether the CLI was there, and where it is now', async (profile) => {
    const shop = new Workshop();
    const words = ['-wire-profile', profile, '-cli-dir', `${shop.folder}//x/..`, '-cli-version', '1.2.3'];
    const path = shop.path('1.2.3');
    expect(await run([...words, '-cli-zst', shop.blob()], shop.home)).toMatchObject({
      code: 0,
      stdout: `__INSTALL_RESULT__{${here},"cliPath":"${path}","cliWasPresent":false}\n`,
      stderr: '',
    });
    expect((await run(words, shop.home)).stdout).toBe(
      `__INSTALL_RESULT__{${here},"cliPath":"${path}","cliWasPresent":true}\n`,
    );
  });

  test('names the failure, whole and in JSON that is safe in HTML and scripts', async () => {
    const shop = new Workshop();
    const path = join(shop.home, '<a&b>\u2028');
    expect((await run(['-cli-dir', path, '-cli-version', '1.2.3'], shop.home)).stdout).toBe(
      `__INSTALL_RESULT__{${here},"cliPath":"${shop.home}/\\u003ca\\u0026b\\u003e\\u2028/1.2.3","cliWasPresent":false,` +
        '"cliError":"cli 1.2.3 missing and no --cli-url or --cli-zst provided"}\n',
    );
  });

  test('has every key in its place', () => {
    const facts = {
      libc: 'musl',
      cliPath: '/d/1',
      cliWasPresent: false,
      cliError: 'no',
      cliUnresponsive: true,
      fetch: { bytes: 57, ms: 12, longestPauseMs: 3 },
      launcherStatus: 'none',
    } as const;
    expect(factsLine(facts, { os: 'windows', arch: 'amd64' })).toBe(
      `__INSTALL_RESULT__{"serverVersion":"${version}","os":"windows","arch":"amd64","libc":"musl","cliPath":"/d/1",` +
        '"cliWasPresent":false,"cliError":"no","cliUnresponsive":true,' +
        '"fetch":{"bytes":57,"ms":12,"longestPauseMs":3},"launcherStatus":"none"}',
    );
  });

  test('tells a driver of the next generation that no launcher is configured, when it asks and there is a CLI', async () => {
    const shop = new Workshop();
    shop.put('1.2.3', goodCli);
    const gate = { CLAUDE_SSH_MANAGED_LAUNCHER: '1' };
    const asked = await shop.install(['-cli-version', '1.2.3'], { env: gate });
    expect(asked.facts).toMatchObject({ cliWasPresent: true, launcherStatus: 'none' });
    for (const [profile, env, words] of [
      ['current', gate, ['-cli-version', '1.2.3']],
      ['next', { CLAUDE_SSH_MANAGED_LAUNCHER: 'true' }, ['-cli-version', '1.2.3']],
      ['next', gate, []],
    ] as const) {
      expect((await shop.install(words, { profile, env })).facts).not.toHaveProperty('launcherStatus');
    }
  });

  test('comes although nobody reads it: the work is done', async () => {
    const shop = new Workshop();
    const words = ['-install', '-cli-dir', shop.folder, '-cli-version', '1.2.3', '-cli-zst', shop.blob()];
    const child = spawn(program, words, { env: cleanEnvironment(shop.home), stdio: ['ignore', 'pipe', 'inherit'] });
    child.stdout.destroy();
    const [code, signal] = await new Promise<unknown[]>((resolve) => child.on('exit', (...how) => resolve(how)));
    expect({ code, signal }).toEqual({ code: 0, signal: null });
    expect(shop.names()).toEqual(['1.2.3']);
  });
});

describe('without a home folder', () => {
  const noHome = 'claustrum: cannot resolve home directory: $HOME is not defined\n';

  test('a version needs a folder: exit code 2 and no facts', async () => {
    const { home } = new Workshop();
    for (const profile of profiles) {
      for (const HOME of [undefined, '']) {
        expect(await run(['-wire-profile', profile, '-cli-version', '1.2.3'], home, { HOME })).toMatchObject({
          code: 2,
          stdout: '',
          stderr: noHome,
        });
      }
    }
  });

  test('anything else works, and is refused with exit code 1 in the next generation', async () => {
    const shop = new Workshop();
    shop.put('1.2.3', '#!/bin/sh\nexit 0\n');
    for (const words of [[], ['-cli-dir', shop.folder, '-cli-version', '1.2.3']]) {
      for (const profile of ['S', 'current']) {
        const { code, stdout, stderr } = await run(['-wire-profile', profile, ...words], shop.home, {
          HOME: undefined,
        });
        expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
        expect(stdout).toContain(`"cliWasPresent":${words.length > 0}`);
      }
      expect(await run(['-wire-profile', 'next', ...words], shop.home, { HOME: undefined })).toMatchObject({
        code: 1,
        stdout: '',
        stderr: noHome,
      });
    }
  });
});

describe('the command line', () => {
  test('without a folder means the one in the home folder', async () => {
    const { home } = new Workshop();
    for (const words of [[], ['-cli-dir', '']]) {
      expect((await run([...words, '-cli-version', '1'], home)).stdout).toContain(
        `"cliPath":"${home}/.claude/remote/ccd-cli/1"`,
      );
    }
  });

  test('takes a folder relative to the current one, and runs what lies there and nothing of the same name', async () => {
    const shop = new Workshop();
    shop.put('true', '#!/bin/sh\nexit 1\n');
    const cwd = shop.folder;
    const words = ['-install', '-cli-dir', '.', '-cli-version', 'true'];
    const env = cleanEnvironment(shop.home);
    expect((await runHoldfast(words, { env, cwd })).stdout).toContain('"cliPath":"true","cliWasPresent":false');
    writeFileSync(shop.path('true'), '#!/bin/sh\nexit 0\n');
    expect((await runHoldfast(words, { env, cwd })).stdout).toContain('"cliPath":"true","cliWasPresent":true');
  });

  test('says on stderr that retired bounds have no effect, and that a negative bound is off', async () => {
    const { home } = new Workshop();
    const words = ['-cli-probe-timeout', '1s', '-libc-probe-timeout', '1s', '-max-cli-bytes', '-1'];
    const { code, stderr } = await run(words, home);
    expect(code).toBe(0);
    const lines = stderr.split('\n').slice(0, -1);
    expect(lines).toHaveLength(3);
    for (const [index, flag] of ['max-cli-bytes', 'cli-probe-timeout', 'libc-probe-timeout'].entries()) {
      expect(lines[index]).toMatch(new RegExp(`^\\d{4}/\\d\\d/\\d\\d \\S+ WARN  \\[Install\\] -${flag} `));
    }
  });
});
