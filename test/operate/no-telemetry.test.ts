/**
 * Nobody is called who was not asked for: every connect(2), and every datagram, of whole sessions is looked at, of the
 * program itself in each of its modes and verbs (issue: no telemetry, no update check, no upload, ever).
 */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Host } from '../../src/client/index.ts';
import { serveHttp } from '../install/servers.ts';
import { goodCli, pack, sha256 } from '../install/support.ts';
import { runProgram } from '../modes/run-program.ts';
import { temporaryFolder } from '../platform/machine.ts';
import { prepareDaemon, type TestDaemon } from '../support/daemon.ts';
import { program } from '../support/holdfast.ts';
import { connectTo, start } from '../support/host.ts';
import { installed, linux, testNeeding, tracing } from '../support/needs.ts';
import { waitUntil } from '../support/wait.ts';

const testTraced = testNeeding(linux, tracing(), installed('git', 'git'));

const watched = 'connect,sendto,sendmsg,sendmmsg,bind';

/** Runs a command under strace, which stays with everything it leaves behind. @returns where the calls are written */
function traced(
  daemon: TestDaemon,
  words: readonly string[],
  trace: string,
  input = '',
): { status: number | null; stdout: string } {
  // From a file: the command line of strace must not look like that of a daemon.
  const script = join(temporaryFolder(), 'command');
  writeFileSync(script, `exec ${words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ')}\n`);
  const out = join(temporaryFolder(), 'out');
  const fd = openSync(out, 'w');
  // Without the filter in the kernel strace would stop at every call, which costs a start some seconds on a busy machine.
  const flags = ['--seccomp-bpf', '-D', '-ff', '-qq', '-s', '200', '-o', trace, '-e', `trace=${watched}`];
  const { status } = spawnSync('strace', [...flags, 'sh', script], { env: daemon.env, stdio: ['pipe', fd, fd], input });
  closeSync(fd);
  return { status, stdout: readFileSync(out, 'utf8') };
}

interface Call {
  readonly name: string;
  readonly family: string;
  /** Path or address; empty for a connection that is there already. */
  readonly target: string;
}

function callsIn(folder: string): Call[] {
  return readdirSync(folder).flatMap((file) =>
    readFileSync(join(folder, file), 'utf8')
      .split('\n')
      .flatMap((line) => {
        const [, name, rest = ''] = /^(connect|sendto|sendmsg|sendmmsg|bind)\((.*)$/.exec(line) ?? [];
        if (name === undefined) {
          return [];
        }
        const family = /sa_family=(AF_\w+)/.exec(rest)?.[1] ?? 'connected';
        const address = /inet_addr\("([^"]*)"\)|inet_pton\(AF_INET6, "([^"]*)"/.exec(rest);
        const path = /sun_path=@?"([^"]*)"/.exec(rest)?.[1];
        return [{ name, family, target: path ?? address?.[1] ?? address?.[2] ?? '' }];
      }),
  );
}

/** Everything a client can ask for. */
async function wholeSession(daemon: TestDaemon, client: Host): Promise<void> {
  const repository = join(daemon.dir, 'repository');
  mkdirSync(repository);
  for (const words of [
    ['init', '-q'],
    ['commit', '-q', '--allow-empty', '-m', 'first'],
  ]) {
    spawnSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@b', ...words], { cwd: repository, env: daemon.env });
  }
  await client.request('server.ping');
  await client.request('server.capabilities');
  await client.request('files.list', { path: daemon.dir });
  await client.request('files.stat', { path: daemon.dir });
  await client.request('files.read', { path: join(repository, '.git', 'HEAD') });
  await client.request('git.info', { path: repository });
  await client.request('git.status', { path: repository, baseRepo: repository });
  await client.request('git.list_branches', { path: repository });
  const p = await start(client, 'p', 'cat', []);
  await p.write('hello\n');
  await p.until('hello');
  await client.request('process.killAndWait', { id: 'p' });
  await expect(client.request('no.such.method')).rejects.toMatchObject({ kind: 'rpc' });
}

testTraced(
  'a daemon, from its start to its end, connects to nobody but whom it was asked to',
  { timeout: 120_000 },
  async () => {
    await using daemon = await prepareDaemon();
    const trace = temporaryFolder();
    const tokenFile = join(daemon.dir, 'own-token');
    writeFileSync(tokenFile, daemon.token, { mode: 0o600 });
    // Whoever wants to send something home has every chance: a proxy, a name server, a collector.
    Object.assign(daemon.env, { HTTPS_PROXY: 'http://127.0.0.1:9', HTTP_PROXY: 'http://127.0.0.1:9' });
    const flags = [
      '-socket',
      daemon.socket,
      '-token-file',
      tokenFile,
      '-metrics-addr',
      '127.0.0.1:0',
      '-wire-profile',
      'next',
    ];
    const started = traced(daemon, [program, '-serve', ...flags], join(trace, 't'));
    expect(started).toEqual({ status: 0, stdout: '' });
    {
      await using client = await connectTo(daemon);
      await wholeSession(daemon, client);
    }
    const port = Number(/metrics: listening on 127\.0\.0\.1:(\d+)/.exec(daemon.log())?.[1]);
    await new Promise((resolve, reject) =>
      get({ host: '127.0.0.1', port, path: '/metrics' }, (reply) => reply.resume().on('end', resolve)).on(
        'error',
        reject,
      ),
    );
    await daemon.stop();
    await waitUntil(() => daemon.processes().length === 0 || undefined, 'the end of everything');

    const calls = callsIn(trace);
    const reached = calls.filter(({ name }) => name !== 'bind');
    // The launcher looks whether the daemon accepts; that is all, and it shows that a call would be seen.
    expect(
      reached.filter(({ family }) => family !== 'connected').map(({ family, target }) => `${family} ${target}`),
    ).toSatisfy((seen: string[]) => seen.length > 0 && seen.every((each) => each === `AF_UNIX ${daemon.socket}`));
    const bound = calls.filter(({ name }) => name === 'bind');
    expect(bound.map(({ family, target }) => `${family} ${target}`).sort()).toEqual([
      'AF_INET 127.0.0.1',
      expect.stringMatching(new RegExp(`^AF_UNIX ${daemon.runDir}/\\.s[0-9a-f]{6}$`)),
    ]);
  },
);

testTraced('a download connects to the server it was given, and to nobody else', { timeout: 120_000 }, async () => {
  await using daemon = await prepareDaemon();
  const packed = pack(goodCli);
  const { port } = new URL(await serveHttp((_, answer) => answer.end(packed)));
  const trace = temporaryFolder();
  const words = ['-install', '-wire-profile', 'next', '-cli-dir', join(daemon.dir, 'cli'), '-cli-version', '1'];
  const source = ['-cli-url', `http://127.0.0.1:${port}/blob`, '-cli-checksum', sha256(packed)];
  const flags = ['--seccomp-bpf', '-ff', '-qq', '-s', '200', '-o', join(trace, 't'), '-e', `trace=${watched}`];
  const { stdout } = await runProgram('strace', [...flags, program, ...words, ...source], { env: daemon.env });
  expect(stdout).toContain('"cliWasPresent":false');
  expect(stdout).not.toContain('cliError');
  const reached = callsIn(trace).filter(({ family }) => family !== 'connected');
  expect(reached.map(({ name, family, target }) => `${name} ${family} ${target}`)).toEqual([
    'connect AF_INET 127.0.0.1',
  ]);
});

testTraced('the other modes and the verbs connect to the daemon at most', { timeout: 120_000 }, async () => {
  await using daemon = await prepareDaemon();
  await daemon.start();
  const ping = `{"jsonrpc":"2.0","id":1,"method":"server.ping","auth":"${daemon.token}"}\n`;
  const runs: [words: string[], input: string, mayConnect: boolean][] = [
    [['-version'], '', false],
    [['-help'], '', false],
    [['config'], '', false],
    [['help'], '', false],
    [['service', 'install', '--dry-run'], '', false],
    [['-bridge', '-socket', daemon.socket], ping, true],
    [['-install', '-cli-dir', join(daemon.dir, 'cli'), '-cli-version', '1'], '', false],
    [['-stop', '-socket', daemon.socket], '', true],
  ];
  for (const [words, input, mayConnect] of runs) {
    const trace = temporaryFolder();
    const { stdout } = traced(daemon, [program, ...words], join(trace, 't'), input);
    const targets = callsIn(trace)
      .filter(({ family }) => family !== 'connected')
      .map(({ name, target }) => `${name} ${target}`);
    expect({ words, targets }).toEqual({ words, targets: mayConnect ? [`connect ${daemon.socket}`] : [] });
    if (words[0] === '-bridge') {
      expect(stdout).toContain('"pong":true');
    }
  }
});
