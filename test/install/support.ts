/** What the tests of `-install` share: a folder of their own, small CLIs, packed blobs, and the run with its one line of facts. */
import { createHash } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { expect, onTestFinished } from 'vitest';
import { createPlatform } from '../../platform/posix/index.ts';
import { childEnvironment } from '../../src/base/child-environment.ts';
import type { InstallContext, InstallRequest } from '../../src/install/context.ts';
import { type InstallOutcome, install } from '../../src/install/install.ts';
import { type InstallTimings, installTimings } from '../../src/install/timings.ts';
import { usualDecoder } from '../../src/install/zstd.ts';
import type { ProfileName } from '../../src/wire/profile.ts';
import { profileNamed } from '../../src/wire/profiles.ts';
import { cleanEnvironment, type Environment, type RunResult, runHoldfast } from '../support/holdfast.ts';
import { processFacts } from '../support/processes.ts';
import { everyProfile } from '../support/profiles.ts';
import { waitUntil } from '../support/wait.ts';

export const profiles = everyProfile;
export const platform = createPlatform();

/** A CLI that runs, and writes a line about each run into a file beside the folder of the versions. */
export const goodCli = '#!/bin/sh\necho "$0 $*" >> "$HOME/runs"\necho 1.2.3\n';
export const badCli = '#!/bin/sh\necho "$0 $*" >> "$HOME/runs"\nexit 3\n';
/** A CLI that never ends, with a child that never ends either. */
export const hangingCli = '#!/bin/sh\necho $$ >> "$HOME/hanging"\nsleep 600 &\necho $! >> "$HOME/hanging"\nwait\n';

/** The error for a CLI that does not end. */
export const unresponsive =
  'cli unresponsive: the installed Claude Code binary started but did not answer --version within 30s (120s for a first run) and was stopped; the host is not letting it run (endpoint security software or a stalled network home are the usual causes)';

export function pack(content: string | Buffer): Buffer {
  return zstdCompressSync(content);
}

export function sha256(bytes: string | Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Everything of one test. It is removed when the test ends. */
export class Workshop {
  readonly home: string;
  /** Folder of the versions; not there yet. */
  readonly folder: string;

  constructor() {
    this.home = mkdtempSync(join(tmpdir(), 'hf-'));
    this.folder = join(this.home, 'cli');
    onTestFinished(() => rmSync(this.home, { recursive: true, force: true }));
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** Puts a file into the folder of the versions. */
  put(name: string, content: string | Buffer, options: { readonly ageSeconds?: number; readonly mode?: number } = {}) {
    mkdirSync(this.folder, { recursive: true });
    writeFileSync(this.path(name), content, { mode: options.mode ?? 0o755 });
    this.age(name, options.ageSeconds ?? 0);
    return this.path(name);
  }

  age(name: string, seconds: number): void {
    const then = Date.now() / 1_000 - seconds;
    utimesSync(this.path(name), then, then);
  }

  /** A blob outside the folder of the versions. */
  blob(content: string | Buffer = goodCli): string {
    const path = join(this.home, 'blob');
    writeFileSync(path, pack(content));
    return path;
  }

  /** Names in the folder of the versions, sorted; empty when there is no folder. */
  names(): string[] {
    try {
      return readdirSync(this.folder).sort();
    } catch {
      return [];
    }
  }

  /** The command of each version run, one line each. */
  runs(): string[] {
    try {
      return readFileSync(join(this.home, 'runs'), 'utf8').split('\n').slice(0, -1);
    } catch {
      return [];
    }
  }

  /** Runs `-install` with this folder. */
  install(words: readonly string[], options: RunOptions = {}): Promise<InstallRun> {
    return runInstall(['-cli-dir', this.folder, ...words], { ...options, home: this.home });
  }

  /** The same inside this process, for limits too long to wait for. */
  async installHere(asked: Partial<InstallRequest>, options: HereOptions = {}): Promise<HereRun> {
    const profile = profileNamed(options.profile ?? 'next');
    if (profile === undefined) {
      throw new Error('no such profile');
    }
    const version = asked.version ?? '1.2.3';
    const environment = { ...cleanEnvironment(this.home), ...options.env };
    const lines: string[] = [];
    const warnings: string[] = [];
    const context: InstallContext = {
      platform: { ...platform, host: { ...platform.host, home: () => this.home } },
      rules: profile.install,
      timings: { ...installTimings, ...options.timings },
      environment,
      own: Object.entries(environment) as [string, string][],
      resolveLauncher: options.resolveLauncher,
      childEnv: childEnvironment(Object.entries(environment) as [string, string][], [], platform.host),
      decoder: options.decoder ?? usualDecoder,
      print: (line) => lines.push(line),
      warn: (text) => warnings.push(text),
    };
    const outcome = await install(
      {
        cliUrl: undefined,
        cliChecksum: undefined,
        cliZst: undefined,
        cliKeep: 3,
        maxCliBytes: 0,
        cliDownloadTimeoutMs: 0,
        folder: this.folder,
        cliPath: this.path(version),
        ...asked,
        version,
      },
      context,
    );
    return { outcome, lines, warnings };
  }
}

/** Every process the hanging CLI has written down has ended. */
export async function expectHangingEnded(shop: Workshop): Promise<void> {
  const pids = readFileSync(join(shop.home, 'hanging'), 'utf8').split('\n').slice(0, -1).map(Number);
  expect(pids.length).toBeGreaterThan(0);
  for (const pid of pids) {
    await waitUntil(() => (processFacts(pid)?.state ?? 'Z') === 'Z', `process ${pid} to be gone`);
  }
}

export interface RunOptions {
  readonly profile?: ProfileName;
  readonly env?: Environment;
  readonly cwd?: string;
}

export interface HereOptions {
  readonly profile?: ProfileName;
  readonly env?: Environment;
  readonly timings?: Partial<InstallTimings>;
  readonly decoder?: InstallContext['decoder'];
  readonly resolveLauncher?: InstallContext['resolveLauncher'];
}

export interface HereRun {
  readonly outcome: InstallOutcome;
  readonly lines: string[];
  readonly warnings: string[];
}

export interface InstallRun extends RunResult {
  /** The JSON of the last line, which is the only line of facts. */
  readonly facts: Record<string, unknown>;
  /** The JSON of the progress lines. */
  readonly progress: Record<string, unknown>[];
}

const factsMark = '__INSTALL_RESULT__';
const progressMark = '__INSTALL_PROGRESS__';

/** Runs `-install` to its end and expects exit code 0 and exactly one line of facts, as the last line. */
export async function runInstall(
  words: readonly string[],
  options: RunOptions & { readonly home: string },
): Promise<InstallRun> {
  const env = cleanEnvironment(options.home, options.env);
  const all = ['-install', '-wire-profile', options.profile ?? 'next', ...words];
  const result = await runHoldfast(all, options.cwd === undefined ? { env } : { env, cwd: options.cwd });
  return readRun(result);
}

export function readRun(result: RunResult): InstallRun {
  const lines = result.stdout.split('\n');
  expect(result.code, result.stderr).toBe(0);
  expect(lines.pop(), result.stdout).toBe('');
  const facts = lines.pop() ?? '';
  expect(facts.startsWith(factsMark), result.stdout).toBe(true);
  for (const line of lines) {
    expect(line.startsWith(progressMark), line).toBe(true);
  }
  return {
    ...result,
    facts: JSON.parse(facts.slice(factsMark.length)),
    progress: lines.map((line) => JSON.parse(line.slice(progressMark.length))),
  };
}

/** The mode bits of a file. */
export function modeOf(path: string): number {
  return statSync(path).mode & 0o7777;
}
