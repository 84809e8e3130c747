/**
 * Hosts that lack what others have: a small /dev, no /proc, no null device. A start that can go on goes on and says what is
 * missing; one that cannot says so with a remedy. Nothing hangs.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { temporaryFolder } from '../platform/machine.ts';
import { prepareDaemon, startDaemon, type TestDaemon } from '../support/daemon.ts';
import { program, type RunResult } from '../support/holdfast.ts';
import { connectTo, textOf } from '../support/host.ts';
import { linux, privateMounts, testNeeding, tracing } from '../support/needs.ts';
import { runProgram } from './run-program.ts';

const testMounting = testNeeding(linux, privateMounts());

/** Words before a program that give it mounts of its own, made by `script` in a private folder that is its working directory. */
const inMounts = (script: string): string[] => [
  ...['unshare', '--mount', '--propagation', 'private'],
  ...['sh', '-c', `set -e; ${script}; exec "$@"`, 'sh'],
];

const devices = 'for name in null zero urandom; do : >dev/$name; mount --bind /dev/$name dev/$name; done';
const hosts = {
  'a /dev without fd': inMounts(`mkdir -p dev; mount -t tmpfs none dev; ${devices}; mount --rbind dev /dev`),
  'no /proc': inMounts('mkdir -p proc; mount --bind proc /proc'),
};
const emptyDevices = inMounts('mkdir -p dev; mount --bind dev /dev');

/** Another mode on the same kind of host; a hang is ended and has exit code 124. */
function run(daemon: TestDaemon, through: readonly string[], words: readonly string[]): Promise<RunResult> {
  const [first = '', ...rest] = ['timeout', '10', ...through, program, ...words];
  // A folder of its own: the mounts of the daemon lie in the other one.
  return runProgram(first, rest, { env: daemon.env, cwd: daemon.home });
}

describe.each(Object.entries(hosts))('on a host with %s', (name, through) => {
  const lacksProc = name !== 'a /dev without fd';

  testMounting('a daemon starts, runs programs and hands its children no descriptor of its starter', {}, async () => {
    await using daemon = await startDaemon({ through: ['bash', '-c', 'exec 200</ && exec "$@"', 'bash', ...through] });
    await using client = await connectTo(daemon);
    const script = 'if (: <&200) 2>&-; then echo inherited; else echo clean; fi';
    const job = await client.spawn({ command: 'bash', args: ['-c', script] });
    expect(await textOf(job.stdout)).toBe('clean\n');
    expect(daemon.log().includes('[Server] /proc is not mounted: ')).toBe(lacksProc);
    await daemon.stop();
    expect(daemon.log()).toContain('cleanup: closed');
  });

  testMounting('a bridge relays, also after it was idle, and -stop ends the daemon', { timeout: 60_000 }, async () => {
    await using daemon = await startDaemon();
    const ask = '{"jsonrpc":"2.0","id":1,"method":"server.ping"}';
    const asking = `(sleep 3; echo '${ask}') | timeout 10 ${program} -bridge -socket ${daemon.socket} | cat`;
    const [first = '', ...rest] = [...through, 'sh', '-c', asking];
    const { stdout, stderr } = await runProgram(first, rest, { env: daemon.env, cwd: daemon.home });
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toMatchObject({ id: 1, error: { message: expect.stringContaining('nauthorized') } });
    expect(await run(daemon, through, ['-stop', '-socket', daemon.socket])).toMatchObject({
      code: 0,
      stdout: '',
      stderr: '',
    });
    await daemon.untilLogged(/server\.shutdown received/);
  });

  testMounting(
    'a token descriptor that nobody handed over is refused and does not hang',
    { timeout: 60_000 },
    async () => {
      await using daemon = await prepareDaemon();
      const numbers = [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 99];
      const script = numbers
        .map((n) => `timeout 10 ${program} -serve -socket ${daemon.socket} -token-fd ${n}`)
        .join('; ');
      const [first = '', ...rest] = [
        ...through,
        'bash',
        '-c',
        `for n in {3..20}; do eval "exec $n>&-"; done; ${script}`,
      ];
      const { stderr } = await runProgram(first, rest, { env: daemon.env, cwd: daemon.home });
      const refusal = (number: number) => `claustrum: read --token-fd: read descriptor ${number}: bad file descriptor`;
      expect(stderr.trimEnd().split('\n')).toEqual(numbers.map(refusal));
    },
  );
});

describe('without a null device', () => {
  testMounting('a start says what is missing and how to make it, exit code 1', {}, async () => {
    await using daemon = await prepareDaemon({ through: emptyDevices });
    const { code, stdout, stderr } = await daemon.launch();
    expect(stderr).toBe(
      'holdfast: open /dev/null: no such file or directory; this host needs that device: mknod -m 666 /dev/null c 1 3\n' +
        'claustrum: open /dev/null: no such file or directory\n',
    );
    expect([code, stdout]).toEqual([1, '']);
  });

  testMounting('-probe-cli does not blame the CLI alone', {}, async () => {
    await using daemon = await prepareDaemon();
    const probe = ['-probe-cli', '/bin/true', '-wire-profile', 'next'];
    const { code, stdout, stderr } = await run(daemon, emptyDevices, probe);
    expect([code, stdout]).toEqual([0, '__CLI_BAD__\n']);
    expect(stderr).toMatch(/^holdfast: fork\/exec \/bin\/true: open \/dev\/null: no such file or directory; .*mknod/);
  });
});

testMounting('a start without /proc signals nobody on the word of a lock file, and says why', {}, async () => {
  await using daemon = await startDaemon({ profile: 'current' });
  const token = join(daemon.dir, 'second-token');
  writeFileSync(token, 'second\n');
  const words = ['-serve', '-socket', daemon.socket, '-token-file', token, '-wire-profile', 'current'];
  expect(await run(daemon, hosts['no /proc'], words)).toMatchObject({ code: 0, stdout: '', stderr: '' });
  expect(daemon.log()).toContain(
    `serve: WARNING ${daemon.runDir}/daemon.lock is held by a live process we will not signal (this host does not show who a process is); leaving it alone`,
  );
});

/** Words before a program that let some of its system calls, and those of whatever it starts, fail. */
function inSandbox(...which: readonly string[]): string[] {
  const options = ['-D', '-f', '-qq', '-o', '/dev/null', ...which];
  // strace gets a file for its command: its own command line must not look like that of a daemon.
  const file = join(temporaryFolder(), 'sandbox');
  writeFileSync(
    file,
    [
      'command=$(mktemp)',
      `printf 'rm %s; exec' "$command" >"$command"`,
      `for word; do printf " '%s'" "$word" >>"$command"; done`,
      `exec strace ${options.map((word) => `'${word}'`).join(' ')} sh "$command"`,
    ].join('\n'),
  );
  return ['sh', file];
}

testNeeding(linux, tracing())(
  'where a sandbox refuses to say whether files can be used, nothing is said of /proc, and -durable works',
  { timeout: 60_000 },
  async () => {
    const through = inSandbox('-e', 'inject=access,faccessat,faccessat2:error=EPERM');
    await using daemon = await startDaemon({ through, flags: ['-durable'] });
    await using client = await connectTo(daemon);
    const job = await client.spawn({ command: 'echo', args: ['works'] });
    expect(await textOf(job.stdout)).toBe('works\n');
    expect(daemon.log()).not.toContain('/proc');
    expect((await client.describe()).keeper?.startTime).toBeGreaterThan(0);
  },
);

testNeeding(linux, tracing())(
  'where a sandbox refuses to open the files of processes, that is the reason which is told',
  { timeout: 60_000 },
  async () => {
    const through = inSandbox('-P', '/proc/self/stat', '-e', 'inject=openat:error=EACCES');
    await using daemon = await startDaemon({ through });
    expect(daemon.log()).toContain(
      '/proc/self/stat cannot be read (EACCES): no predecessor or orphan is ended, because nobody can tell who a process is',
    );
  },
);
