/** `holdfast doctor` finds each fault that is staged here with its real cause, names a remedy, and changes nothing. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { HostFacts } from '../../../platform/host-facts.ts';
import { createPlatform } from '../../../platform/posix/index.ts';
import type { Check, Patient } from '../../../src/operate/doctor/check.ts';
import { checkVersions } from '../../../src/operate/doctor/daemon-checks.ts';
import { checkCgroup, checkHome, checkLibc } from '../../../src/operate/doctor/host-checks.ts';
import { prepareDaemon, startDaemon, type TestDaemon } from '../../support/daemon.ts';
import { program, type RunResult } from '../../support/holdfast.ts';
import { faketime, faketimeLibrary, linux, type Need, privateMounts, root, testNeeding } from '../../support/needs.ts';
import { findByArguments } from '../../support/processes.ts';
import { expectSchema } from '../../support/schemas.ts';
import { waitUntil } from '../../support/wait.ts';

interface Row {
  readonly check: string;
  readonly state: 'ok' | 'warn' | 'bad';
  readonly seen: string;
  readonly remedy?: string;
}

interface Run {
  /** Options, `--socket` among them where it is not that of the daemon. */
  readonly words?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Words in front of the program. */
  readonly through?: readonly string[];
}

function run(daemon: TestDaemon, { words = [], env = {}, through = [] }: Run = {}): Promise<RunResult> {
  const socket = words.includes('--socket') ? [] : ['--socket', daemon.socket];
  const [command = program, ...args] = [...through, program, 'doctor', ...socket, ...words];
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env: { ...daemon.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (bytes: Buffer) => {
      stdout += bytes;
    });
    child.stderr.on('data', (bytes: Buffer) => {
      stderr += bytes;
    });
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}

async function rowsOf(daemon: TestDaemon, options: Run = {}): Promise<readonly Row[]> {
  const { code, stdout, stderr } = await run(daemon, { ...options, words: [...(options.words ?? []), '--json'] });
  expect(stderr).toBe('');
  const rows = expectSchema('doctor', stdout) as readonly Row[];
  expect(code).toBe(rows.some(({ state }) => state === 'bad') ? 1 : 0);
  expect(rows.filter(({ state, remedy }) => (remedy === undefined) !== (state === 'ok'))).toEqual([]);
  return rows;
}

/** Names, kinds, modes, owners, times and contents of everything below a folder, but for the log: a daemon tells there who asks. */
function treeHash(folder: string): string {
  const hash = createHash('sha256');
  const add = (path: string): void => {
    const found = lstatSync(path);
    hash.update(JSON.stringify([path, found.mode, found.uid, found.size, found.mtimeMs, found.ino]));
    if (found.isDirectory()) {
      for (const name of readdirSync(path)
        .filter((name) => name !== 'remote-server.log')
        .sort()) {
        add(join(path, name));
      }
    } else if (found.isSymbolicLink()) {
      hash.update(readlinkSync(path));
    } else if (found.isFile()) {
      hash.update(readFileSync(path));
    }
  };
  add(folder);
  return hash.digest('hex');
}

/** Shell words in a mount namespace of the run's own, before the program. */
const inMounts = (script: string): readonly string[] => [
  ...['unshare', '--mount', '--propagation', 'private'],
  ...['sh', '-c', `${script} && exec "$@"`, 'sh'],
];

type Found = readonly [check: string, state: 'warn' | 'bad', seen: RegExp, remedy: RegExp];

interface Stage {
  readonly title: string;
  readonly needs?: readonly Need[];
  /** Profile of the daemon that runs; without it there is none. */
  readonly daemon?: 'S' | 'current' | 'next';
  stage?(daemon: TestDaemon): Run | Promise<Run | undefined> | undefined;
  /** Every fault that is staged. */
  readonly finds: readonly Found[];
}

const made = (folder: string): string => {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return folder;
};
const policy = (daemon: TestDaemon, text: string): Run => {
  writeFileSync(join(made(join(daemon.dir, 'policy')), 'managed-settings.json'), text);
  return { env: { CLAUDE_SSH_E2E_MANAGED_SETTINGS_DIR: join(daemon.dir, 'policy') } };
};

/** Starts the daemon with a login shell of its own, and waits until it has been asked. */
async function withShell(daemon: TestDaemon, script: string): Promise<undefined> {
  const shell = join(daemon.dir, 'slow-shell');
  writeFileSync(shell, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  daemon.env.SHELL = shell;
  await daemon.start();
  daemon.env.SHELL = '/bin/sh';
  await daemon.untilLogged(/\[shellenv\]/);
}

const stages: readonly Stage[] = [
  {
    title: 'a file in the place of the run directory',
    stage({ runDir }) {
      writeFileSync(runDir, '');
      return undefined;
    },
    finds: [['run directory', 'bad', /is no folder/, /mv .*run/]],
  },
  {
    title: 'a run directory that others may write',
    stage({ runDir }) {
      chmodSync(made(runDir), 0o777);
      return undefined;
    },
    finds: [['run directory', 'bad', /mode 0777 lets others in/, /chmod 0700 /]],
  },
  {
    title: 'a run directory of another user',
    needs: [root],
    stage({ runDir }) {
      chownSync(made(runDir), 12_345, 12_345);
      return undefined;
    },
    finds: [['run directory', 'bad', /belongs to user 12345/, /chown 0 /]],
  },
  {
    title: 'a run directory below a folder that everyone may write',
    stage({ dir }) {
      chmodSync(dir, 0o777);
      made(join(dir, 'run'));
      return undefined;
    },
    finds: [['run directory', 'bad', /writable by everyone/, /chmod o-w/]],
  },
  {
    title: 'a socket path that is too long',
    stage: ({ dir }) => ({ words: ['--socket', join(dir, 'x'.repeat(120), 'rpc.sock')] }),
    finds: [['socket path', 'bad', /has \d+ bytes, the limit is 107/, /shorter -socket/]],
  },
  {
    title: 'socket and token of a daemon that was killed',
    daemon: 'S',
    async stage(daemon) {
      await daemon.kill();
      return undefined;
    },
    finds: [
      ['stale files', 'warn', /nobody listens there/, /^rm .*rpc\.sock$/],
      ['token', 'warn', /left by a daemon that was killed/, /^rm .*daemon\.token$/],
    ],
  },
  {
    title: 'what a start that was killed has left',
    stage({ runDir }) {
      const file = join(made(runDir), 'rpc.sock-1a2b');
      writeFileSync(file, '');
      utimesSync(file, 1_700_000_000, 1_700_000_000);
      return undefined;
    },
    finds: [['stale files', 'warn', /rpc\.sock-1a2b: left by a start/, /^rm /]],
  },
  {
    title: 'a daemon that hangs, and holds the lock',
    daemon: 'current',
    stage(daemon) {
      daemon.signal('SIGSTOP');
      return undefined;
    },
    finds: [
      ['daemon', 'bad', /rpc\.sock: /, /holdfast -stop/],
      ['lock', 'bad', /is held by pid \d+/, /holdfast -stop/],
    ],
  },
  {
    title: 'a folder in the place of the lock',
    stage({ runDir }) {
      made(join(made(runDir), 'daemon.lock'));
      return undefined;
    },
    finds: [['lock', 'bad', /daemon\.lock/, /^mv /]],
  },
  {
    title: 'a token that others may read',
    daemon: 'S',
    stage({ runDir }) {
      chmodSync(join(runDir, 'daemon.token'), 0o644);
      return undefined;
    },
    finds: [['token', 'bad', /mode 0644 lets others in/, /chmod 0600/]],
  },
  {
    title: 'a login shell that never comes to its prompt',
    needs: [linux],
    stage: (daemon) => withShell(daemon, 'exec sleep 60'),
    finds: [['login time', 'warn', /timed out/, /interactive shell/]],
  },
  {
    title: 'a login shell that takes its time',
    needs: [linux],
    stage: (daemon) => withShell(daemon, 'sleep 2.2; exec sh "$@"'),
    finds: [['login time', 'warn', /took \d{4} ms, sessions wait for it|timed out/, /interactive shell/]],
  },
  {
    title: 'a daemon whose token nobody finds',
    daemon: 'S',
    stage({ runDir }) {
      rmSync(join(runDir, 'daemon.token'));
      return undefined;
    },
    finds: [['token', 'warn', /is not there/, /-token-file/]],
  },
  {
    title: 'a home folder that is not there',
    stage: ({ dir }) => ({ env: { HOME: join(dir, 'nowhere') } }),
    finds: [['home', 'bad', /is not there/, /home folder/]],
  },
  {
    title: 'a home folder from which no program may run',
    needs: [linux, privateMounts()],
    stage: ({ home }) => ({ through: inMounts(`mount -t tmpfs -o noexec none ${home}`) }),
    finds: [['noexec', 'bad', /is mounted noexec/, /exec/]],
  },
  {
    title: 'a disk that cannot be written',
    needs: [linux, privateMounts()],
    stage: ({ runDir }) => ({ through: inMounts(`mount -t tmpfs -o ro none ${made(runDir)}`) }),
    finds: [['home', 'bad', /read-only/, /mount it for writing/]],
  },
  {
    title: 'a disk that is full',
    needs: [linux, privateMounts()],
    stage: ({ runDir }) => ({ through: inMounts(`mount -t tmpfs -o size=64k none ${made(runDir)}`) }),
    finds: [['disk', 'bad', /64K of 64K are free/, /remove what is not needed/]],
  },
  {
    title: 'a disk with no room for another file',
    needs: [linux, privateMounts()],
    stage: ({ runDir }) => ({ through: inMounts(`mount -t tmpfs -o nr_inodes=20 none ${made(runDir)}`) }),
    finds: [['disk', 'bad', /room for \d+ more files/, /remove/]],
  },
  {
    title: 'a low limit of open files',
    needs: [linux],
    stage: () => ({ through: ['prlimit', '--nofile=256'] }),
    finds: [['limits', 'warn', /at most 256 open files/, /limits\.conf/]],
  },
  {
    title: 'a login manager that ends the processes of who logs out',
    needs: [linux, privateMounts()],
    stage: () => ({
      through: inMounts(
        'mount -t tmpfs none /etc/systemd && printf "[Login]\\nKillUserProcesses=yes\\n" >/etc/systemd/logind.conf',
      ),
    }),
    finds: [['login', 'bad', /KillUserProcesses=yes/, /loginctl enable-linger/]],
  },
  {
    title: 'a clock that stands in another century',
    needs: [linux, faketime],
    stage: () => ({ env: { LD_PRELOAD: faketimeLibrary ?? '', FAKETIME: '@2001-01-01 00:00:00' } }),
    finds: [['clock', 'bad', /2001-01-01.*before this release/, /set the clock/]],
  },
  {
    title: 'login shell, git, agent CLI, proxy, certificates and the launcher’s policy',
    stage(daemon) {
      writeFileSync(join(made(join(daemon.home, '.claude/remote/ccd-cli')), '1.2.3'), '', { mode: 0o755 });
      const { env } = policy(daemon, '{ "processWrapper": ');
      const PATH = made(join(daemon.dir, 'empty'));
      const network = { HTTPS_PROXY: 'socks5://proxy:1080', NODE_EXTRA_CA_CERTS: '/nowhere/ca.pem' };
      return { env: { ...env, ...network, SHELL: '/nowhere/zsh', PATH } };
    },
    finds: [
      ['login shell', 'bad', /\/nowhere\/zsh cannot be run/, /chsh/],
      ['git', 'warn', /no git on the PATH/, /install git/],
      ['agent CLI', 'bad', /1\.2\.3 is no program/, /install it again/],
      ['proxy', 'bad', /unsupported proxy scheme "socks5"/, /http:\/\/host:port/],
      ['certificates', 'bad', /\/nowhere\/ca\.pem/, /NODE_EXTRA_CA_CERTS/],
      ['launcher', 'bad', /not valid JSON; no CLI is started/, /administrator/],
    ],
  },
  {
    title: 'a launcher that is not there',
    stage: (daemon) => policy(daemon, '{ "processWrapper": "/nowhere/run" }'),
    finds: [['launcher', 'bad', /\/nowhere\/run/, /absolute path/]],
  },
  {
    title: 'a process that a dead daemon has left',
    daemon: 'next',
    needs: [linux],
    async stage(daemon) {
      const words = ['run', '--socket', daemon.socket, '--id', 'left', '--', 'sleep', '1000.25'];
      const client = spawn(program, words, { env: daemon.env, stdio: 'ignore' });
      await waitUntil(() => findByArguments(['1000.25']).length > 1 || undefined, 'the child of the session');
      await waitUntil(
        () =>
          (existsSync(join(daemon.runDir, 'children')) &&
            readdirSync(join(daemon.runDir, 'children')).some((name) => /^\d+\.json$/.test(name))) ||
          undefined,
        'its record',
      );
      const ended = new Promise((resolve) => client.on('close', resolve));
      await daemon.kill();
      client.kill('SIGKILL');
      await ended;
      return undefined;
    },
    finds: [['orphans', 'bad', /1 processes of a dead daemon still run: pid \d+/, /reconcile/]],
  },
];

describe('a fault is found, its remedy named, and nothing changed:', () => {
  for (const { title, needs = [], daemon: profile, stage, finds } of stages) {
    testNeeding(...needs)(title, {}, async () => {
      await using daemon = await (profile === undefined ? prepareDaemon() : startDaemon({ profile }));
      const options = (await stage?.(daemon)) ?? {};
      const before = treeHash(daemon.dir);
      const rows = await rowsOf(daemon, options);
      expect(treeHash(daemon.dir)).toBe(before);
      for (const [check, state, seen, remedy] of finds) {
        expect(rows.filter((row) => row.check === check)).toContainEqual({
          ...{ check, state, seen: expect.stringMatching(seen), remedy: expect.stringMatching(remedy) },
        });
      }
    });
  }

  test('there are twenty of them and more', () => {
    expect(stages.flatMap(({ finds }) => finds).length).toBeGreaterThanOrEqual(20);
  });
});

describe('what cannot be staged on every host is told by its facts:', () => {
  const facts: HostFacts = {
    socketPathLimit: undefined,
    privacyFault: () => undefined,
    fileSystemOf: () => ({
      ...{ kind: 'nfs4', isNetwork: true, noPrograms: false, isReadOnly: false },
      ...{ freeBytes: 1e12, totalBytes: 1e12, freeEntries: undefined },
    }),
    openFiles: () => undefined,
    confinement: () => ({ memory: { used: 990, limit: 1000 }, processes: { used: 5, limit: 100 } }),
    loginEnd: () => undefined,
    loginShell: () => undefined,
    libc: () => ({ name: 'glibc', version: '2.17' }),
  };
  const patient: Patient = {
    ...{ platform: createPlatform(), facts, environment: {}, home: '/', runDirectory: '/', socketPath: '/rpc.sock' },
    daemon: {
      ...{ state: 'answers', version: '0.0.9', startedAt: undefined, durable: true, keeperVersion: '0.0.8' },
    },
  };

  test.each<[string, Check, Found]>([
    ['a network home', checkHome, ['home', 'warn', /network file system \(nfs4\)/, /local disk/]],
    [
      'a cgroup whose memory is used up',
      checkCgroup,
      ['cgroup', 'bad', /990 of 1000 memory|990 of 1\.0K memory/, /MemoryMax/],
    ],
    ['a C library that is too old', checkLibc, ['libc', 'bad', /glibc 2\.17/, /newer system/]],
    ['a daemon of another version', checkVersions, ['versions', 'warn', /daemon 0\.0\.9, keeper 0\.0\.8/, /restart/]],
  ])('%s', async (_, check, [name, state, seen, remedy]) => {
    expect([await check(patient)].flat()).toMatchObject([
      { check: name, state, seen: expect.stringMatching(seen), remedy: expect.stringMatching(remedy) },
    ]);
  });
});

test('a host with nothing wrong is told so, line by line, in 80 columns, with exit code 0', async () => {
  await using daemon = await startDaemon();
  const { code, stdout, stderr } = await run(daemon);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/^ok {4}run directory +.*this user's alone$/m);
  expect(stdout).toMatch(/^ok {4}launcher +no policy in /m);
  const lines = stdout.split('\n').filter((line) => !line.includes(daemon.dir));
  expect(lines.filter((line) => line.length > 80)).toEqual([]);
});

test('--fix mends what it offers and asks first: without a terminal it needs --yes', async () => {
  await using daemon = await startDaemon();
  await daemon.kill();
  chmodSync(daemon.runDir, 0o755);
  const before = treeHash(daemon.dir);
  const asked = await run(daemon, { words: ['--fix'] });
  expect(asked.code).toBe(5);
  expect(asked.stderr).toMatch(/stale files: rm .*rpc\.sock: not done without --yes, because there is no terminal/);
  expect(treeHash(daemon.dir)).toBe(before);

  const mended = await run(daemon, { words: ['--fix', '--yes'] });
  expect(mended.code).toBe(0);
  expect(mended.stderr).toMatch(/^run directory: done: chmod 0700 /m);
  expect(lstatSync(daemon.runDir).mode & 0o777).toBe(0o700);
  expect(readdirSync(daemon.runDir)).toEqual(['remote-server.log']);
});

test('--fix takes the token from others and removes what a killed start has left, beside a daemon that runs', async () => {
  await using daemon = await startDaemon();
  const token = join(daemon.runDir, 'daemon.token');
  const left = ['rpc.sock-1a2b', 'daemon.token-3c4d'].map((name) => join(daemon.runDir, name));
  for (const path of left) {
    writeFileSync(path, '');
    utimesSync(path, 1_700_000_000, 1_700_000_000);
  }
  // A start that goes on at this moment.
  const young = join(daemon.runDir, 'rpc.sock-5e6f');
  writeFileSync(young, '');
  chmodSync(token, 0o640);
  const before = treeHash(daemon.dir);
  expect((await run(daemon, { words: ['--fix'] })).code).toBe(5);
  expect(treeHash(daemon.dir)).toBe(before);

  const mended = await run(daemon, { words: ['--fix', '--yes'] });
  expect(mended.code).toBe(0);
  expect(mended.stderr).toMatch(/^token: done: chmod 0600 /m);
  expect(mended.stderr).toMatch(/^stale files: done: rm .*1a2b.*/m);
  expect(lstatSync(token).mode & 0o777).toBe(0o600);
  expect(readFileSync(token, 'utf8')).toBe(daemon.token);
  expect([...left, young].map((path) => existsSync(path))).toEqual([false, false, true]);
  expect((await daemon.run(['status', '--socket', daemon.socket])).code).toBe(0);
});

test('words it does not know are exit code 2; --host asks there, and a host that cannot be reached is 3', async () => {
  await using daemon = await startDaemon();
  expect(await run(daemon, { words: ['--frob'] })).toMatchObject({ code: 2, stdout: '' });
  const ssh = join(daemon.dir, 'ssh');
  const there = `#!/bin/sh\nshift\nPATH=${dirname(program)}:$PATH exec sh -c "$*"\n`;
  writeFileSync(ssh, there, { mode: 0o755 });
  const over = await run(daemon, { words: ['--host', 'box', '--ssh-command', ssh, '--json'] });
  expect(over).toMatchObject({ code: 0, stderr: '' });
  expectSchema('doctor', over.stdout);
  writeFileSync(ssh, '#!/bin/sh\necho no route to host >&2; exit 255\n');
  const lost = await run(daemon, { words: ['--host', 'box', '--ssh-command', ssh] });
  expect(lost).toMatchObject({ code: 3, stdout: '' });
  expect(lost.stderr).toMatch(/no route to host/);
});
