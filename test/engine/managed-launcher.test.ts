/** A process that is started through the launcher of the host's administrator (spec generation-n2.md §4, §5). */
import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { connectTo, start } from '../support/host.ts';
import { linux, testNeeding } from '../support/needs.ts';
import { processFacts } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';

const profile = 'latest';

function executable(daemon: TestDaemon, name: string, content: string | Buffer): string {
  const path = join(daemon.home, name);
  writeFileSync(path, content);
  chmodSync(path, 0o755);
  return path;
}

const through = '#!/bin/sh\nexec "$@"\n';

/** What a refused spawn rejects with. */
const refusal = (code: number, message: string) => ({ code, message: `process.spawn: ${message}` });

describe('a launcher', () => {
  test('is the process: its pid, its signals, its exit status; and it is handed the command and its words', async () => {
    await using daemon = await startDaemon({ profile });
    await using client = await connectTo(daemon);
    const launcher = executable(
      daemon,
      'run',
      '#!/bin/sh\ntrap "echo ended; exit 7" TERM\nprintf "%s|" "$@"\necho\nshift 2\n"$@" &\nwait\nwait\n',
    );
    const p = await start(client, 'p', '/bin/sh', ['-c', 'sleep 600', ''], {
      launcher: [launcher, '--profile', 'a b'],
    });
    const { pid } = p;
    await p.until('\n');
    expect(p.stdout).toBe('--profile|a b|/bin/sh|-c|sleep 600||\n');
    expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')).toContain(launcher);
    await p.kill('SIGTERM');
    expect(await p.ended()).toMatchObject({ code: 7 });
    expect(p.stdout).toMatch(/ended\n$/);
    expect(daemon.log()).toContain(
      `[process.Manager] Process p started, PID=${pid}, command=/bin/sh via launcher ${launcher}`,
    );
    expect(daemon.log()).not.toContain('[LauncherHandler]');
  });

  test('that becomes the command leaves one process, with the input and output of the client', async () => {
    await using daemon = await startDaemon({ profile });
    await using client = await connectTo(daemon);
    const launcher = executable(daemon, 'run', through);
    const p = await start(client, 'p', '/bin/cat', [], { launcher: [launcher] });
    await p.write('through\n');
    await p.until('through\n');
    await p.kill('SIGKILL');
    expect(await p.ended()).toMatchObject({ code: -1, signal: 'SIGKILL', killedBy: 'client' });
  });

  test('is named in the record of the child, and so is what it was handed', async () => {
    await using daemon = await startDaemon({ profile });
    await using client = await connectTo(daemon);
    const launcher = executable(daemon, 'run', through);
    const { pid } = await start(client, 'p', '/bin/sleep', ['600'], { launcher: [launcher] });
    const text = await waitUntil(() => {
      const path = join(daemon.runDir, 'children', `${pid}.json`);
      return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
    }, 'the record of the child');
    expect(text).toContain(`"argv0":${JSON.stringify(launcher)},"program":"/bin/sleep","start":`);
  });

  test('of a daemon that died is ended by the next one, also when it has become the command', async () => {
    await using daemon = await startDaemon({ profile });
    await using client = await connectTo(daemon);
    const launcher = executable(daemon, 'run', through);
    const waiting = executable(daemon, 'wait', '#!/bin/sh\n"$@" & wait\n');
    const pids: number[] = [];
    for (const each of [launcher, waiting]) {
      const { pid } = await start(client, each, '/bin/sleep', ['600'], { launcher: [each] });
      pids.push(pid);
      await waitUntil(() => existsSync(join(daemon.runDir, 'children', `${pid}.json`)), 'the record');
    }
    await daemon.kill();
    await daemon.start();
    await daemon.untilLogged(/2 orphaned group\(s\): \d ended on SIGTERM/);
    for (const pid of pids) {
      expect(processFacts(pid)?.state ?? 'Z').toBe('Z');
    }
  });
});

describe('children lose', () => {
  const names = [
    'CLAUDE_SSH_MANAGED_LAUNCHER',
    'CLAUDE_SSH_E2E_MANAGED_SETTINGS_DIR',
    'CLAUDE_CODE_PROCESS_WRAPPER',
    'CLAUDE_SSH_PEER_CHECK',
  ];
  const env = Object.fromEntries(names.map((name) => [name, '/daemon']));
  const asked = Object.fromEntries(names.map((name) => [name, '/request']));

  test.each<[how: string, more: (launcher: string) => object, left: string[]]>([
    ['without a launcher', () => ({}), ['CLAUDE_CODE_PROCESS_WRAPPER=/daemon']],
    [
      'without a launcher, where the request names them',
      () => ({ env: asked }),
      ['CLAUDE_CODE_PROCESS_WRAPPER=/request', 'CLAUDE_SSH_PEER_CHECK=/request'],
    ],
    ['with a launcher', (launcher) => ({ launcher: [launcher] }), []],
    [
      'with a launcher, where the request names them',
      (launcher) => ({ launcher: [launcher], env: asked }),
      ['CLAUDE_SSH_PEER_CHECK=/request'],
    ],
  ])('the variables of the launcher %s', async (_, more, left) => {
    await using daemon = await startDaemon({ profile, env });
    await using client = await connectTo(daemon);
    const launcher = executable(daemon, 'run', through);
    const p = await start(client, 'p', '/usr/bin/env', [], more(launcher));
    await p.ended();
    const seen = p.stdout.split('\n');
    expect(seen.filter((line) => names.some((name) => line.startsWith(`${name}=`))).sort()).toEqual(left);
  });
});

describe('a launcher that does not start is told with its reason, and no shell runs it in its place', () => {
  const noInterpreter =
    'its interpreter was not found (the program on its #! line, or the loader of an ELF binary; a script saved with Windows CRLF line endings fails this way)';
  /** Would leave a file if a shell read it. */
  const script = (mark: string) => `echo run >"${mark}"\n`;

  /** A copy of a real program with some bytes changed. */
  function altered(change: (bytes: Buffer) => void): (mark: string) => Buffer {
    return () => {
      const bytes = readFileSync('/bin/true');
      change(bytes);
      return bytes;
    };
  }

  test.each<[what: string, content: (mark: string) => string | Buffer, reason: string]>([
    ['without #!', script, 'exec format error'],
    ['that is empty', () => '', 'exec format error'],
    ['with Windows line endings', (mark) => `#!/bin/sh\r\n${script(mark)}`, noInterpreter],
    ['with a missing interpreter', (mark) => `#!/nowhere/sh\n${script(mark)}`, noInterpreter],
    ['with an interpreter that cannot be run', (mark) => `#!/etc/passwd\n${script(mark)}`, 'permission denied'],
    ['of a foreign architecture', altered((bytes) => bytes.writeUInt16LE(0x1234, 18)), 'exec format error'],
    [
      'whose loader is missing',
      altered((bytes) => bytes.write('/nowhere', bytes.indexOf('/lib'), 'latin1')),
      noInterpreter,
    ],
  ])('one %s', async (_, content, reason) => {
    await using daemon = await startDaemon({ profile });
    await using client = await connectTo(daemon);
    const mark = join(daemon.dir, 'mark');
    const launcher = executable(daemon, 'run', content(mark));
    const params = { id: 'p', command: '/bin/true', args: [], launcher: [launcher] };
    const message = `the managed launcher ${launcher} could not be started: ${reason}`;
    await expect(client.request('process.spawn', params)).rejects.toMatchObject(refusal(-32005, message));
    expect(daemon.log()).toContain(`[process.Manager] Failed to start process p: ${message}`);
    expect(existsSync(mark)).toBe(false);
    expect(readdirSync(daemon.runDir)).not.toContain('children');
  });

  test('one with a NUL byte among its words', async () => {
    await using daemon = await startDaemon({ profile });
    await using client = await connectTo(daemon);
    const launcher = executable(daemon, 'run', through);
    const params = { id: 'p', command: '/bin/true', launcher: [launcher, 'a\0b'] };
    const message = `the managed launcher ${launcher} could not be started: invalid argument`;
    await expect(client.request('process.spawn', params)).rejects.toMatchObject(refusal(-32005, message));
  });
});

describe('before the launcher starts', () => {
  test('the tests come in the order of the contract, each with its text and its line in the log', async () => {
    await using daemon = await startDaemon({ profile });
    await using client = await connectTo(daemon);
    const launcher = executable(daemon, 'run', `#!/bin/sh\necho run >"${daemon.dir}/mark"\n`);
    const folder = join(daemon.dir, 'folder');
    mkdirSync(folder);
    copyFileSync('/bin/true', join(daemon.dir, 'plain'));
    chmodSync(join(daemon.dir, 'plain'), 0o644);
    const unusable = 'the managed launcher cannot be used: ';
    const rows: readonly (readonly [more: object, code: number, message: string])[] = [
      [{ launcher: [1], id: '' }, -32602, 'Invalid params'],
      [{ launcher: 'x', id: '' }, -32602, 'Invalid params'],
      [{ launcher: [], id: '' }, -32602, 'Process ID is required'],
      [{ launcher: [], command: '' }, -32602, 'Command is required'],
      [{ launcher: [], command: 'true' }, -32602, 'command must be an absolute path when a launcher is given'],
      [
        { launcher: [], cwd: '/nowhere' },
        -32004,
        `${unusable}the value is set but contains no launcher — unset it to run without one, or set it to the absolute path of your launcher`,
      ],
      [
        { launcher: ['/bin/true'], cwd: '/nowhere' },
        -32004,
        `${unusable}launcher \`/bin/true\` is Claude Code's own path`,
      ],
      [
        { launcher: ['true'] },
        -32004,
        `${unusable}the launcher must be an absolute path, not a bare name resolved via PATH`,
      ],
      [
        { launcher: ['/a.ts'] },
        -32004,
        `${unusable}launcher \`/a.ts\` is a script the SDK would run in place of Claude Code`,
      ],
      [{ launcher: ['/a'] }, -32004, `${unusable}launcher \`/a\` does not exist or is not an executable regular file`],
      [
        { launcher: [launcher], cwd: '/nowhere', command: '/nowhere/claude' },
        -32603,
        'chdir /nowhere: stat /nowhere: no such file or directory',
      ],
      [
        { launcher: [launcher], command: '/nowhere/claude' },
        -32603,
        'fork/exec /nowhere/claude: no such file or directory',
      ],
      [{ launcher: [launcher], command: folder }, -32603, `fork/exec ${folder}: permission denied`],
      [
        { launcher: [launcher], command: `${daemon.dir}/plain` },
        -32603,
        `fork/exec ${daemon.dir}/plain: permission denied`,
      ],
    ];
    for (const [more, code, message] of rows) {
      const params: object = { id: 'p', command: '/bin/true', ...more };
      const refused = await client.request('process.spawn' as string, params).catch((error: unknown) => error);
      expect(refused, JSON.stringify(more)).toMatchObject(refusal(code, message));
      const isLogged = daemon.log().includes(`[process.Manager] Failed to start process p: ${message}`);
      expect(isLogged, message).toBe(!/^(Invalid params|Process ID|Command is)/.test(message));
    }
    expect(existsSync(join(daemon.dir, 'mark'))).toBe(false);
  });

  test('a session with a command that cannot be run supersedes nothing', async () => {
    await using daemon = await startDaemon({ profile });
    await using client = await connectTo(daemon);
    const launcher = executable(daemon, 'run', through);
    const args = ['600', '--input-format=stream-json', '--session-id=s'];
    const program = executable(daemon, 'old', '#!/bin/sh\nexec sleep 600\n');
    const old = await start(client, 'old', program, args);
    for (const more of [
      { command: '/nowhere' },
      { command: '/etc/passwd' },
      { command: program, launcher: ['/nowhere'] },
    ]) {
      const params = { id: 'new', args, launcher: [launcher], ...more };
      await expect(client.request('process.spawn', params)).rejects.toMatchObject({ kind: 'rpc' });
    }
    expect(processFacts(old.pid)).toBeDefined();
    const replacement = { id: 'new', command: program, args, launcher: [launcher] };
    expect(await client.request('process.spawn', replacement)).toEqual({ success: true });
    expect(await old.ended()).toMatchObject({ killedBy: 'client' });
  });
});

test.each(['S', 'current', 'next'] as const)(
  'profile %s knows no launcher and ignores the parameter',
  async (profile) => {
    await using daemon = await startDaemon({ profile });
    await using client = await connectTo(daemon);
    const ignored: object = { launcher: 1 };
    const p = await start(client, 'p', 'echo', ['direct'], ignored);
    await p.ended();
    expect(p.stdout).toBe('direct\n');
    await expect(client.request('launcher.resolve', { cliPath: '/a' })).rejects.toMatchObject({
      code: -32601,
      message: 'launcher.resolve: Unknown namespace: launcher',
    });
  },
);

testNeeding(linux)('who asks for a check of callers hears that there is none', {}, async () => {
  await using daemon = await startDaemon({ profile, env: { CLAUDE_SSH_PEER_CHECK: '1' } });
  await using client = await connectTo(daemon);
  expect(await client.request('server.capabilities')).toMatchObject({ peerCheck: 'unavailable' });
  const lines = daemon.log().split('\n');
  const told = lines.findIndex((line) =>
    line.includes('[Server] CLAUDE_SSH_PEER_CHECK is set: this build has no peer check on Linux, serving all callers'),
  );
  expect(lines[told]).toMatch(/ WARN {2}\[Server\]/);
  expect(lines[told + 1]).toContain('(pid ');
});
