/**
 * A host to log in to: OpenSSH's server on loopback with keys, configuration, home folder and log of its own, and a
 * client configuration that names it `host`. Ends with the test.
 *
 *     await using host = await startSshHost();
 *     const { code, stdout } = await host.run('uname');
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { createServer, connect as dial, type Socket } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { afterAll, beforeAll } from 'vitest';
import { program, type RunResult } from '../support/holdfast.ts';
import { findByArguments, signalProcess, untilEnded } from '../support/processes.ts';
import { removeFolder } from '../support/remove-folder.ts';
import { waitUntil } from '../support/wait.ts';
import { RawConnection } from '../tools/raw-connection.ts';

/** Where distributions put it; often not on the PATH of a user. */
const serverPaths = ['/usr/sbin/sshd', '/usr/local/sbin/sshd', '/usr/bin/sshd', '/opt/homebrew/sbin/sshd'];
const sftpServers = ['/usr/lib/openssh/sftp-server', '/usr/lib/ssh/sftp-server', '/usr/libexec/sftp-server'];
const howToGet = 'Debian: apt-get install openssh-server openssh-client';

export interface SshHost extends AsyncDisposable {
  /** Private directory of the test. Gone with the host. */
  readonly dir: string;
  /** The home folder of who logs in. */
  readonly home: string;
  /** First folder on the PATH of who logs in; `holdfast` is in it. */
  readonly bin: string;
  /** With `hasLoginScript`: the shell script that every login runs; its last command runs `$SSH_ORIGINAL_COMMAND`. */
  setLoginScript(text: string): void;
  /** Environment in which `ssh host` leads here. */
  readonly env: NodeJS.ProcessEnv;
  /** Runs a command line there, to its end. */
  run(command: string, input?: string): Promise<RunResult>;
  /** Starts a command line there whose standard streams are a connection to a daemon, as `holdfast -bridge` is. */
  connect(command: string, options: SshConnectionOptions): SshConnection;
  log(): string;
}

export interface SshConnectionOptions {
  readonly token: string;
  /** An earlier connection whose stream records go on here. */
  readonly continues?: RawConnection;
}

export interface SshConnection {
  readonly client: RawConnection;
  readonly ssh: ChildProcess;
  /** SIGKILL to the ssh client. Resolves when it has ended; what was on its way is lost. */
  cut(): Promise<void>;
}

export interface SshHostOptions {
  /** Logins run a script of the test in the place of the login shell alone: another shell, a greeting, another PATH. */
  readonly hasLoginScript?: boolean;
}

/** @throws naming the package when there is no OpenSSH server: a machine without it has not tested this */
export async function startSshHost({ hasLoginScript = false }: SshHostOptions = {}): Promise<SshHost> {
  const server = serverPaths.find(isExecutable);
  if (server === undefined) {
    throw new Error(`no sshd in ${serverPaths.join(', ')}. ${howToGet}`);
  }
  makePrivilegeSeparationFolder();

  const dir = mkdtempSync('/tmp/hf-ssh-');
  const at = (name: string): string => join(dir, name);
  for (const name of ['host_key', 'user_key']) {
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', at(name)]);
  }
  mkdirSync(at('home'));
  mkdirSync(at('bin'));
  writeFileSync(at('authorized_keys'), readFileSync(at('user_key.pub')));
  // Our own link to the program: what `ln -s` on a host makes.
  execFileSync('ln', ['-s', program, at('bin/holdfast')]);

  const port = await freePort();
  const user = userInfo().username;
  writeFileSync(
    at('sshd_config'),
    [
      `ListenAddress 127.0.0.1:${port}`,
      `HostKey ${at('host_key')}`,
      `AuthorizedKeysFile ${at('authorized_keys')}`,
      'PidFile none',
      // The files lie below /tmp, which others may write to.
      'StrictModes no',
      'UsePAM no',
      'PasswordAuthentication no',
      'KbdInteractiveAuthentication no',
      'PermitRootLogin prohibit-password',
      `AllowUsers ${user}`,
      // Nothing of the user's own home folder is touched, and nothing of our own environment leaks in.
      `SetEnv HOME=${at('home')} PATH=${at('bin')}:/usr/bin:/bin`,
      'LogLevel VERBOSE',
      `Subsystem sftp ${sftpServers.find((path) => existsSync(path)) ?? 'internal-sftp'}`,
      ...(hasLoginScript ? [`ForceCommand . ${at('login')}`] : []),
      '',
    ].join('\n'),
  );
  writeFileSync(at('login'), 'exec sh -c "$SSH_ORIGINAL_COMMAND"\n');
  writeFileSync(at('known_hosts'), `[127.0.0.1]:${port} ${readFileSync(at('host_key.pub'), 'utf8')}`);
  writeFileSync(
    at('ssh_config'),
    [
      // The pages call it by either name.
      'Host host box',
      'HostName 127.0.0.1',
      `Port ${port}`,
      `User ${user}`,
      `IdentityFile ${at('user_key')}`,
      'IdentitiesOnly yes',
      `UserKnownHostsFile ${at('known_hosts')}`,
      'StrictHostKeyChecking yes',
      'BatchMode yes',
      'ControlMaster no',
      // Two thirds of what a connection costs the processor is the exchange of keys that ssh prefers, and no test is about it.
      'KexAlgorithms curve25519-sha256',
      'Ciphers aes128-gcm@openssh.com',
      'LogLevel ERROR',
      '',
    ].join('\n'),
  );
  // `ssh host …` as a user types it, with our configuration.
  mkdirSync(at('client'));
  writeFileSync(
    at('client/ssh'),
    `#!/bin/sh\nexport PATH="${process.env.PATH}"\nexec ssh -F ${at('ssh_config')} "$@"\n`,
  );
  chmodSync(at('client/ssh'), 0o755);

  const daemon = spawn(server, ['-D', '-e', '-f', at('sshd_config')], { stdio: ['ignore', 'ignore', 'pipe'] });
  const log: Buffer[] = [];
  daemon.stderr?.on('data', (bytes: Buffer) => log.push(bytes));
  const ended = new Promise((resolve) => daemon.once('close', resolve));
  const host = new RunningHost(dir, daemon, ended, () => Buffer.concat(log).toString());
  try {
    await waitUntil(() => host.log().includes('Server listening') && accepts(port), 'sshd to listen');
    return host;
  } catch (error) {
    await host[Symbol.asyncDispose]();
    throw new Error(`${(error as Error).message}\n${host.log()}`);
  }
}

class RunningHost implements SshHost {
  readonly dir: string;
  readonly home: string;
  readonly bin: string;
  readonly env: NodeJS.ProcessEnv;
  readonly log: () => string;
  readonly #daemon: ChildProcess;
  readonly #ended: Promise<unknown>;
  readonly #running = new Set<ChildProcess>();

  constructor(dir: string, daemon: ChildProcess, ended: Promise<unknown>, log: () => string) {
    this.dir = dir;
    this.home = join(dir, 'home');
    this.bin = join(dir, 'bin');
    this.env = { ...process.env, PATH: `${join(dir, 'client')}:${process.env.PATH}` };
    this.#daemon = daemon;
    this.#ended = ended;
    this.log = log;
  }

  setLoginScript(text: string): void {
    writeFileSync(join(this.dir, 'login'), text);
  }

  run(command: string, input = ''): Promise<RunResult> {
    const ssh = this.#start(command);
    const output = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
    ssh.stdout?.on('data', (bytes: Buffer) => output.stdout.push(bytes));
    ssh.stderr?.on('data', (bytes: Buffer) => output.stderr.push(bytes));
    ssh.stdin?.on('error', () => {});
    ssh.stdin?.end(input);
    return new Promise((resolve, reject) => {
      ssh.on('error', reject);
      ssh.on('close', (code, signal) => {
        const text = (name: 'stdout' | 'stderr') => Buffer.concat(output[name]).toString();
        resolve({ code, signal, stdout: text('stdout'), stderr: text('stderr') });
      });
    });
  }

  connect(command: string, { token, continues }: SshConnectionOptions): SshConnection {
    const ssh = this.#start(command);
    ssh.stderr?.pipe(process.stderr);
    const stream = Duplex.from({ readable: ssh.stdout, writable: ssh.stdin });
    const ended = new Promise<void>((resolve) => {
      ssh.once('close', () => {
        stream.destroy();
        resolve();
      });
    });
    // The client uses the part of a socket that every two-way stream has.
    const client = new RawConnection(
      stream as unknown as Socket,
      { socket: command, token },
      continues ? { continues } : {},
    );
    const cut = async (): Promise<void> => {
      client.destroy();
      ssh.kill('SIGKILL');
      await ended;
    };
    return { client, ssh, cut };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const ssh of this.#running) {
      ssh.kill('SIGKILL');
    }
    this.#daemon.kill();
    await this.#ended;
    // What was started over the connections may be ending still.
    await removeFolder(this.dir);
  }

  #start(command: string): ChildProcess {
    const ssh = spawn(join(this.dir, 'client', 'ssh'), ['host', command]);
    this.#running.add(ssh);
    ssh.once('exit', () => this.#running.delete(ssh));
    return ssh;
  }
}

/** sshd, started by root, wants this folder, which only its service makes. */
function makePrivilegeSeparationFolder(): void {
  if (process.getuid?.() !== 0) {
    return;
  }
  try {
    mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
  } catch (error) {
    throw new Error('sshd needs the folder /run/sshd: mkdir -m 755 /run/sshd', { cause: error });
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.on('error', reject).listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => (address !== null && typeof address === 'object' ? resolve(address.port) : reject()));
    });
  });
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = dial(port, '127.0.0.1');
    socket.on('connect', () => resolve(true)).on('error', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });
}

/** A host for all tests of a file, and a socket path there; a daemon that they start at it ends with them. */
export function sshHostForTests(): { readonly host: SshHost; readonly socket: string } {
  const shared = {} as { host: SshHost; socket: string };
  beforeAll(async () => {
    shared.host = await startSshHost();
    shared.socket = join(shared.host.dir, 'run', 'rpc.sock');
  });
  afterAll(async () => {
    for (const daemon of findByArguments(['-serve', '-socket', shared.socket])) {
      signalProcess(daemon, 'SIGTERM');
      await untilEnded(daemon);
    }
    await shared.host[Symbol.asyncDispose]();
  });
  return shared;
}
