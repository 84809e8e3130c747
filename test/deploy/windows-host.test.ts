/**
 * `holdfast deploy` to a Windows host: over a real ssh server and its real SFTP, with a script in the place of cmd.exe that
 * answers what cmd.exe answers, and runs in the place of the copied program. What the program does there is tested under Wine.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type SshHost, startSshHost } from '../ssh/sshd.ts';
import { program, programForTests, type RunResult, runHoldfast } from '../support/holdfast.ts';
import { findByArguments } from '../support/processes.ts';
import { expectSchema } from '../support/schemas.ts';
import { waitUntil } from '../support/wait.ts';

let host: SshHost;
let calls: string;
const at = (...names: readonly string[]): string => join(host.home, ...names);
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** A deployment is seven or eight logins, and there are several in a test. */
const slow = { timeout: 180_000 };

/** What deploy takes for a program of 64-bit Windows. */
function windowsProgram(fill: string): Buffer {
  const bytes = Buffer.alloc(3_000_000, fill);
  bytes.write('MZ', 0);
  bytes.writeUInt32LE(0x80, 0x3c);
  bytes.write('PE\0\0', 0x80);
  bytes.writeUInt16LE(0x8664, 0x84);
  return bytes;
}

const first = windowsProgram('1');
const second = windowsProgram('2');
const daemon = {
  socket: 'C:\\Users\\dev\\.claude\\remote\\rpc.sock',
  state: 'started',
  pid: 4711,
  durable: true,
  sessions: 0,
};
const folder = 'AppData/Local/Microsoft/WindowsApps';

const path = 'C:\\Windows;C:\\Users\\dev\\AppData\\Local\\Microsoft\\WindowsApps';

/** @param sftp a line that serves it; @param processor of the host */
function login(sftp = 'exec $SSH_ORIGINAL_COMMAND', processor = 'AMD64'): void {
  const said = (text: string): string => `printf '%s\\r\\n' '${text}' >&2; exit 1`;
  host.setLoginScript(`cd ${host.home} || exit 1
echo "$SSH_ORIGINAL_COMMAND" >>${calls}
set -f; set -- $SSH_ORIGINAL_COMMAND
case $1 in
*sftp*) ${sftp} ;;
sh) ${said("'sh' is not recognized as an internal or external command,")} ;;
cmd) printf '%s\\r\\n' 'ALLUSERSPROFILE=C:\\ProgramData' 'OS=Windows_NT' 'Path=${path}' 'PROCESSOR_ARCHITECTURE=${processor}' 'USERPROFILE=C:\\Users\\dev'; exit ;;
esac
file=$(printf %s "$1" | tr '\\\\' /)
[ -f "$file" ] || { ${said('The system cannot find the path specified.')}; }
hash=$(sha256sum <"$file" | cut -c 1-64)
case "$2 $3" in
'upgrade --check')
  [ "$hash" = "$5" ] || { ${said('holdfast upgrade: it has another SHA-256; copy it again')}; }
  echo '{"program":{"file":"x","state":"in place","sha256":"'$hash'"},"daemon":{"socket":"s","state":"none"}}' ;;
'upgrade --start') printf '%s\\n' '{"program":{"file":"x","state":"in place"},"daemon":${JSON.stringify(daemon)}}' ;;
*) ${said('no such verb')} ;;
esac
`);
}

beforeAll(async () => {
  host = await startSshHost({ hasLoginScript: true });
  calls = join(host.dir, 'calls');
  for (const [name, bytes] of [
    ['first', first],
    ['second', second],
  ] as const) {
    writeFileSync(join(host.dir, name), bytes);
  }
});

beforeEach(() => {
  for (const name of readdirSync(host.home)) {
    rmSync(at(name), { recursive: true });
  }
  writeFileSync(calls, '');
  login();
});

afterAll(() => host[Symbol.asyncDispose]());

function deploy(
  name: 'first' | 'second',
  words: readonly string[] = [],
  flags: readonly string[] = [],
  tests = {},
): Promise<RunResult> {
  const all = [
    'deploy',
    '--from',
    join(host.dir, name),
    '--ssh-command',
    join(host.dir, 'client/ssh'),
    ...words,
    'host',
  ];
  const isForTests = Object.keys(tests).length > 0;
  return runHoldfast([...all, ...(flags.length === 0 ? [] : ['--', ...flags])], {
    env: { ...host.env, HOLDFAST_TEST_TIMINGS: isForTests ? JSON.stringify(tests) : undefined },
    program: isForTests ? programForTests : program,
  });
}

const asked = (): string[] => readFileSync(calls, 'utf8').trim().split('\n');

test('--dry-run tells what a Windows host is and where the program would lie, and changes nothing', slow, async () => {
  const told = await deploy('first', ['--dry-run']);
  expect(told).toMatchObject({ code: 0, stderr: '' });
  expect(told.stdout).toMatch(/^host {5}host: win-x64$/m);
  expect(told.stdout).toContain(
    'program  C:\\Users\\dev\\AppData\\Local\\Microsoft\\WindowsApps\\holdfast.exe: would be copied, 3.0 MB (on the PATH of ssh commands there, and yours)',
  );
  expect(told.stdout).toContain('daemon   then would be started');
  expect(readdirSync(host.home)).toEqual([]);
});

test(
  'the program gets there by SFTP, is verified by itself, and starts the daemon; the second time there is nothing to copy',
  slow,
  async () => {
    const done = await deploy('first', ['--json'], ['-durable']);
    expect(done).toMatchObject({ code: 0, stderr: '' });
    expect(expectSchema('deploy', done.stdout)).toEqual({
      ...{ host: 'host', target: 'win-x64', libc: '' },
      program: {
        ...{ file: 'C:\\Users\\dev\\AppData\\Local\\Microsoft\\WindowsApps\\holdfast.exe', state: 'copied' },
        ...{ bytes: first.length, sha256: sha256(first), continuedAt: 0, isOnPath: true },
      },
      daemon,
    });
    expect(readFileSync(at(folder, 'holdfast.exe')).equals(first)).toBe(true);
    expect(readdirSync(host.home)).toEqual(['AppData']);
    // Nothing in a line that cmd.exe and PowerShell would read in different ways.
    const lines = asked().filter((line) => !/^sh |sftp/.test(line));
    expect(lines.at(-1)).toBe(
      '.\\AppData\\Local\\Microsoft\\WindowsApps\\holdfast.exe upgrade --start --json -- -durable',
    );
    expect(lines.filter((line) => !/^[\w .\\/-]+$/.test(line))).toEqual([]);

    const again = await deploy('first', ['--json'], ['-durable']);
    expect(expectSchema('deploy', again.stdout)).toMatchObject({ program: { state: 'there' } });
  },
);

test(
  'a newer one takes the name of a program that runs, and the old one is gone after the next time',
  slow,
  async () => {
    for (const name of ['first', 'second', 'first'] as const) {
      expect(await deploy(name)).toMatchObject({ code: 0, stderr: '' });
    }
    expect(readFileSync(at(folder, 'holdfast.exe')).equals(first)).toBe(true);
    expect(readdirSync(at(folder)).sort()).toEqual(['holdfast.exe', 'holdfast.old-1.exe']);
    expect(readFileSync(at(folder, 'holdfast.old-1.exe')).equals(second)).toBe(true);
  },
);

test('a copy that was cut goes on where it stopped; what is not of this file is sent anew', slow, async () => {
  const part = at(`.holdfast-${sha256(first).slice(0, 16)}.part.exe`);
  writeFileSync(part, first.subarray(0, 2_000_000));
  const done = await deploy('first', ['--json']);
  expect(expectSchema('deploy', done.stdout)).toMatchObject({ program: { state: 'copied', continuedAt: 2_000_000 } });
  expect(readFileSync(at(folder, 'holdfast.exe')).equals(first)).toBe(true);

  rmSync(at(folder), { recursive: true });
  writeFileSync(part, second.subarray(0, 2_000_000));
  const anew = await deploy('first', ['--json']);
  expect(expectSchema('deploy', anew.stdout)).toMatchObject({ program: { state: 'copied', continuedAt: 0 } });
  expect(readFileSync(at(folder, 'holdfast.exe')).equals(first)).toBe(true);
  expect(existsSync(part)).toBe(false);
});

test('a connection that takes nothing more is given up, and the next run goes on where it stopped', slow, async () => {
  // What the server has to say stops after a while.
  const gate = join(host.dir, 'gate');
  execFileSync('mkfifo', [gate]);
  login(`$SSH_ORIGINAL_COMMAND | { dd bs=1 count=600 2>/dev/null; exec cat ${gate}; }`);
  const stalled = await deploy('first', [], [], { deployStallMs: 1_500 });
  expect(stalled).toMatchObject({
    code: 3,
    stdout: '',
    stderr:
      'holdfast deploy: the copy to host has ended early (it has taken nothing for 1.5 s); what has arrived stays there: run the command again to go on\n',
  });
  writeFileSync(gate, '');
  await waitUntil(() => findByArguments(['cat', gate]).length === 0 || undefined, 'the server to end');
  login();
  const left = statSync(at(`.holdfast-${sha256(first).slice(0, 16)}.part.exe`)).size;
  expect(left).toBeGreaterThan(0);
  const done = await deploy('first', ['--json']);
  expect(expectSchema('deploy', done.stdout)).toMatchObject({ program: { state: 'copied', continuedAt: left } });
  expect(readFileSync(at(folder, 'holdfast.exe')).equals(first)).toBe(true);
});

test('a place that both shells cannot be told, and a processor without an executable, are named', slow, async () => {
  const placed = await deploy('first', ['--to', '~\\tools\\bin', '--json']);
  expect(expectSchema('deploy', placed.stdout)).toMatchObject({
    program: {
      ...{ file: 'C:\\Users\\dev\\tools\\bin\\holdfast.exe', isOnPath: false },
      remedy: expect.stringContaining("+ ';C:\\Users\\dev\\tools\\bin', 'User')"),
    },
  });
  expect(statSync(at('tools/bin/holdfast.exe')).size).toBe(first.length);
  expect((await deploy('first', ['--to', 'D:\\my tools'])).stderr).toBe(
    'holdfast deploy: --to D:\\my tools: on a Windows host (host) the place is a folder below C:\\Users\\dev, of letters, digits, ".", "_" and "-"\n',
  );
  expect((await deploy('first', [], ['-metrics-addr', '%x%'])).stderr).toContain(
    '"%x%" cannot be told to the shell of a Windows host',
  );
  login(undefined, 'x86');
  expect(await deploy('first')).toMatchObject({
    code: 1,
    stderr: 'holdfast deploy: host is Windows on x86; there is an executable for x64\n',
  });
});
