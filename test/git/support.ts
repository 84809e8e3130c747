/** Calls `git.*` as the dispatcher does, on repositories made by the real git. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';
import { loadPlatform } from '../../platform/load.ts';
import type { SpawnRequest } from '../../platform/processes.ts';
import { atOnce } from '../../platform/steps.ts';
import { errorAnswer } from '../../src/doors/rpc/failures.ts';
import { endGit, gitMethods } from '../../src/doors/rpc/methods/git.ts';
import type { Answer, MethodResult } from '../../src/doors/rpc/methods/method.ts';
import type { GitServices } from '../../src/git/run/services.ts';
import { encodeResult } from '../../src/wire/json-writer.ts';
import type { ProfileName } from '../../src/wire/profile.ts';
import { profileNamed } from '../../src/wire/profiles.ts';
import { removeFolder } from '../support/remove-folder.ts';

export const platform = await loadPlatform();

/** Every git of a test has the same author, and no configuration except that of the repository. */
const quietHome = mkdtempSync('/tmp/hfg-home-');
process.on('exit', () => rmSync(quietHome, { recursive: true, force: true }));
Object.assign(process.env, {
  HOME: quietHome,
  XDG_CONFIG_HOME: join(quietHome, '.config'),
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_AUTHOR_NAME: 'A',
  GIT_AUTHOR_EMAIL: 'a@example.com',
  GIT_COMMITTER_NAME: 'A',
  GIT_COMMITTER_EMAIL: 'a@example.com',
});
export const home = quietHome;

/** One daemon, as far as `git.*` is concerned. */
export interface TestDaemon {
  readonly services: GitServices;
  /** Arguments of every git that was started, in order. */
  readonly started: string[][];
  readonly warnings: string[];
  /**
   * @param params an object, or the text of the params as they are sent; `undefined`: the request has none
   * @returns the result's text, or `<code> <message>`
   */
  call(method: string, params: object | string | undefined): Promise<string>;
  /** As `call`, with the result parsed. */
  ask(method: string, params: object): Promise<Record<string, unknown>>;
  /** Its end, which comes with the test's at the latest. */
  end(): Promise<void>;
}

export function daemon(
  profile: ProfileName,
  options: { readonly gitTimeoutMs?: number; readonly socketPath?: string } = {},
): TestDaemon {
  const found = profileNamed(profile);
  if (found === undefined) {
    throw new Error(`no profile ${profile}`);
  }
  const started: string[][] = [];
  const warnings: string[] = [];
  const services: GitServices = {
    platform: {
      ...platform,
      processes: {
        ...platform.processes,
        spawn(request: SpawnRequest) {
          started.push([...request.args]);
          return platform.processes.spawn(request);
        },
      },
    },
    profile: found,
    settings: {
      gitTimeoutMs: options.gitTimeoutMs ?? found.git.timeoutDefaultMs,
      socketPath: options.socketPath ?? join(quietHome, 'rpc.sock'),
    },
    counters: { gitOutputsCapped: 0, gitCallsQueued: 0, gitLimitsReached: 0 },
    log: { warn: (_component, text) => warnings.push(text) },
  };
  const call = async (name: string, params: object | string | undefined): Promise<string> => {
    const method = gitMethods.find((candidate) => candidate.name === name);
    if (method === undefined) {
      throw new Error(`no method ${name}`);
    }
    const text = typeof params === 'string' || params === undefined ? params : JSON.stringify(params);
    const bytes = Buffer.from(text ?? '');
    const slice = text === undefined ? undefined : { bytes, start: 0, end: bytes.length };
    try {
      const read = method.read(slice, services);
      const start = typeof read === 'function' ? read : atOnce(read);
      const result = await start({ services, client: undefined as never });
      return encodeResult(result as Exclude<MethodResult, Answer>);
    } catch (error) {
      const answer = errorAnswer(error);
      if (answer === undefined) {
        throw error;
      }
      return `${answer.code} ${answer.message}`;
    }
  };
  const end = () => endGit(services);
  onTestFinished(end);
  return { services, started, warnings, call, ask: async (name, params) => JSON.parse(await call(name, params)), end };
}

/** Makes a folder of the test's own, which is removed when the test ends. @returns its real path */
export function scratchFolder(): string {
  const folder = realpathSync(mkdtempSync('/tmp/hfg-'));
  onTestFinished(async () => {
    // Nothing is refused to root, and each start of a program out of this process is dear.
    if (process.getuid?.() !== 0) {
      execFileSync('chmod', ['-R', 'u+rwX', folder], { stdio: 'ignore' });
    }
    await removeFolder(folder);
  });
  return folder;
}

/** Runs the real git plainly, as a user in a terminal would. @returns its standard output, trimmed */
export function git(directory: string, ...args: string[]): string {
  return execFileSync('git', args, { cwd: directory, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
}

export function write(path: string, content: string | Buffer = 'x\n', mode = 0o644): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
}

/** A repository with one commit of `a.txt` on `main`. */
export function repository(path: string): string {
  write(join(path, 'a.txt'));
  inShell(path, `${init}\n${commitAll} init`);
  return path;
}

/** Commits everything there is. @returns the commit's id */
export function commit(path: string, message: string): string {
  return inShell(path, `${commitAll} "$1"\ngit rev-parse HEAD`, message);
}

/** What git copies into a new repository, without the fourteen samples of hooks. */
const template = mkdtempSync('/tmp/hfg-template-');
process.on('exit', () => rmSync(template, { recursive: true, force: true }));
mkdirSync(join(template, 'hooks'));
mkdirSync(join(template, 'info'));
writeFileSync(join(template, 'info/exclude'), '# lines of patterns\n');

/** Lines for {@link inShell}: a repository with the branch `main`; further words are options. */
export const init = `git init -q -b main --template=${template}`;
/** The same: everything there is; the message follows. Without a look whether there is something to tidy up, which is a git more. */
export const commitAll = 'git add -A\ngit -c maintenance.auto=false commit -q -m';

/**
 * Several git for one start out of this process, which costs more than a git does.
 * @param script ends at the first command that fails
 * @param words `$1` and so on in `script`
 * @returns its standard output, trimmed
 */
export function inShell(directory: string, script: string, ...words: string[]): string {
  return execFileSync('/bin/sh', ['-e', '-c', script, 'sh', ...words], {
    cwd: directory,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  }).trim();
}

/**
 * Puts a program of the name `git` in front of the real one until the test ends. `$GIT` in the script is the real one.
 * @param script lines of a shell script
 */
export function standInForGit(folder: string, script: string): void {
  const real = execFileSync('sh', ['-c', 'command -v git'], { encoding: 'utf8' }).trim();
  write(join(folder, 'bin', 'git'), `#!/bin/sh\nGIT=${real}\n${script}\n`, 0o755);
  const before = process.env.PATH;
  process.env.PATH = `${join(folder, 'bin')}:${before}`;
  onTestFinished(() => {
    process.env.PATH = before;
  });
}

/** Sets variables of the daemon's own environment until the test ends. */
export function withVariables(variables: Record<string, string>): void {
  for (const [name, value] of Object.entries(variables)) {
    const before = process.env[name];
    process.env[name] = value;
    onTestFinished(() => {
      if (before === undefined) {
        delete process.env[name];
      } else {
        process.env[name] = before;
      }
    });
  }
}
