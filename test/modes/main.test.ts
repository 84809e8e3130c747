import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmdirSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ownCommand, restoreHeldVariables, takeProgramName } from '../../src/base/own-process.ts';
import { heldVariables } from '../../src/base/steering-variables.ts';
import { version } from '../../src/base/version.ts';
import { cleanEnvironment, type Environment, type RunResult, runHoldfast, startScript } from '../support/holdfast.ts';
import { testNeeding, tracing, root as userRoot } from '../support/needs.ts';
import { removeFolder } from '../support/remove-folder.ts';
import { runProgram } from './run-program.ts';

const root = join(import.meta.dirname, '..', '..');
const versionText = `claustrum ${version} (built unknown)\n`;

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hf'));
});

afterEach(() => removeFolder(directory));

function run(words: readonly string[], changes: Environment = {}): Promise<RunResult> {
  return runHoldfast(words, { env: cleanEnvironment(directory, changes), program: startScript });
}

/** A whole installation of its own, in which a test may put files beside the executable. */
function install(): string {
  const home = join(directory, 'installation');
  mkdirSync(home);
  for (const part of ['bin', 'src', 'platform', 'native-bindings', 'package.json']) {
    cpSync(join(root, part), join(home, part), { recursive: true });
  }
  symlinkSync(join(root, 'node_modules'), join(home, 'node_modules'));
  return home;
}

function runIn(installation: string, words: readonly string[], changes: Environment = {}): Promise<RunResult> {
  return runProgram(join(installation, 'bin', 'holdfast'), words, { env: cleanEnvironment(directory, changes) });
}

describe('a command line', () => {
  test('without mode says which there are, without the usage text, exit code 2', async () => {
    const short = 'claustrum: one of --version/--install/--serve/--bridge/--stop is required\n';
    for (const words of [[], ['nothing'], ['x', '-version'], ['--', '-version'], ['-serve=false']]) {
      expect(await run(words)).toMatchObject({ code: 2, stdout: '', stderr: short });
    }
    expect(await run(['-wire-profile', 'next'])).toMatchObject({
      code: 2,
      stderr: 'claustrum: one of --version/--install/--probe-cli/--serve/--bridge/--stop is required\n',
    });
  });

  test('that cannot be read is told why, then how it is done, exit code 2', async () => {
    for (const [words, message] of [
      [['-serv'], 'flag provided but not defined: -serv'],
      [['-serve', '-socket'], 'flag needs an argument: -socket'],
      [['-version', '-git-timeout', '5'], 'invalid value "5" for flag -git-timeout: parse error'],
    ] as const) {
      const { code, stdout, stderr } = await run(words);
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr.startsWith(`${message}\nUsage of ${startScript}:\n`)).toBe(true);
    }
  });

  test.each(['-h', '-help', '--help'])('%s shows the usage text on stderr, exit code 0', async (word) => {
    const { code, stdout, stderr } = await run([word]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    expect(stderr.startsWith(`Usage of ${startScript}:\n`)).toBe(true);
  });
});

describe('-version', () => {
  test('prints one line and nothing else, with or without a home folder', async () => {
    expect(await run(['-version'])).toMatchObject({ code: 0, stdout: versionText, stderr: '' });
    expect(await run(['-wire-profile=next', '-version'], { HOME: undefined })).toMatchObject({
      code: 0,
      stdout: versionText,
      stderr: '',
    });
  });

  test('loads neither an adapter nor a native library', async () => {
    const list = join(directory, 'loaded');
    const hook = join(directory, 'hook.mjs');
    writeFileSync(
      hook,
      `import { appendFileSync } from 'node:fs';
       import { registerHooks } from 'node:module';
       const list = ${JSON.stringify(list)};
       registerHooks({ load(url, context, next) { appendFileSync(list, url + '\\n'); return next(url, context); } });`,
    );
    const words = ['--import', hook, join(root, 'src', 'main.ts'), '-version'];
    const { stdout } = await runProgram(process.execPath, words, { env: cleanEnvironment(directory) });
    expect(stdout).toBe(versionText);
    const loaded = readFileSync(list, 'utf8');
    expect(loaded).toContain('/src/modes/version.ts');
    expect(loaded).not.toMatch(/koffi|native-bindings|platform\/(posix|win32|load)|\.node$/m);
  });

  test('of an installation with a version-override names that commit, and a wrong one is named on stderr', async () => {
    const installation = install();
    const commit = 'A'.repeat(40);
    const file = join(installation, 'bin', 'holdfast.conf');
    writeFileSync(file, `version-override = ${commit}\n`);
    expect(await runIn(installation, ['-version'])).toMatchObject({
      code: 0,
      stdout: `claude-ssh ${commit.toLowerCase()} (via Claustrum ${version}, built unknown)\n`,
      stderr: '',
    });
    writeFileSync(file, 'version-override = latest\n');
    const { code, stdout, stderr } = await runIn(installation, ['-version']);
    expect({ code, stdout }).toEqual({ code: 0, stdout: versionText });
    expect(stderr).toMatch(
      /^\S+ \S+ WARN {2}\[Server\] holdfast\.conf:1: version-override = latest is refused: [^\n]+\n$/,
    );
  });
});

test('the profile of the files beside the executable holds, and a flag beats it', async () => {
  const installation = install();
  writeFileSync(join(installation, 'bin', 'claustrum.conf'), 'wire-profile = next\n');
  expect((await runIn(installation, [])).stderr).toContain('--probe-cli');
  expect((await runIn(installation, ['-wire-profile', 'S'])).stderr).not.toContain('--probe-cli');
});

test('a failure nobody foresaw is one line on stderr that names the place, exit code 1', async () => {
  const installation = install();
  const fail = `throw new Error('first\\nsecond')`;
  writeFileSync(join(installation, 'src', 'modes', 'stop.ts'), `export async function runStop() { ${fail}; }`);
  const thrown = await runIn(installation, ['-stop', '-socket', join(directory, 's')]);
  expect(thrown).toMatchObject({ code: 1, stdout: '' });
  expect(thrown.stderr).toMatch(/^holdfast: first\\x0asecond \(at runStop \([^\n]*stop\.ts:1:\d+\)\)\n$/);
  writeFileSync(
    join(installation, 'src', 'modes', 'stop.ts'),
    `export function runStop() { setTimeout(() => { ${fail}; }); return new Promise(() => {}); }`,
  );
  const later = await runIn(installation, ['-stop', '-socket', join(directory, 's')]);
  expect(later).toMatchObject({ code: 1, stdout: '' });
  expect(later.stderr).toMatch(/^holdfast: first\\x0asecond [^\n]*\n$/);
});

describe('without a home folder', () => {
  const homeless = {
    code: 1,
    stdout: '',
    stderr: 'claustrum: cannot resolve home directory: $HOME is not defined\n',
  };

  test('a mode that needs the default socket says so, exit code 1', async () => {
    expect(await run(['-bridge'], { HOME: undefined })).toMatchObject(homeless);
    expect(await run(['-bridge'], { HOME: '' })).toMatchObject(homeless);
  });

  test('a socket that is given is enough, except in profile next', async () => {
    const socket = join(directory, 's');
    expect((await run(['-bridge', '-socket', socket], { HOME: undefined })).stderr).toBe(
      `claustrum: dial server: dial unix ${socket}: connect: no such file or directory\n`,
    );
    expect(await run(['-wire-profile', 'next', '-bridge', '-socket', socket], { HOME: undefined })).toMatchObject(
      homeless,
    );
  });

  test('with one, the default socket lies below it', async () => {
    expect((await run(['-bridge'])).stderr).toBe(
      `claustrum: dial server: dial unix ${directory}/.claude/remote/rpc.sock: connect: no such file or directory\n`,
    );
  });
});

describe('the launch script', () => {
  /** An installation whose main program prints what it was started with. */
  function mirror(options: { readonly ownNode: boolean }): string {
    const home = join(directory, 'mirror');
    mkdirSync(join(home, 'bin'), { recursive: true });
    mkdirSync(join(home, 'src'));
    mkdirSync(join(home, 'node_modules', '.bin'), { recursive: true });
    cpSync(join(root, 'bin', 'holdfast'), join(home, 'bin', 'holdfast'));
    writeFileSync(join(home, 'package.json'), '{"type":"module"}');
    writeFileSync(
      join(home, 'src', 'main.ts'),
      'const env: NodeJS.ProcessEnv = process.env;\nconsole.log(JSON.stringify({ env, words: process.argv.slice(2) }));',
    );
    if (options.ownNode) {
      symlinkSync(process.execPath, join(home, 'node_modules', '.bin', 'node'));
    }
    return join(home, 'bin', 'holdfast');
  }

  async function seen(file: string, words: readonly string[], changes: Environment = {}, cwd?: string) {
    const result = await runProgram(file, words, { env: cleanEnvironment(directory, changes), cwd });
    expect(result).toMatchObject({ code: 0, stderr: '' });
    return JSON.parse(result.stdout) as { env: Record<string, string>; words: string[] };
  }

  test('keeps code that NODE_OPTIONS names out of our process', async () => {
    const probe = join(directory, 'probe.cjs');
    const trace = join(directory, 'loaded');
    writeFileSync(probe, `require('node:fs').writeFileSync(${JSON.stringify(trace)}, 'loaded'); console.log('probe');`);
    for (const options of [
      `--require ${probe}`,
      `--require=${probe} --no-warnings`,
      '--inspect=127.0.0.1:0',
      '--bad',
    ]) {
      const result = await run(['-version'], { NODE_OPTIONS: options });
      // A debugger would announce its port on stderr, a runtime that read a bad option would complain there.
      expect(result).toMatchObject({ code: 0, stdout: versionText, stderr: '' });
    }
    expect(() => readFileSync(trace)).toThrow('ENOENT');
    // The probe does work where nobody holds it back.
    const bare = await runProgram(process.execPath, [join(root, 'src', 'main.ts'), '-version'], {
      env: cleanEnvironment(directory, { NODE_OPTIONS: `--require ${probe}` }),
    });
    expect(bare.stdout).toBe(`probe\n${versionText}`);
  });

  testNeeding(tracing())(
    'starts its own runtime where a sandbox refuses to say whether a file can be run',
    {},
    async () => {
      const call = ['-e', 'trace=faccessat2', '-e', 'inject=faccessat2:error=EPERM'];
      const refuse = ['-f', '--seccomp-bpf', '-qq', '-o', '/dev/null', ...call];
      const result = await runProgram('strace', [...refuse, startScript, '-version'], {
        env: cleanEnvironment(directory),
      });
      expect(result).toMatchObject({ code: 0, stdout: versionText, stderr: '' });
    },
  );

  test('does not let OPENSSL_CONF or NODE_EXTRA_CA_CERTS stop our runtime, load into it or make it complain', async () => {
    const broken = join(directory, 'broken.cnf');
    writeFileSync(broken, 'nodejs_conf = a\n[a]\nproviders = b\n[b]\nc = d\n[d]\nmodule = /missing.so\nactivate = 1\n');
    const changes = { OPENSSL_CONF: broken, NODE_EXTRA_CA_CERTS: join(directory, 'missing.pem') };
    // The second line is a complaint from another thread, which the end of the process may overtake.
    for (let round = 0; round < 5; round++) {
      expect(await run(['-version'], changes)).toMatchObject({ code: 0, stdout: versionText, stderr: '' });
    }
    // It does stop a runtime that sees it.
    const bare = await runProgram(process.execPath, ['-e', '0'], { env: cleanEnvironment(directory, changes) });
    expect(bare.code).not.toBe(0);
  });

  test('holds every injecting variable back with its exact value, and leaves the others', async () => {
    const value = ' a "b" $HOME `id` \\ \n\'c\' ';
    const { env } = await seen(mirror({ ownNode: true }), [], {
      ...Object.fromEntries(heldVariables.map((name) => [name, value])),
      NODE_TLS_REJECT_UNAUTHORIZED: '',
      NODE_CHANNEL_FD: '9',
      HOLDFAST_HELD_NODE_PATH: 'stale',
    });
    for (const name of heldVariables) {
      // Our own compiled code is kept beside the packages; the user's folder for such code is not touched.
      const ours = name === 'NODE_COMPILE_CACHE' ? expect.stringContaining('/node_modules/.cache/holdfast') : undefined;
      expect(env[name]).toEqual(ours);
      expect(env[`HOLDFAST_HELD_${name}`]).toBe(value);
    }
    expect(env.NODE_TLS_REJECT_UNAUTHORIZED).toBe('');
    expect(env.NODE_CHANNEL_FD).toBe(undefined);
  });

  test('keeps an empty variable apart from a missing one, and believes no value left behind by somebody else', async () => {
    const { env } = await seen(mirror({ ownNode: true }), [], {
      NODE_OPTIONS: '',
      HOLDFAST_HELD_NODE_PATH: 'stale',
    });
    expect(env.HOLDFAST_HELD_NODE_OPTIONS).toBe('');
    expect(env.HOLDFAST_HELD_NODE_PATH).toBe(undefined);
  });

  test('keeps compiled code where nobody else can put any, whatever the umask', async () => {
    const file = mirror({ ownNode: true });
    await seen('sh', ['-c', 'umask 0; exec "$0"', file]);
    const modules = join(directory, 'mirror', 'node_modules');
    for (const folder of ['.cache', '.cache/holdfast']) {
      expect(statSync(join(modules, folder)).mode & 0o777, folder).toBe(0o700);
    }
  });

  testNeeding(userRoot)('takes no compiled code out of a folder of somebody else, and not by a link', {}, async () => {
    const file = mirror({ ownNode: true });
    const cache = join(directory, 'mirror', 'node_modules', '.cache', 'holdfast');
    mkdirSync(cache, { recursive: true });
    chownSync(cache, 65_534, 65_534);
    expect((await seen(file, ['x'])).env.NODE_COMPILE_CACHE).toBe(undefined);
    rmdirSync(cache);
    mkdirSync(join(directory, 'elsewhere'));
    symlinkSync(join(directory, 'elsewhere'), cache);
    expect((await seen(file, ['x'])).env.NODE_COMPILE_CACHE).toBe(undefined);
    unlinkSync(cache);
    expect((await seen(file, ['x'])).env.NODE_COMPILE_CACHE).toContain('/node_modules/.cache/holdfast');
  });

  test('passes every word on as it is', async () => {
    const words = ['', ' ', '-a b', '$HOME', '`id`', '*', '"', "'", '\\', 'ä\n'];
    expect((await seen(mirror({ ownNode: true }), words)).words).toEqual(words);
  });

  test('works from any folder, through links to links, and with spaces in its path', async () => {
    const file = mirror({ ownNode: true });
    mkdirSync(join(directory, 'a b', 'c'), { recursive: true });
    symlinkSync('../../mirror/bin/holdfast', join(directory, 'a b', 'c', 'relative'));
    symlinkSync('c/relative', join(directory, 'a b', 'again'));
    symlinkSync(join(directory, 'a b', 'again'), join(directory, 'absolute'));
    for (const link of [file, join(directory, 'a b', 'again'), join(directory, 'absolute')]) {
      expect((await seen(link, ['x'], {}, '/')).env.HOLDFAST_PROGRAM).toBe(link);
    }
    expect((await seen('./again', ['x'], {}, join(directory, 'a b'))).env.HOLDFAST_PROGRAM).toBe('./again');
    const path = `${join(directory, 'a b')}:${process.env.PATH}`;
    expect((await seen('sh', ['-c', 'again x'], { PATH: path }, '/')).words).toEqual(['x']);
    expect((await seen('sh', ['holdfast', 'x'], {}, join(directory, 'mirror', 'bin'))).words).toEqual(['x']);
  });

  test('takes the node on PATH when it has none of its own and that one is new enough', async () => {
    const folder = join(directory, 'path');
    mkdirSync(folder);
    symlinkSync(process.execPath, join(folder, 'node'));
    const changes = { PATH: `${folder}:${process.env.PATH}` };
    expect((await seen(mirror({ ownNode: false }), ['x'], changes)).words).toEqual(['x']);
  });

  test.each(['v20.20.2', 'v22.17.1', 'v9.99.0', 'nonsense', ''])(
    'refuses the node %j on PATH, names it and says what to do',
    async (found) => {
      const folder = join(directory, 'path');
      mkdirSync(folder);
      writeFileSync(join(folder, 'node'), `#!/bin/sh\necho '${found}'\n`);
      chmodSync(join(folder, 'node'), 0o755);
      const result = await runProgram(mirror({ ownNode: false }), ['-version'], {
        env: cleanEnvironment(directory, { PATH: `${folder}:/usr/bin:/bin` }),
      });
      expect(result).toMatchObject({ code: 1, stdout: '' });
      expect(result.stderr).toMatch(
        /^holdfast: Node\.js 22\.18 or newer is needed, found on PATH: [^\n]*npm ci[^\n]*\n$/,
      );
      expect(result.stderr).toContain(`found on PATH: ${found};`);
    },
  );
});

describe('our own runtime', () => {
  test('gives held values back to children, and holds them again when it starts itself', () => {
    const environment: NodeJS.ProcessEnv = {
      A: 'a',
      HOLDFAST_HELD_NODE_OPTIONS: '--require x',
      HOLDFAST_HELD_NODE_PATH: '',
      HOLDFAST_HELD_OTHER: 'stays',
      HOLDFAST_PROGRAM: './holdfast',
      MALLOC_ARENA_MAX: '4',
    };
    restoreHeldVariables(environment);
    expect(takeProgramName(environment)).toBe('./holdfast');
    const given = {
      A: 'a',
      NODE_OPTIONS: '--require x',
      NODE_PATH: '',
      HOLDFAST_HELD_OTHER: 'stays',
      MALLOC_ARENA_MAX: '4',
    };
    expect(environment).toEqual(given);

    const again = ownCommand(['-serve'], Object.entries(environment) as [string, string][]);
    expect(again.file).toBe(process.execPath);
    expect(again.args.at(-1)).toBe('-serve');
    const started = Object.fromEntries(again.env);
    expect(started).toEqual({
      A: 'a',
      HOLDFAST_HELD_NODE_OPTIONS: '--require x',
      HOLDFAST_HELD_NODE_PATH: '',
      HOLDFAST_HELD_OTHER: 'stays',
      HOLDFAST_HELD_MALLOC_ARENA_MAX: '4',
      MALLOC_ARENA_MAX: '1',
      HOLDFAST_ARENAS: '1',
    });
    restoreHeldVariables(started);
    expect(started).toEqual(given);
  });

  test.each(['holdfast', 'holdfast.cmd'])('and bin/%s agree on the variables that are held', (name) => {
    const script = readFileSync(join(root, 'bin', name), 'utf8');
    const list = /(?:for name in|in \()([A-Z0-9_\s\\]+)/.exec(script)?.[1] ?? '';
    expect(list.match(/[A-Z0-9_]+/g)).toEqual([...heldVariables]);
  });
});
