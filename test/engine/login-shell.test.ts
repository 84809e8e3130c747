/** PATH as the user's login shell has it (spec process.md §3.3, platform.md §2 "Login-shell PATH"). */
import { chmodSync, closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import * as libc from '../../native-bindings/libc.ts';
import type { Host } from '../../src/client/index.ts';
import { type DaemonOptions, prepareDaemon, startDaemon, type TestDaemon } from '../support/daemon.ts';
import { connectTo, start } from '../support/host.ts';
import { processFacts, untilEnded } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';

const shell = (name: string): string => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));

/** A home folder whose login profile says this, read by a real bash. */
async function withProfile(profile: string, options: DaemonOptions = {}): Promise<TestDaemon> {
  const daemon = await prepareDaemon({ ...options, env: { SHELL: '/bin/bash', ...options.env } });
  writeFileSync(join(daemon.home, '.bash_profile'), profile);
  await daemon.start();
  return daemon;
}

/** The PATH a child sees. */
async function pathOf(client: Host, id = 'path', env?: Record<string, string>): Promise<string> {
  const shown = await start(client, id, 'printenv', ['PATH'], { env });
  await shown.ended();
  return shown.stdout.trimEnd();
}

describe('a child has the PATH of the login shell', () => {
  test.each(['S', 'current', 'next'] as const)('in profile %s', async (profile) => {
    await using daemon = await withProfile('PATH=/from/the/profile:$PATH', { profile });
    await using client = await connectTo(daemon);
    expect(await pathOf(client)).toMatch(/^\/from\/the\/profile:\/./);
  });

  test('also when its profile talks, complains and reads its input', async () => {
    const profile = 'echo "Welcome!"; echo oops >&2; read -r line; printf "no line end"; export PATH=/talks:$PATH';
    await using daemon = await withProfile(profile);
    await using client = await connectTo(daemon);
    expect(await pathOf(client)).toMatch(/^\/talks:\/./);
  });

  test('unless the request names one', async () => {
    await using daemon = await withProfile('PATH=/from/the/profile:$PATH');
    await using client = await connectTo(daemon);
    expect(await pathOf(client, 'mine', { PATH: `/mine:${daemon.env.PATH}` })).toBe(`/mine:${daemon.env.PATH}`);
  });

  test('and the daemon itself goes on with its own: a program only the shell knows is not found by name', async () => {
    await using daemon = await prepareDaemon({ env: { SHELL: '/bin/bash' } });
    const bin = join(daemon.home, 'bin');
    mkdirSync(bin);
    writeFileSync(join(bin, 'only-there'), '#!/bin/sh\necho found\n', { mode: 0o755 });
    writeFileSync(join(daemon.home, '.bash_profile'), `PATH=${bin}:$PATH`);
    await daemon.start();
    await using client = await connectTo(daemon);
    expect(await pathOf(client)).toContain(bin);
    await expect(start(client, 'p', 'only-there')).rejects.toThrow(
      'exec: "only-there": executable file not found in $PATH',
    );
    const q = await start(client, 'q', 'sh', ['-c', 'only-there']);
    await q.ended();
    expect(q.stdout).toBe('found\n');
  });

  test('which is looked up once: a later change of the profile changes nothing', async () => {
    await using daemon = await withProfile('PATH=/first:$PATH');
    await using client = await connectTo(daemon);
    const before = await pathOf(client, 'before');
    writeFileSync(join(daemon.home, '.bash_profile'), 'PATH=/second:$PATH');
    expect(await pathOf(client, 'after')).toBe(before);
  });
});

describe('the shell', () => {
  test('is a login shell that is interactive, and is given seven variables and no more', async () => {
    await using daemon = await startDaemon({
      env: {
        SHELL: shell('dump-environment-shell.sh'),
        TERM: 'xterm',
        USER: 'somebody',
        SECRET: 'no',
        NODE_OPTIONS: '',
      },
    });
    await using client = await connectTo(daemon);
    await pathOf(client);
    const saw = readFileSync(join(daemon.home, 'shell-saw'), 'utf8').trimEnd().split('\n');
    expect(saw.at(-1)).toBe('arguments: -l -i -c');
    // What the shell that dumps adds itself is not ours.
    expect(
      saw
        .slice(0, -1)
        .filter((line) => !/^(PWD|_|SHLVL|OLDPWD)=/.test(line))
        .sort(),
    ).toEqual([
      'DISABLE_AUTO_UPDATE=true',
      `HOME=${daemon.home}`,
      `PATH=${daemon.env.PATH}`,
      `SHELL=${shell('dump-environment-shell.sh')}`,
      'TERM=xterm',
      'USER=somebody',
      'ZSH_DISABLE_COMPFIX=true',
    ]);
  });

  test.each([
    ['is missing', '/nonexistent/shell'],
    ['is a folder', '/tmp'],
    ['is not executable', '/etc/passwd'],
    ['is not named at all', undefined],
    ['is named as nothing', ''],
  ])('that %s is replaced by the first usable one of the host', async (_, SHELL) => {
    const file = existsSync('/bin/zsh') ? '.zprofile' : '.bash_profile';
    await using daemon = await prepareDaemon({ env: { SHELL } });
    writeFileSync(join(daemon.home, file), 'PATH=/fallback:$PATH');
    await daemon.start();
    await using client = await connectTo(daemon);
    expect(await pathOf(client)).toMatch(/^\/fallback:\/./);
  });

  test('that fails leaves children the daemon’s PATH, and the log says so', async () => {
    await using daemon = await prepareDaemon();
    const broken = join(daemon.dir, 'broken-shell');
    writeFileSync(broken, '#!/bin/sh\nexit 7\n');
    chmodSync(broken, 0o755);
    daemon.env.SHELL = broken;
    await daemon.start();
    await using client = await connectTo(daemon);
    expect(await pathOf(client)).toBe(daemon.env.PATH);
    expect(daemon.log()).toMatch(/ WARN {2}\[shellenv\] Failed to extract PATH from login shell: \S/);
  });
});

describe('a shell that does not come to an end', () => {
  const hanging = { env: { SHELL: shell('hanging-login-shell.sh') } };
  const locking = { env: { SHELL: shell('locking-login-shell.sh') } };
  const stubborn = { env: { SHELL: shell('stubborn-login-shell.sh') } };
  const never = { shellPathMs: 600_000 };
  const shellProcess = async (daemon: TestDaemon) => {
    const file = join(daemon.home, 'shell-pid');
    const pid = await waitUntil(
      () => existsSync(file) && (Number(readFileSync(file, 'utf8')) || false),
      'the shell to run',
    );
    return waitUntil(() => processFacts(pid), 'the shell');
  };
  /** The lock of the shell's start-up files, once they have taken it. */
  const lockOf = async (daemon: TestDaemon): Promise<string> => {
    const lock = join(daemon.home, 'lock');
    await waitUntil(() => existsSync(lock), 'the start-up files to take their lock');
    return lock;
  };

  test('costs its limit and is killed; even a PATH that it printed is not used, and one line says so', async () => {
    await using daemon = await startDaemon({ ...hanging, timings: { shellPathMs: 4000 } });
    const started = await shellProcess(daemon);
    await using client = await connectTo(daemon);
    expect(await pathOf(client)).toBe(daemon.env.PATH);
    await untilEnded(started);
    const lines = daemon.log().split('\n');
    const text = `[shellenv] Failed to extract PATH from login shell: shell PATH extraction timed out (${hanging.env.SHELL})`;
    expect(lines.filter((line) => line.endsWith(` WARN  ${text}`))).toHaveLength(1);
    // The outcome holds: nobody waits a second time.
    expect(await pathOf(client, 'again')).toBe(daemon.env.PATH);
    expect(daemon.log().match(/timed out/g)).toHaveLength(1);
  });

  test('delays neither the start nor any request but a spawn', async () => {
    await using daemon = await startDaemon({ ...hanging, timings: { shellPathMs: 600_000 } });
    await using client = await connectTo(daemon);
    let isStarted = false;
    const settled = (): void => {
      isStarted = true;
    };
    client.request('process.spawn', { id: 'p', command: 'true' }).then(settled, settled);
    expect(await client.request('server.ping')).toEqual({ pong: true });
    await expect(client.request('process.stdin', { id: 'q', data: '' })).rejects.toThrow('Process not found');
    expect(isStarted).toBe(false);
  });

  test.each([
    ['hangs', hanging],
    ['ignores SIGTERM', stubborn],
  ])('and %s is gone with the daemon', async (_, options) => {
    await using daemon = await startDaemon({ ...options, timings: never });
    const started = await shellProcess(daemon);
    await daemon.stop();
    await untilEnded(started);
  });

  test('and ignores SIGTERM is killed half a second after its limit, while children start already', async () => {
    await using daemon = await startDaemon({ ...stubborn, timings: { shellPathMs: 4000 } });
    const started = await shellProcess(daemon);
    await using client = await connectTo(daemon);
    expect(await pathOf(client)).toBe(daemon.env.PATH);
    await untilEnded(started);
    await waitUntil(() => processFacts(started.pid)?.start !== started.start, 'the daemon to collect the shell');
  });

  test('leaves no lock of its start-up files behind when its limit is reached', async () => {
    await using daemon = await startDaemon({ ...locking, timings: { shellPathMs: 2000 } });
    const started = await shellProcess(daemon);
    const lock = await lockOf(daemon);
    await untilEnded(started);
    expect(existsSync(lock)).toBe(false);
  });

  test.each(['server.shutdown', 'SIGTERM'] as const)(
    'leaves no lock of its start-up files behind when the daemon ends by %s',
    async (how) => {
      await using daemon = await startDaemon({ ...locking, timings: never });
      const started = await shellProcess(daemon);
      const lock = await lockOf(daemon);
      await (how === 'SIGTERM' ? daemon.kill(how) : daemon.stop());
      await untilEnded(started);
      expect(existsSync(lock)).toBe(false);
    },
  );

  test('leaves no lock of its start-up files behind when the start of the daemon fails', async () => {
    await using daemon = await prepareDaemon({ ...locking, profile: 'current', timings: never });
    mkdirSync(join(daemon.socket, 'in the way'), { recursive: true });
    chmodSync(daemon.runDir, 0o700);
    // The daemon waits half a second for the record of whoever holds this; the shell has its own lock by then.
    const held = openSync(join(daemon.runDir, 'daemon.lock'), 'w', 0o600);
    libc.flock(held, libc.LOCK_EX);
    expect((await daemon.launch()).code).toBe(1);
    closeSync(held);
    await waitUntil(() => daemon.processes().length === 0, 'daemon and shell to end');
    expect(existsSync(join(daemon.home, 'shell-pid'))).toBe(true);
    expect(existsSync(join(daemon.home, 'lock'))).toBe(false);
  });

  test('leaves no lock of its start-up files behind when it was asked for the SSH agent', async () => {
    await using daemon = await prepareDaemon({ profile: 'next', timings: { agentShellMs: 600_000 } });
    const SHELL = join(daemon.dir, 'shell');
    const second = `case $4 in *SSH_AUTH_SOCK*) exec ${locking.env.SHELL} "$@" ;; esac`;
    writeFileSync(SHELL, `#!/bin/sh\n${second}\nshift 2\nexec /bin/sh "$@"\n`, { mode: 0o755 });
    daemon.env.SHELL = SHELL;
    await daemon.start();
    await using client = await connectTo(daemon);
    client.request('process.spawn', { id: 'p', command: 'true' }).catch(() => {});
    const started = await shellProcess(daemon);
    const lock = await lockOf(daemon);
    await daemon.stop();
    await untilEnded(started);
    expect(existsSync(lock)).toBe(false);
  });
});
