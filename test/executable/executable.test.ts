/** The single executable as a stranger meets it: on hosts that have nothing else, and in surroundings that are against it. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { heldVariables } from '../../src/base/steering-variables.ts';
import { version } from '../../src/base/version.ts';
import { connect } from '../../src/client/index.ts';
import { runProgram } from '../modes/run-program.ts';
import { prepareDaemon } from '../support/daemon.ts';
import type { Environment, RunResult } from '../support/holdfast.ts';
import { connectTo, textOf } from '../support/host.ts';
import { devices, installed, linux, privateMounts, root as superuser, testNeeding } from '../support/needs.ts';
import {
  buildExecutable,
  buildMs,
  executableName,
  sharedBuild,
  targetName,
  withDamagedBinding,
  withNewerGlibc,
} from './build.ts';
import { makeEmptyRoot } from './empty-root.ts';
import { useMeshDoor } from './mesh-door.ts';

let folder: string;
let executable: string;

beforeAll(async () => {
  folder = mkdtempSync('/tmp/hf-');
  // Everybody's, so that other users can run what is in it.
  chmodSync(folder, 0o755);
  mkdirSync(join(folder, 'bin'));
  const built = await sharedBuild();
  for (const name of ['SHA256SUMS', executableName, `${executableName}.cdx.json`, `${executableName}.notices.txt`]) {
    copyFileSync(join(built, name), join(folder, 'bin', name));
  }
  executable = join(folder, 'bin', executableName);
}, buildMs);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const versionLine = /^claustrum (\S+) \(built \d{4}-\d\d-\d\dT[\d:.]+Z\)\n$/;

/** Runs words after `through` in an environment of nothing but `env`. */
function run(words: readonly string[], env: Environment = {}, through: readonly string[] = []): Promise<RunResult> {
  const [file = '', ...rest] = [...through, ...words];
  return runProgram(file, rest, {
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', ...env } as NodeJS.ProcessEnv,
    cwd: '/',
  });
}

describe('the build', () => {
  test('makes the same bytes of the same source, wherever and by whomever it is run', {
    timeout: 120_000,
  }, async () => {
    const again = mkdtempSync('/tmp/hf-');
    try {
      const changes = { TZ: 'Asia/Tokyo', LC_ALL: 'C.UTF-8', TMPDIR: again };
      const other = await buildExecutable(again, { changes, cwd: '/' });
      const sums = (path: string) => readFileSync(join(path, 'SHA256SUMS'), 'utf8');
      expect(sums(again)).toBe(`${sha256(readFileSync(other))}  ${executableName}\n`);
      expect(sums(join(folder, 'bin'))).toContain(sums(again));
      expect(readdirSync(again).sort()).toEqual([
        'SHA256SUMS',
        ...['', '.cdx.json', '.notices.txt'].map((suffix) => `${executableName}${suffix}`),
      ]);
    } finally {
      rmSync(again, { recursive: true });
    }
  });

  test('says what to do about a runtime that npm does not have', async () => {
    const [fakes, out] = [join(folder, 'fakes'), join(folder, 'out')];
    mkdirSync(fakes);
    const refusal = 'npm error code ETARGET\nnpm error notarget No matching version found.';
    writeFileSync(join(fakes, 'npm'), `#!/bin/sh\necho "${refusal}" >&2\nexit 1\n`, { mode: 0o755 });
    // As it is where nothing of another system was fetched before.
    const cache = join(folder, 'cache');
    const other = process.arch === 'x64' ? 'linux-arm64' : 'linux-x64';
    const words = ['--target', other, '--out', out, '--cache', cache];
    const builder = join(import.meta.dirname, '../../build/executables.ts');
    const built = await run([process.execPath, '--disable-warning=ExperimentalWarning', builder, ...words], {
      PATH: `${fakes}:/usr/bin:/bin`,
      HOME: folder,
    });
    expect(built).toMatchObject({ code: 1, stdout: '' });
    expect(built.stderr).toMatch(
      /^build: \S+: npm has no node-\S+ for us \(notarget No matching version found\.\); take the Node\.js of that version and system from its official archive, and name the program in it: --runtime /,
    );
  });

  test('names every component, with its licence, inside and beside it', async () => {
    const bill = readFileSync(join(folder, 'bin', `holdfast-${targetName}.cdx.json`), 'utf8');
    const notices = readFileSync(join(folder, 'bin', `holdfast-${targetName}.notices.txt`), 'utf8');
    const names = (JSON.parse(bill) as { components: { name: string; version: string }[] }).components.map(
      ({ name, version: its }) => `${name}@${its}`,
    );
    const lock = JSON.parse(readFileSync(join(import.meta.dirname, '../../package-lock.json'), 'utf8')) as {
      packages: Record<string, { version: string; dev?: true; os?: string[]; link?: true }>;
    };
    const locked = Object.entries(lock.packages).flatMap(([path, row]) => {
      const name = /^node_modules\/(.*)$/.exec(path)?.[1];
      return name === undefined || row.dev || row.link
        ? []
        : [{ name: `${name}@${row.version}`, isForAll: row.os === undefined }];
    });
    expect(names.filter((each) => !locked.some(({ name }) => name === each))).toEqual([]);
    // Of the package koffi only the native binding is inside.
    const forAll = locked.filter(({ name, isForAll }) => isForAll && !name.startsWith('koffi@'));
    expect(forAll.filter(({ name }) => !names.includes(name))).toEqual([]);
    for (const name of names) {
      expect(notices).toContain(`${name.replace(/@(?=[^@]*$)/, ' ')} (`);
    }
    expect(await run([executable, 'licenses'])).toEqual({ code: 0, signal: null, stdout: notices, stderr: '' });
    expect(await run([executable, 'licenses', '--sbom'])).toEqual({ code: 0, signal: null, stdout: bill, stderr: '' });
  });
});

const testAsOthers = testNeeding(linux, superuser, installed('setpriv', 'util-linux'));
const testMounting = testNeeding(linux, privateMounts());
const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];

describe('the executable runs', () => {
  testAsOthers('as any user, without a home folder, from a folder nobody can write to', {}, async () => {
    const place = join(folder, 'read-only');
    mkdirSync(place);
    execFileSync('ln', [executable, join(place, 'holdfast')]);
    chmodSync(place, 0o555);
    const temporary = join(folder, 'temporary');
    mkdirSync(temporary);
    chmodSync(temporary, 0o1777);
    const told = await run([join(place, 'holdfast'), '-version'], {}, nobody);
    expect(told).toMatchObject({ code: 0, stderr: '' });
    expect(versionLine.exec(told.stdout)?.[1]).toBe(version);
    const config = await run([join(place, 'holdfast'), 'config'], { TMPDIR: temporary }, nobody);
    expect(config).toMatchObject({ code: 0, stderr: '' });
    expect(config.stdout).toContain(`${place}/holdfast.conf`);
    expect(readdirSync(temporary)).toEqual([]);
    // A durable daemon too, though nobody has an account of that number.
    const nameless = ['setpriv', '--reuid=47110', '--regid=47110', '--clear-groups'];
    const socket = join(temporary, 'run/rpc.sock');
    const words = ['upgrade', '--start', '--json', '--socket', socket, '--', '-durable'];
    const started = await run([join(place, 'holdfast'), ...words], { TMPDIR: temporary }, nameless);
    expect(started).toMatchObject({ code: 0, stderr: '', stdout: expect.stringContaining('"state":"started"') });
    const ran = ['run', '--socket', socket, '--', 'sh', '-c', 'echo ran; exit 6'];
    expect(await run([join(place, 'holdfast'), ...ran], { TMPDIR: temporary }, nameless)).toMatchObject({
      ...{ code: 6, stdout: 'ran\n', stderr: '' },
    });
    for (const words of [
      ['release', '--keeper', '--yes', '--socket', socket],
      ['-stop', '-socket', socket],
    ]) {
      expect((await run([join(place, 'holdfast'), ...words], {}, nameless)).code).toBe(0);
    }
  });

  testMounting('where programs may not be started from /tmp', {}, async () => {
    const mounts = 'mount -t tmpfs -o noexec,mode=1777 none /tmp && exec "$@"';
    const home = join(folder, 'home-of-noexec');
    // The executable itself is kept from being hidden by the mount.
    const bound = `exec 9<"$1"; shift; ${mounts}`;
    const through = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', bound, 'sh', executable];
    const told = await run(['/proc/self/fd/9', 'config'], { HOME: home }, through);
    expect(told).toMatchObject({ code: 0, stderr: '' });
  });

  test('in a deleted working directory, without one line on stderr', async () => {
    const gone = join(folder, 'gone');
    mkdirSync(gone);
    const enter = 'cd "$1" && rmdir "$1" && shift && exec "$@"';
    const through = ['/bin/sh', '-c', enter, 'sh', gone];
    expect(await run([executable, '-version'], {}, through)).toMatchObject({ code: 0, stderr: '' });
    expect(existsSync(gone)).toBe(false);
    mkdirSync(gone);
    expect(await run([executable, '-stop', '-socket', '/nowhere'], {}, through)).toEqual({
      code: 0,
      signal: null,
      stdout: '',
      stderr: '',
    });
  });

  test('through a link, whose name is its own; as claudios-agent it is the agent', async () => {
    const [link, agent] = [join(folder, 'hf'), join(folder, 'claudios-agent')];
    execFileSync('ln', ['-s', executable, link]);
    execFileSync('ln', [executable, agent]);
    const { code, stderr } = await run([link, '-h']);
    expect({ code, first: stderr.split('\n')[0] }).toEqual({ code: 0, first: `Usage of ${link}:` });
    expect(await run([agent, '--version'])).toMatchObject({ code: 0, stdout: `${version}\n`, stderr: '' });
    expect((await run([agent, '-serve', '-nonsense'])).stderr).toMatch(/^flag provided but not defined: -nonsense\n/);
  });

  test('as claudemesh it is the mesh door, with its database, its connection and its encryption inside', {
    timeout: 60_000,
  }, async () => {
    await useMeshDoor(executable, join(folder, 'mesh'));
  });

  test('whatever variables of Node.js say, and gives them to its children as they were', {
    timeout: 60_000,
  }, async () => {
    const injected = join(folder, 'injected.cjs');
    writeFileSync(injected, 'console.error("INJECTED");');
    const traces = join(folder, 'traces');
    const values: Environment = {
      ...Object.fromEntries(heldVariables.map((name) => [name, traces])),
      NODE_OPTIONS: `--require ${injected} --inspect`,
      NODE_REPL_EXTERNAL_MODULE: injected,
      NODE_DEBUG: 'fs,net,module',
      NODE_DEBUG_NATIVE: 'mksnapshot,sea',
      NODE_V8_COVERAGE: join(folder, 'coverage'),
      NODE_EXTRA_CA_CERTS: '/nowhere.pem',
      OPENSSL_CONF: '/nowhere.cnf',
    };
    const others = {
      NODE_CHANNEL_FD: '77',
      CLAUDE_RPC_TOKEN: 'secret',
      HOLDFAST_SCRIPT: '1',
      HOLDFAST_PROGRAM: 'other',
    };
    const daemon = await prepareDaemon({ env: { ...values, ...others } });
    await using _ = daemon;
    daemon.program = executable;
    await daemon.start();
    expect(daemon.log()).not.toMatch(/INJECTED|Debugger|deserializ/);
    const environment = readFileSync(`/proc/${daemon.pid()}/environ`, 'latin1');
    expect(environment).not.toContain('secret');
    await using client = await connectTo(daemon);
    const child = await client.spawn({ command: 'env', args: ['-0'] });
    const seen = new Map(
      (await textOf(child.stdout)).split('\0').map((entry) => entry.split(/=(.*)/s) as [string, string]),
    );
    for (const [name, value] of Object.entries(values)) {
      expect([name, seen.get(name)]).toEqual([name, value]);
    }
    for (const name of Object.keys(others)) {
      expect([name, seen.get(name)]).toEqual([name, undefined]);
    }
    expect(existsSync(join(folder, 'coverage'))).toBe(false);
  });

  test('at once, where a variable cannot have an effect, and without a word about it', async () => {
    const nowhere = join(folder, 'nowhere');
    const names = ['NODE_EXTRA_CA_CERTS', 'OPENSSL_CONF', 'OPENSSL_MODULES', 'NODE_REPL_EXTERNAL_MODULE', 'NODE_PATH'];
    const env = { ...Object.fromEntries(names.map((name) => [name, nowhere])), NODE_DEBUG_NATIVE: 'sea', HOME: folder };
    const told = await run([executable, 'config'], { ...env, NODE_OPTIONS: `--require ${nowhere}` });
    expect(told).toEqual(await run([executable, 'config'], { HOME: folder }));
    expect(told).toMatchObject({ code: 0, stderr: '' });
  });

  testNeeding(linux)(
    'with bytes in its environment that are not UTF-8, for itself begun again and for its children',
    {},
    async () => {
      // A variable of Node.js lets the program begin again.
      const env = { NODE_DEBUG: 'fs' };
      const through = ['bash', '-c', 'V=$\'Jos\\xe9\' exec "$@"', 'bash'];
      await using daemon = await prepareDaemon({ env, through });
      daemon.program = executable;
      await daemon.start();
      await using client = await connectTo(daemon);
      const child = await client.spawn({ command: 'sh', args: ['-c', 'printf %s "$V" | od -An -tx1'] });
      expect((await textOf(child.stdout)).trim()).toBe('4a 6f 73 e9');
    },
  );
});

describe('the native binding', () => {
  test('is refused when one byte of it has changed', async () => {
    const damaged = join(folder, 'damaged');
    writeFileSync(damaged, withDamagedBinding(readFileSync(executable)), { mode: 0o755 });
    try {
      const { code, stderr } = await run([damaged, 'config']);
      expect(code).toBe(1);
      expect(stderr).toMatch(
        /^holdfast: the native binding in \S+ is damaged: SHA-256 [0-9a-f]{64} instead of [0-9a-f]{64}; copy the executable again and compare it with SHA256SUMS\n$/,
      );
      // What needs no binding goes on.
      expect((await run([damaged, '-version'])).code).toBe(0);
    } finally {
      rmSync(damaged);
    }
  });
});

testNeeding(linux)('a native binding that needs a newer glibc is refused with both versions', {}, async () => {
  const newer = join(folder, 'newer');
  writeFileSync(newer, withNewerGlibc(readFileSync(executable)), { mode: 0o755 });
  try {
    const { code, stderr } = await run([newer, 'config']);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^holdfast: this program needs glibc 2\.99 or newer; this host has 2\.\d+; use a newer system, or run Holdfast from source with a Node\.js that was made for this one\n$/,
    );
  } finally {
    rmSync(newer);
  }
});

describe('in a root file system that has nothing else', () => {
  const testIn = testNeeding(linux, superuser, devices(), installed('busybox', 'busybox'));
  const token = 'a'.repeat(32);
  const ping = `{"jsonrpc":"2.0","id":1,"method":"server.ping","auth":"${token}"}`;
  let root: string;
  const inside = (words: readonly string[], env: Environment = {}): Promise<RunResult> =>
    run(words, env, ['chroot', root]);
  /** A command line of busybox. */
  const script = (text: string, env: Environment = {}) => inside(['/bin/busybox', 'sh', '-c', text], env);

  beforeAll(() => {
    root = join(folder, 'root');
    if (process.geteuid?.() === 0) {
      makeEmptyRoot(root, { '/bin/holdfast': executable, '/bin/busybox': '/bin/busybox' });
    }
  });

  testIn('-version, -serve, -bridge, a session and -stop work', { timeout: 60_000 }, async () => {
    expect((await inside(['/bin/holdfast', '-version'])).stdout).toMatch(versionLine);
    const words = '-socket /root/run/rpc.sock';
    const started = await script(`echo ${token} | /bin/holdfast -serve ${words} -token-fd 0`);
    expect(started).toEqual({ code: 0, signal: null, stdout: '', stderr: '' });
    const bridged = await script(`echo '${ping}' | /bin/holdfast -bridge ${words}`);
    expect(bridged).toMatchObject({ code: 0, stdout: '{"jsonrpc":"2.0","id":1,"result":{"pong":true}}\n', stderr: '' });
    await using client = await connect({ socket: join(root, 'root/run/rpc.sock'), token });
    const job = await client.spawn({ command: '/bin/busybox', args: ['sh', '-c', 'read line; echo "$line"; exit 3'] });
    await job.write('to an empty root\n');
    expect(await textOf(job.stdout)).toBe('to an empty root\n');
    expect(await job.exit).toMatchObject({ code: 3 });
    expect(await inside(['/bin/holdfast', ...`-stop ${words}`.split(' ')])).toMatchObject({ code: 0, stderr: '' });
  });

  testIn(
    'run starts its own daemon and has the exit code of its program; ps, top and doctor tell what can be known',
    { timeout: 60_000 },
    async () => {
      const socket = ['--socket', '/root/own/rpc.sock'];
      const env = { HOME: '/root' };
      const ran = await inside(
        ['/bin/holdfast', 'run', ...socket, '--', '/bin/busybox', 'sh', '-c', 'echo out; exit 7'],
        env,
      );
      expect(ran).toEqual({ code: 7, signal: null, stdout: 'out\n', stderr: '' });
      const own = { socket: join(root, 'root/own/rpc.sock'), tokenFile: join(root, 'root/own/daemon.token') };
      await using client = await connect(own);
      await client.spawn({ id: 'runs', command: '/bin/busybox', args: ['sleep', '1000'] });
      // Without /proc a daemon tells of its sessions, and the rest is said to be unknown.
      const listed = await inside(['/bin/holdfast', 'ps', ...socket]);
      expect(listed.stdout).toMatch(/^runs +\d+ running .* \/bin\/busybox sleep 1000$/m);
      const unseen =
        'the processes of this host cannot be seen: /proc is not mounted; mount -t proc proc /proc, or let it be read';
      expect(listed).toMatchObject({ code: 0, stderr: `holdfast ps: CPU%, MEM and strays are not known: ${unseen}\n` });
      expect((await inside(['/bin/holdfast', 'top', '--once', ...socket])).stdout).toContain('runs');
      // What would have to guess without processes does not.
      expect(await inside(['/bin/holdfast', 'reconcile', ...socket])).toMatchObject({
        ...{ code: 1, stdout: '', stderr: `holdfast: ${unseen}\n` },
      });
      const examined = await inside(['/bin/holdfast', 'doctor', ...socket], { HOME: '/root' });
      expect(examined.stdout).toMatch(/^ok {4}daemon/m);
      expect(examined.stdout).not.toMatch(/system error/);
      expect(await inside(['/bin/holdfast', '-stop', '-socket', '/root/own/rpc.sock'])).toMatchObject({ code: 0 });
    },
  );

  testIn(
    'the daemon of a user without an account gives way to the next one; a durable one needs /proc, and says so',
    { timeout: 60_000 },
    async () => {
      const words = ['upgrade', '--socket', '/tmp/any/rpc.sock', '--json'];
      const user = (more: readonly string[], env: Environment = {}) =>
        run(['/bin/holdfast', ...words, ...more], env, ['chroot', '--userspec=4711:4711', root]);
      const refused = await user(['--start', '--', '-durable']);
      expect(refused).toMatchObject({ code: 1, stdout: '' });
      expect(refused.stderr).toContain('-durable does not work here: this host does not show who a process is');
      const first = await user(['--start']);
      expect({ ...first, daemon: JSON.parse(first.stdout).daemon }).toMatchObject({
        ...{ code: 0, stderr: '', daemon: { state: 'started', durable: false } },
      });
      const second = await user(['--restart']);
      expect({ ...second, daemon: JSON.parse(second.stdout).daemon }).toMatchObject({
        ...{ code: 0, stderr: '', daemon: { state: 'replaced', durable: false } },
      });
      expect(await inside(['/bin/holdfast', '-stop', '-socket', '/tmp/any/rpc.sock'])).toMatchObject({ code: 0 });
    },
  );

  testIn('-install puts a blob that lies there in its place', { timeout: 60_000 }, async () => {
    const blob = zstdCompressSync(Buffer.from('#!/bin/busybox sh\necho 1.2.3\n'));
    writeFileSync(join(root, 'cli.zst'), blob);
    const words = ['-install', '-cli-version', '1.2.3', '-cli-zst', '/cli.zst', '-cli-checksum', sha256(blob)];
    const { code, stdout, stderr } = await inside(['/bin/holdfast', ...words], { HOME: '/root' });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('"cliPath":"/root/.claude/remote/ccd-cli/1.2.3","cliWasPresent":false');
    expect(stdout).not.toContain('cliError');
    expect(existsSync(join(root, 'root/.claude/remote/ccd-cli/1.2.3'))).toBe(true);
  });

  testIn('a folder that others can write to is not used for the native binding', {}, async () => {
    const open = ['bin', 'tmp', 'root', '.'].map((name) => join(root, name));
    try {
      for (const path of open) {
        chmodSync(path, 0o777);
      }
      const { code, stderr } = await inside(['/bin/holdfast', 'config'], { HOME: '/root' });
      expect(code).toBe(1);
      expect(stderr).toMatch(/^holdfast: no folder to unpack the native binding into: /);
      for (const path of ['/tmp', '/root', '/bin', '\\.']) {
        expect(stderr).toMatch(new RegExp(`[ ;] ?${path}: others can write to it[;\n]`));
      }
      expect(stderr).toContain('; set TMPDIR to a folder of your own on a file system that allows programs to run\n');
      expect(open.flatMap((path) => readdirSync(path)).filter((name) => name.startsWith('holdfast-addon-'))).toEqual(
        [],
      );
    } finally {
      for (const path of open) {
        chmodSync(path, 0o755);
      }
      chmodSync(join(root, 'tmp'), 0o1777);
    }
  });
});
