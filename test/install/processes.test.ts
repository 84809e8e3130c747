/** The programs that `-install` and `-probe-cli` run: the CLI's `--version`, and `ldd` (spec install.md §6–7, modes.md §12). */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { childEnvironment } from '../../src/base/child-environment.ts';
import { probeLibc } from '../../src/install/libc.ts';
import { installTimings } from '../../src/install/timings.ts';
import { runVersion } from '../../src/install/version-run.ts';
import { cleanEnvironment, runHoldfast } from '../support/holdfast.ts';
import { processFacts, signalProcess } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';
import { goodCli, hangingCli, platform, Workshop } from './support.ts';

function program(shop: Workshop, name: string, script: string): string {
  const path = join(shop.home, name);
  writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return path;
}

/** The running process whose pid a script has written into the file. */
async function processIn(file: string) {
  const pid = await waitUntil(() => {
    try {
      return Number(readFileSync(file, 'utf8').trim()) || undefined;
    } catch {
      return undefined;
    }
  }, `a pid in ${file}`);
  const facts = processFacts(pid);
  if (facts === undefined) {
    throw new Error(`process ${pid} has ended`);
  }
  return facts;
}

describe('the version run', () => {
  test('has nothing to read or to write, a group of its own, and our folder; the token stays with us', async () => {
    const shop = new Workshop();
    const report = join(shop.home, 'report');
    const script = `links=$(readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2)\n{ echo "$links"; cut -d' ' -f1,5 /proc/$$/stat; pwd; echo "<$CLAUDE_RPC_TOKEN$CLAUDE_SSH_MANAGED_LAUNCHER>$KEPT"; } > ${report}`;
    shop.put('1.2.3', `#!/bin/sh\n${script}\n`);
    const env = { CLAUDE_RPC_TOKEN: 'secret', CLAUDE_SSH_MANAGED_LAUNCHER: '1', KEPT: 'kept' };
    await shop.install(['-cli-version', '1.2.3'], { env, cwd: shop.home });
    const lines = readFileSync(report, 'utf8').split('\n');
    expect(lines.slice(0, 3)).toEqual(['/dev/null', '/dev/null', '/dev/null']);
    const [pid, group] = (lines[3] ?? '').split(' ');
    expect(group).toBe(pid);
    expect(lines.slice(4)).toEqual([shop.home, '<>kept', '']);
  });

  test('is not given the token under another spelling either, where the system takes both for one variable', () => {
    const environment = Object.entries({ claude_rpc_token: 'secret', Path: '/bin', GATE: '1', gate: '2' });
    const folds = { variableKey: (name: string) => name.toUpperCase() };
    expect(childEnvironment(environment, ['GATE'], folds)).toEqual([['Path', '/bin']]);
    expect(childEnvironment(environment, ['GATE'], platform.host).map(([name]) => name)).toEqual([
      'claude_rpc_token',
      'Path',
      'gate',
    ]);
  });

  test('is over when the CLI is: what it leaves running delays nothing and lives on', async () => {
    const shop = new Workshop();
    const file = join(shop.home, 'left');
    shop.put('1.2.3', `#!/bin/sh\nsleep 600 &\necho $! > ${file}\nexit 0\n`);
    const { facts } = await shop.install(['-cli-version', '1.2.3']);
    expect(facts).toMatchObject({ cliWasPresent: true });
    const left = await processIn(file);
    expect(left.state).not.toBe('Z');
    signalProcess(left, 'SIGKILL');
  });

  test('that a signal ends has failed', async () => {
    const shop = new Workshop();
    const options = { platform, env: [], boundMs: 30_000, killedMs: 1_000 };
    expect(await runVersion(program(shop, 'cli', 'kill -9 $$'), options)).toBe('failed');
    expect(await runVersion(program(shop, 'good', 'exit 0'), options)).toBe('passed');
  });
});

describe('-probe-cli', () => {
  const probe = (home: string, path: string, env = {}) =>
    runHoldfast(['-wire-profile', 'next', '-probe-cli', path], { env: cleanEnvironment(home, env) });

  test('is silent about a CLI that runs, and says so of any that does not, always with exit code 0', async () => {
    const shop = new Workshop();
    const bad = '__CLI_BAD__\n';
    const noise = program(shop, 'noise', 'echo to stdout; echo to stderr >&2');
    expect(await probe(shop.home, noise)).toMatchObject({ code: 0, stdout: '', stderr: '' });
    expect(await probe(shop.home, noise, { HOME: undefined, CLAUDE_SSH_MANAGED_LAUNCHER: '1' })).toMatchObject({
      code: 0,
      stdout: '',
      stderr: '',
    });
    const locked = program(shop, 'locked', 'exit 0');
    chmodSync(locked, 0o600);
    for (const path of [program(shop, 'bad', 'exit 1'), locked, shop.home, join(shop.home, 'missing'), 'true']) {
      expect(await probe(shop.home, path), path).toMatchObject({ code: 0, stdout: bad, stderr: '' });
    }
  });

  test('tells a CLI that hangs from one that does not run, and ends all it started', async () => {
    const shop = new Workshop();
    shop.put('cli', hangingCli);
    const env = Object.entries(cleanEnvironment(shop.home)) as [string, string][];
    const bounds = { boundMs: 300, killedMs: installTimings.killedRunMs };
    expect(await runVersion(shop.path('cli'), { platform, env, ...bounds })).toBe('stopped');
    const pids = readFileSync(join(shop.home, 'hanging'), 'utf8').trim().split('\n').map(Number);
    for (const pid of pids) {
      await waitUntil(() => (processFacts(pid)?.state ?? 'Z') === 'Z', `process ${pid} to be gone`);
    }
  });

  test('is no mode of the earlier generations', async () => {
    const { home } = new Workshop();
    const result = await runHoldfast(['-probe-cli', '/bin/true'], { env: cleanEnvironment(home) });
    expect(result).toMatchObject({
      code: 2,
      stderr: 'claustrum: one of --version/--install/--serve/--bridge/--stop is required\n',
    });
  });
});

describe('the C library of the host', () => {
  /** @param ldd script in the place of `ldd`; `undefined`: there is none */
  async function probe(shop: Workshop, ldd: string | undefined, loaders: readonly string[] = []): Promise<string> {
    const bin = join(shop.home, 'bin');
    const lib = join(shop.home, 'lib');
    for (const folder of [bin, lib]) {
      mkdirSync(folder, { recursive: true });
    }
    if (ldd !== undefined) {
      writeFileSync(join(bin, 'ldd'), `#!/bin/sh\n${ldd}\n`, { mode: 0o755 });
    }
    for (const name of loaders) {
      writeFileSync(join(lib, name), '');
    }
    const PATH = process.env.PATH ?? '';
    // `ldd` is looked up in the PATH of this process.
    process.env.PATH = ldd === undefined ? bin : `${bin}:${PATH}`;
    try {
      return await probeLibc({
        platform,
        env: [
          ['PATH', PATH],
          ['HOME', shop.home],
        ],
        timings: { ...installTimings, libcMs: 500, libcHolderMs: 100 },
        loaderFolder: lib,
      });
    } finally {
      process.env.PATH = PATH;
    }
  }

  test('is what ldd says, on whichever stream and with whatever exit code', async () => {
    expect(await probe(new Workshop(), 'echo "ldd (Debian GLIBC 2.36) 2.36"')).toBe('glibc');
    expect(await probe(new Workshop(), 'echo "musl libc (x86_64)" >&2; exit 1', [])).toBe('musl');
    expect(await probe(new Workshop(), 'echo "MUSL"')).toBe('musl');
    expect(await probe(new Workshop(), 'echo anything; exit 127', ['ld-musl-x86_64.so.1'])).toBe('glibc');
  });

  test('is told by the loader when ldd says nothing, is missing, or hangs', async () => {
    const loader = ['ld-musl-aarch64.so.1'];
    for (const ldd of ['exit 0', undefined, 'echo GLIBC; sleep 600']) {
      expect(await probe(new Workshop(), ldd, loader)).toBe('musl');
      expect(await probe(new Workshop(), ldd, ['ld-linux-x86-64.so.2', 'ld-musl-x86_64.so'])).toBe('glibc');
    }
  });

  test('is not waited for when something else holds the output of ldd, and that is left alone', async () => {
    const shop = new Workshop();
    expect(await probe(shop, 'echo musl; sleep 600 & echo $! > "$HOME/left"')).toBe('musl');
    const left = await processIn(join(shop.home, 'left'));
    expect(left.state).not.toBe('Z');
    signalProcess(left, 'SIGKILL');
  });

  test('is asked for on every run, also when the CLI is there', async () => {
    const shop = new Workshop();
    shop.put('1.2.3', goodCli);
    mkdirSync(join(shop.home, 'bin'));
    writeFileSync(join(shop.home, 'bin', 'ldd'), '#!/bin/sh\necho musl\n', { mode: 0o755 });
    const env = { PATH: `${join(shop.home, 'bin')}:${process.env.PATH}` };
    expect((await shop.install(['-cli-version', '1.2.3'], { env })).facts).toMatchObject({
      libc: 'musl',
      cliWasPresent: true,
    });
  });
});
