/** `holdfast deploy` to a host behind a real ssh server, with the real executable. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect } from '../../src/client/index.ts';
import { buildMs, executableName, sharedBuild, targetName } from '../executable/build.ts';
import { type SshHost, startSshHost } from '../ssh/sshd.ts';
import { program, programForTests, type RunResult, runHoldfast } from '../support/holdfast.ts';
import { installed, linux, privateMounts, privateNetwork, testNeeding } from '../support/needs.ts';
import { endAllOf, findByArguments, signalProcess, untilEnded } from '../support/processes.ts';
import { expectSchema } from '../support/schemas.ts';
import { TestTerminal, tmux } from '../support/terminal.ts';
import { waitUntil } from '../support/wait.ts';

let host: SshHost;
let built: string;
/** A later release: the same program with one byte behind its end. */
let later: string;

const at = (...names: readonly string[]): string => join(host.home, ...names);
const there = (): string => at('.local/bin/holdfast');
const ssh = (): string => join(host.dir, 'client/ssh');

beforeAll(async () => {
  built = await sharedBuild();
  host = await startSshHost({ hasLoginScript: true });
  later = join(host.dir, 'later');
  copyFileSync(join(built, executableName), later);
  appendFileSync(later, '\n');
  login();
}, buildMs);

/** Nothing of us is on the host: also when a test is asked once more. */
async function makeFresh(): Promise<void> {
  await endAllOf(there());
  for (const name of ['.local', '.claude']) {
    rmSync(at(name), { recursive: true, force: true });
  }
}

afterAll(async () => {
  await endAllOf(there());
  await host[Symbol.asyncDispose]();
});

/**
 * What a login there does.
 * @param shell words that run a command line; @param before lines that the shell's files would have run
 */
function login(shell = 'sh -c', before = '', path = '$HOME/.local/bin:/usr/bin:/bin'): void {
  const lines = [`export HOME=${host.home} SHELL=/usr/bin/${shell.split(' ')[0]}`, `export PATH=${path}`, before];
  host.setLoginScript([...lines, `exec ${shell} "$SSH_ORIGINAL_COMMAND"`, ''].join('\n'));
}

const noise = 'echo "Welcome to box"; echo "holdfast-0 state=there"; printf "no line end: "; echo "disk: 97%" >&2';

function deploy(words: readonly string[] = [], flags: readonly string[] = []): Promise<RunResult> {
  const behind = flags.length === 0 ? [] : ['--', ...flags];
  return runHoldfast(['deploy', '--from', built, '--ssh-command', ssh(), ...words, 'host', ...behind], {
    env: host.env,
  });
}

/** Those of this test's deployments that run. */
const clientsOfSsh = () => findByArguments(['ssh', '-F', join(host.dir, 'ssh_config')]);
const sha256 = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex');
const pids = (): number[] =>
  findByArguments(['-serve', '-socket', at('.claude/remote/rpc.sock')]).map(({ pid }) => pid);

test('--dry-run looks at a fresh host, tells what it would do, and changes nothing', async () => {
  await makeFresh();
  const before = readdirSync(host.home, { recursive: true });
  const told = await deploy(['--dry-run']);
  expect(told).toMatchObject({ code: 0, stderr: '' });
  expect(told.stdout).toContain(`host     host: ${targetName}, glibc 2.`);
  expect(told.stdout).toMatch(
    /program {2}\S+\/home\/\.local\/bin\/holdfast: would be copied, \d+\.\d MB \(on the PATH of/,
  );
  expect(told.stdout).toContain('daemon   then would be started');
  expect(readdirSync(host.home, { recursive: true })).toEqual(before);
});

test('a fresh host with a login that talks gets the program, and a durable daemon that clients reach as told', {
  timeout: 180_000,
}, async () => {
  await makeFresh();
  login('bash -c', noise);
  const done = await deploy([], ['-durable']);
  expect(done).toMatchObject({ code: 0, stderr: '' });
  expect(done.stdout).toMatch(/program {2}\S+: copied, \d+\.\d MB, SHA-256 verified there/);
  expect(done.stdout).toMatch(/daemon {3}\S+\/rpc\.sock: started, pid \d+, durable, 0 sessions run/);
  // Clients would stumble over what the login prints, so that is told too.
  expect(done.stdout).toContain(
    'login    it prints "Welcome to box" also without a terminal, which clients cannot read past',
  );
  expect(sha256(there())).toBe(sha256(join(built, executableName)));
  expect(statSync(there()).mode & 0o777).toBe(0o755);
  expect(readdirSync(at('.local/bin'))).toEqual(['holdfast']);

  login();
  expect((await host.run('holdfast -version')).stdout).toMatch(/^claustrum /);
  // What it printed for a client of one's own, word for word.
  const [, options = ''] = /await connect\((.*)\)/.exec(done.stdout) ?? [];
  await using client = await connect({ ...JSON.parse(options), env: host.env, start: false });
  const job = await client.spawn({ command: 'echo', args: ['from there'] });
  let text = '';
  for await (const chunk of job.stdout) {
    text += chunk.toString();
  }
  expect(text).toBe('from there\n');
  const [, ran = ''] = /a program there +holdfast (run .*)/.exec(done.stdout) ?? [];
  const { code, stdout } = await runHoldfast(ran.split(' '), { env: host.env });
  expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining('Linux') });
});

const shells = [
  ['sh', 'sh -c', '', undefined],
  ['a bash that talks', 'bash -c', noise, undefined],
  ['fish', 'fish -c', '', installed('fish', 'fish')],
  ['csh', 'tcsh -f -c', '', installed('tcsh', 'tcsh')],
] as const;
for (const [title, shell, before, need] of shells) {
  testNeeding(need)(`the second time there is nothing to do, with ${title} as login shell`, {}, async () => {
    login(shell, before);
    const [wasFile, wasPids] = [statSync(there()).ctimeMs, pids()];
    const again = await deploy();
    expect(again).toMatchObject({ code: 0, stderr: '' });
    expect(again.stdout).toMatch(/^nothing to do$/m);
    expect({ file: statSync(there()).ctimeMs, pids: pids() }).toEqual({ file: wasFile, pids: wasPids });
  });
}

test('the executable brings itself, without any folder', async () => {
  login();
  const brought = await runHoldfast(['deploy', '--ssh-command', ssh(), 'host'], {
    env: host.env,
    program: join(built, executableName),
  });
  expect(brought).toMatchObject({ code: 0, stderr: '' });
  expect(brought.stdout).toMatch(/^nothing to do$/m);
});

testNeeding(installed('tcsh', 'tcsh'))(
  'an upgrade by way of csh leaves a running stream whole, whatever an earlier copy has left',
  { timeout: 180_000 },
  async () => {
    login();
    rmSync(there());
    copyFileSync(join(built, executableName), there());
    await using client = await connect({ ssh: 'host', env: host.env, start: false });
    const before = await client.describe();
    // Goes on until the upgrade is over, so that frames cross it.
    const goOn = join(host.dir, 'go-on');
    writeFileSync(goOn, '');
    const line = 'i=$((i+1)); echo "$i aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"';
    const script = `i=0; while [ -e ${goOn} ]; do ${line}; sleep 0.01; done; ${line}`;
    const job = await client.spawn({ command: 'sh', args: ['-c', script] });
    let text = '';
    const read = (async () => {
      for await (const chunk of job.stdout) {
        text += chunk.toString();
      }
    })();
    await waitUntil(() => text.length > 1000 || undefined, 'the stream to run');

    login('tcsh -f -c');
    const left = at('.local/bin', `.holdfast-${sha256(later).slice(0, 16)}.part`);
    writeFileSync(left, Buffer.alloc(1_000_000, 'not of this file'));
    const done = await deploy(['--from', later, '--json']);
    login();
    expect(done).toMatchObject({ code: 0, stderr: '' });
    const report = expectSchema('deploy', done.stdout);
    expect(report).toMatchObject({
      program: { state: 'copied' },
      daemon: { state: 'replaced', durable: true, sessions: 1 },
    });
    expect(sha256(there())).toBe(sha256(later));
    expect(readdirSync(at('.local/bin'))).toEqual(['holdfast']);

    const crossed = text.length;
    await waitUntil(() => text.length > crossed + 1000 || undefined, 'the stream to go on');
    rmSync(goOn);
    expect(await job.exit).toMatchObject({ code: 0 });
    await read;
    const lines = text.trimEnd().split('\n');
    const whole = lines.map((_, index) => `${index + 1} ${'a'.repeat(56)}\n`).join('');
    expect(createHash('sha256').update(text).digest('hex')).toBe(createHash('sha256').update(whole).digest('hex'));
    expect((await client.describe()).pid).not.toBe(before.pid);
    expect(pids()).toEqual([(await client.describe()).pid]);
  },
);

testNeeding(tmux, installed('fish', 'fish'))(
  'a copy that is cut by the end of ssh goes on where it stopped, by way of fish; a terminal shows how far it is',
  { timeout: 180_000 },
  async () => {
    login('fish -c');
    // Takes 40 MB from us, then nothing more until the test lets it go.
    const [gate, slow] = [join(host.dir, 'gate'), join(host.dir, 'slow-ssh')];
    rmSync(gate, { force: true });
    await runTool('mkfifo', [gate]);
    rmSync(at('cut'), { recursive: true, force: true });
    const copying = 'case "$*" in *"dd bs="*) ;; *) exec';
    writeFileSync(
      slow,
      `#!/bin/sh\n${copying} ${ssh()} "$@" ;; esac\n{ head -c 40000000; cat ${gate}; } | ${ssh()} "$@"\n`,
    );
    chmodSync(slow, 0o755);
    const words = ['deploy', '--from', built, '--to', '~/cut', '--ssh-command', slow, 'host'];
    const part = at('cut', `.holdfast-${sha256(join(built, executableName)).slice(0, 16)}.part`);
    {
      using terminal = new TestTerminal([program, ...words], { columns: 100, rows: 20, env: host.env });
      await terminal.until(/#{5,}\.+ +\d+ % {2}\d+\.\d of \d+\.\d MB|#{5,}\.+ +\d+ % {2}\d+\.\d MB of/);
      await waitUntil(() => (existsSync(part) && statSync(part).size >= 39_000_000) || undefined, 'most of it there');
      const clients = clientsOfSsh();
      expect(clients).toHaveLength(1);
      for (const each of clients) {
        signalProcess(each, 'SIGKILL');
        await untilEnded(each);
      }
      writeFileSync(gate, '');
      await terminal.until(/holdfast deploy: /);
    }
    expect(existsSync(at('cut/holdfast'))).toBe(false);
    const left = statSync(part).size;
    const done = await deploy(['--to', '~/cut', '--json']);
    expect(done).toMatchObject({ code: 0, stderr: '' });
    const report = expectSchema('deploy', done.stdout) as { program: { continuedAt: number } };
    expect(report.program.continuedAt).toBeGreaterThan(left - 70_000);
    expect(sha256(at('cut/holdfast'))).toBe(sha256(join(built, executableName)));
    expect(readdirSync(at('cut'))).toEqual(['holdfast']);
    rmSync(at('cut'), { recursive: true });
  },
);

test('a connection that takes nothing more is given up, and the next run goes on where it stopped', {
  timeout: 180_000,
}, async () => {
  // Takes 4 MB and then nothing until the test lets it go.
  const [stalling, gate] = [join(host.dir, 'stalling'), join(host.dir, 'stalling/gate')];
  rmSync(stalling, { recursive: true, force: true });
  rmSync(at('stalled'), { recursive: true, force: true });
  mkdirSync(stalling);
  await runTool('mkfifo', [gate]);
  const stall = `/usr/bin/dd "$@" count=64 iflag=fullblock 2>/dev/null; exec cat ${gate}`;
  writeFileSync(join(stalling, 'dd'), `#!/bin/sh\n${stall}\n`, { mode: 0o755 });
  login('sh -c', '', `${stalling}:/usr/bin:/bin`);
  const given = await runHoldfast(['deploy', '--from', built, '--to', '~/stalled', '--ssh-command', ssh(), 'host'], {
    env: { ...host.env, HOLDFAST_TEST_TIMINGS: JSON.stringify({ deployStallMs: 1_500 }) },
    program: programForTests,
  });
  expect(given).toMatchObject({
    code: 3,
    stdout: '',
    stderr:
      'holdfast deploy: the connection to host has taken nothing for 1.5 s; what has arrived stays there: run the command again to go on\n',
  });
  expect(clientsOfSsh()).toEqual([]);
  await runTool('sh', ['-c', `echo >${gate}`]);
  await waitUntil(() => findByArguments(['cat', gate]).length === 0 || undefined, 'the copy there to end');
  const [part = ''] = readdirSync(at('stalled'));
  const left = statSync(at('stalled', part)).size;
  expect(left).toBeGreaterThan(0);
  login();
  const done = await deploy(['--to', '~/stalled', '--json']);
  expect(done).toMatchObject({ code: 0, stderr: '' });
  const continuedAt = left - (left % 65_536);
  expect(expectSchema('deploy', done.stdout)).toMatchObject({ program: { state: 'copied', continuedAt } });
  expect(sha256(at('stalled/holdfast'))).toBe(sha256(join(built, executableName)));
  rmSync(at('stalled'), { recursive: true });
});

testNeeding(linux, privateNetwork())(
  'a host without any network but ssh is served too',
  { timeout: 180_000 },
  async () => {
    login('unshare --net sh -c');
    rmSync(at('offline'), { recursive: true, force: true });
    const done = await deploy(['--to', '~/offline']);
    expect(done).toMatchObject({ code: 0, stderr: '' });
    expect(sha256(at('offline/holdfast'))).toBe(sha256(join(built, executableName)));
    // The PATH leads to the other one, which is told.
    expect(done.stdout).toContain(`PATH     ${at('offline')} is not on the PATH of ssh commands there;`);
    expect(done.stdout).toContain(`"program":"${at('offline/holdfast')}"`);
    rmSync(at('offline'), { recursive: true });
  },
);

test('a PATH of ssh commands without a folder of the user is told, with the remedy for the shell', async () => {
  login('bash -c', '', '/usr/bin:/bin');
  const done = await deploy(['--dry-run']);
  expect(done.stdout).toMatch(
    /^PATH {5}\S+\/\.local\/bin is not on the PATH of ssh commands there; put first into ~\/\.bashrc/m,
  );
});

test('a host of another processor is named, and so is the file that is missing or wrong', async () => {
  const fakes = join(host.dir, 'fakes');
  mkdirSync(fakes, { recursive: true });
  const uname = (processor: string): void => {
    writeFileSync(join(fakes, 'uname'), `#!/bin/sh\ncase $1 in -m) echo ${processor} ;; *) echo Linux ;; esac\n`);
    chmodSync(join(fakes, 'uname'), 0o755);
  };
  login('sh -c', '', `${fakes}:/usr/bin:/bin`);
  uname('riscv64');
  expect(await deploy()).toMatchObject({
    code: 1,
    stdout: '',
    stderr:
      'holdfast deploy: host is Linux on riscv64; there are executables for linux-x64, linux-arm64, darwin-arm64, win-x64 (docs/deploy.md)\n',
  });
  const [other, name] = targetName === 'linux-x64' ? ['linux-arm64', 'aarch64'] : ['linux-x64', 'x86_64'];
  uname(name);
  // The shared build may have an executable for it.
  const own = join(host.dir, 'own');
  mkdirSync(own, { recursive: true });
  expect((await deploy(['--from', own])).stderr).toMatch(
    new RegExp(`^holdfast deploy: host is ${other}, and there is no \\S+/holdfast-${other}; make it from source with `),
  );
  expect((await deploy(['--from', later])).stderr).toBe(
    `holdfast deploy: host is ${other}, and ${later} is for ${targetName}\n`,
  );
});

testNeeding(linux, privateMounts())(
  'a full disk is named with its numbers, and nothing is left on it',
  { timeout: 120_000 },
  async () => {
    const small = at('small');
    mkdirSync(small, { recursive: true });
    const mount = `exec unshare --mount --propagation private sh -c 'mount -t tmpfs -o size=20m none ${small} && eval "$SSH_ORIGINAL_COMMAND"; ls -A ${small} >${host.dir}/left'`;
    host.setLoginScript(`export HOME=${host.home} PATH=/usr/bin:/bin SHELL=/bin/sh\n${mount}\n`);
    const early = await deploy(['--to', small]);
    expect(early).toMatchObject({ code: 1, stdout: '' });
    expect(early.stderr).toMatch(
      /^holdfast deploy: the disk of \S+\/small on host \(\S+\/small\) has 21\.0 MB left and 1\d\d\.\d MB are needed; make room/,
    );
    // Where df cannot tell, the copy itself meets the end of the disk.
    const fakes = join(host.dir, 'no-df');
    mkdirSync(fakes, { recursive: true });
    writeFileSync(join(fakes, 'df'), '#!/bin/sh\nexit 1\n');
    chmodSync(join(fakes, 'df'), 0o755);
    host.setLoginScript(`export HOME=${host.home} PATH=${fakes}:/usr/bin:/bin SHELL=/bin/sh\n${mount}\n`);
    const late = await deploy(['--to', small]);
    expect(late).toMatchObject({ code: 1, stdout: '' });
    expect(late.stderr).toMatch(/could not take 1\d\d\.\d MB: dd: .*No space left on device; make room there/);
    expect(readFileSync(join(host.dir, 'left'), 'utf8')).toBe('');
  },
);

testNeeding(linux)(
  'a C library that is too old is named with both versions, before anything is copied',
  {},
  async () => {
    login();
    const newer = join(host.dir, 'newer');
    const bytes = readFileSync(later);
    const name = Buffer.from('\0GLIBC_2.17\0');
    bytes.write('\0GLIBC_2.99\0', bytes.indexOf(name), 'latin1');
    writeFileSync(newer, bytes);
    const refused = await deploy(['--from', newer]);
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toMatch(
      /needs glibc 2\.99 or newer; host has glibc 2\.\d+; use a newer system, or install from source/,
    );
  },
);

test('a daemon whose sessions would end is left, and replaced when that is asked for', {
  timeout: 120_000,
}, async () => {
  login();
  const socket = join(host.dir, 'plain', 'rpc.sock');
  await host.run(`holdfast -stop -socket ${socket}`);
  expect((await host.run(`holdfast upgrade --start --socket ${socket}`)).code).toBe(0);
  await using client = await connect({ ssh: 'host', socket, env: host.env, start: false });
  await client.spawn({ command: 'sleep', args: ['1000'] });
  // As a copy would: the file is newer than the daemon.
  chmodSync(there(), 0o755);
  const left = await deploy(['--from', there(), '--socket', socket]);
  expect(left).toMatchObject({ code: 5, stderr: '' });
  expect(left.stdout).toContain('left as it is, pid ');
  expect(left.stdout).toContain('it is not durable, and 1 session that runs would end with it; wait for their end');
  const done = await deploy(['--from', there(), '--socket', socket, '--end-sessions', '--json']);
  expect(done).toMatchObject({ code: 0, stderr: '' });
  expect(expectSchema('deploy', done.stdout)).toMatchObject({
    daemon: { state: 'replaced', sessions: 0, durable: false },
  });
  expect((await host.run(`holdfast -stop -socket ${socket}`)).code).toBe(0);
});

test('a host that cannot be reached is told with what ssh says', async () => {
  const nowhere = await runHoldfast(
    ['deploy', '--from', built, '--ssh-command', 'sh -c "echo no route >&2; exit 255"', 'host'],
    {
      env: host.env,
    },
  );
  expect(nowhere).toEqual({
    code: 3,
    signal: null,
    stdout: '',
    stderr: 'holdfast deploy: host cannot be reached: no route\n',
  });
  login('true');
  expect((await deploy()).stderr).toMatch(/^holdfast deploy: host did not run our commands to their end/);
});

function runTool(file: string, words: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    spawn(file, words, { stdio: 'inherit' })
      .once('error', reject)
      .once('close', (code) => (code === 0 ? resolve() : reject(new Error(`${file}: exit code ${code}`))));
  });
}
