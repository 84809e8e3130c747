/**
 * A host as the cleaner knows it: one private folder with `srv` (this program), `ccd-cli` (a CLI that waits for ever) and
 * `run`. Nothing outside that folder fits any rule of the cleaner.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readlinkSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Host as Client } from '../../../src/client/index.ts';
import { type DaemonOptions, startDaemon, type TestDaemon } from '../../support/daemon.ts';
import { type Followed, start } from '../../support/host.ts';
import { linux, type Need, ofThePlace } from '../../support/needs.ts';
import { type ProcessFacts, processFacts, signalProcess } from '../../support/processes.ts';
import { copyInstallation } from '../../support/program-copy.ts';
import { waitUntil } from '../../support/wait.ts';

const fixtures = join('test', 'fixtures');

/** A pass at once, for which every orphan is old enough; for tests that are not about ages. */
export const orphansAtOnce = { hostCleanFirstMs: 1, hostCleanOrphanAgeMs: 1 };
/** The same for run directories. */
export const directoriesAtOnce = { hostCleanFirstMs: 1, hostCleanUnusedMs: 1 };

export const streamJson = ['--print', '--input-format', 'stream-json', '--output-format', 'stream-json'];

/** What the CLI runs: a tool of its own, in its group, that never ends. Its standard streams stay the pipes they are. */
export const waiting = 'sleep 1000 & echo ready; wait';

const markTool = `#!/bin/sh
echo "$1:$(sed 's/.*) //' /proc/$1/stat | cut -d' ' -f20)"
`;

export class Host implements Disposable {
  readonly root = realpathSync(mkdtempSync('/tmp/hf-'));
  readonly cli = join(this.root, 'ccd-cli', '1.2.3');
  readonly #program = join(this.root, 'srv', 'v1', fixtures, 'holdfast-for-tests.sh');
  readonly #fifo = join(this.root, 'fifo');
  readonly #tools = join(this.root, 'tools');

  constructor() {
    // Others may pass through, so that a CLI can be run by another user.
    chmodSync(this.root, 0o711);
    const installation = join(this.root, 'srv', 'v1');
    copyInstallation(installation);
    this.installCli(this.cli);
    execFileSync('mkfifo', ['-m', '666', this.#fifo]);
    mkdirSync(join(this.root, 'run'), { mode: 0o700 });
    mkdirSync(this.#tools);
    writeFileSync(join(this.#tools, 'mark'), markTool, { mode: 0o755 });
  }

  /** A real binary: the kernel names it as the program of whoever runs it. */
  installCli(path: string): void {
    mkdirSync(join(path, '..'), { recursive: true });
    copyFileSync(realpathSync('/bin/sh'), path);
    chmodSync(path, 0o755);
  }

  runDir(name: string): string {
    return join(this.root, 'run', name);
  }

  /** A folder as a daemon leaves it that was killed. */
  leaveRunDir(name: string): string {
    const path = this.runDir(name);
    mkdirSync(path, { mode: 0o700 });
    for (const file of ['remote-server.log', 'daemon.token', 'daemon.lock']) {
      writeFileSync(join(path, file), file);
    }
    return path;
  }

  daemon(name: string, options: DaemonOptions): Promise<TestDaemon> {
    return startDaemon({ timings: {}, ...options, at: { runDir: this.runDir(name), program: this.#program } });
  }

  /** The daemon that cleans, after its first pass. */
  async cleaner(options: Partial<DaemonOptions> = {}): Promise<TestDaemon> {
    const daemon = await this.daemon('live', { profile: 'next', timings: orphansAtOnce, ...options });
    await daemon.untilLogged(/\[hostclean\] pass over/);
    return daemon;
  }

  /** Variables of the CLI. */
  get environment(): Record<string, string> {
    return { FIFO: this.#fifo, TOOLS: this.#tools };
  }

  /** Words for a child that is the CLI. */
  words(script = waiting, args: readonly string[] = streamJson): [command: string, args: string[]] {
    return [this.cli, ['-c', script, 'cli', ...args]];
  }

  /**
   * Starts a shell as a child of the daemon; `$0 "$@"` in its script is the command line of the CLI, `mark $$` prints what
   * CLAUDE_SSH_CHILD must be for that shell, and 3 is its standard input. @returns the process that says `pid <n>`, else the shell itself
   */
  async startThrough(client: Client, id: string, script: string, args = streamJson): Promise<ProcessFacts> {
    const [cli, words] = this.words(waiting, args);
    const shell = await start(client, id, '/bin/sh', ['-c', `exec 3<&0; PATH=$TOOLS:$PATH; ${script}`, cli, ...words], {
      env: this.environment,
    });
    await shell.until('ready');
    return factsOf(saidPid(shell) ?? shell.pid);
  }

  /** The CLI as a child that everything fits, once its daemon is dead. */
  async start(client: Client, id: string, script?: string): Promise<ProcessFacts> {
    return factsOf((await this.#startCli(client, id, script)).pid);
  }

  /** The same, and the member of its group that its script names by `pid <n>`. */
  async startWithMember(
    client: Client,
    id: string,
    script: string,
  ): Promise<[cli: ProcessFacts, member: ProcessFacts]> {
    const cli = await this.#startCli(client, id, script);
    return [factsOf(cli.pid), factsOf(saidPid(cli) ?? 0)];
  }

  async #startCli(client: Client, id: string, script?: string): Promise<Followed> {
    const cli = await start(client, id, ...this.words(script), { env: this.environment });
    await cli.until('ready');
    return cli;
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

export function programOf({ pid }: ProcessFacts): string {
  return readlinkSync(`/proc/${pid}/exe`);
}

function saidPid({ stdout }: Followed): number | undefined {
  const said = /^pid (\d+)$/m.exec(stdout)?.[1];
  return said === undefined ? undefined : Number(said);
}

function factsOf(pid: number): ProcessFacts {
  const facts = processFacts(pid);
  if (facts === undefined) {
    throw new Error(`no process ${pid}`);
  }
  return facts;
}

/** For `testNeeding`: whoever has lost its parent goes to pid 1, and not to a subreaper such as the user's service manager. */
export const initTakesOrphans = linux ?? takerOfOrphans();

function takerOfOrphans(): Need {
  const pid = execFileSync('sh', ['-c', 'sleep 1000 >/dev/null 2>&1 & echo $!'], { encoding: 'utf8' });
  const orphaned = factsOf(Number(pid));
  signalProcess(orphaned, 'SIGKILL');
  return ofThePlace(
    orphaned.parent === 1,
    `pid 1 to take in orphans (here pid ${orphaned.parent} does); run the suite outside of a user session, or with ` +
      '"unshare --pid --fork --mount-proc"',
  );
}

/** Kills the daemon, and waits until these children of it are nobody's. */
export async function orphan(daemon: TestDaemon, children: readonly ProcessFacts[]): Promise<void> {
  const { pid: dead } = daemon.process();
  await daemon.kill();
  for (const { pid } of children) {
    // The children go when the last thread of the daemon has ended, which is a moment after it cannot be seen any more.
    await waitUntil(() => processFacts(pid)?.parent !== dead, `process ${pid} to lose its parent`);
  }
}
