/** The executable on this host gives way to another file: whole and tried, or not at all. */
import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Platform } from '../../../platform/platform.ts';
import { messageOf } from '../../base/error-texts.ts';
import { ownVariables } from '../../base/own-process.ts';
import { isExecutable, programFile } from '../../base/own-program.ts';
import { runCommand } from '../../base/run-command.ts';
import { HoldfastError } from '../../client/index.ts';
import { type Executable, readExecutable } from './executable.ts';

const mode = 0o755;
const tryMs = 60_000;

export interface Replacement {
  readonly file: string;
  readonly state: 'in place' | 'would be replaced' | 'replaced';
  /** Of the new file. */
  readonly sha256: string;
}

/** @throws HoldfastError with what stands in the way */
export async function replaceProgram(from: string, checkOnly: boolean, platform: Platform): Promise<Replacement> {
  if (!isExecutable) {
    throw new HoldfastError(
      'unsupported',
      `this Holdfast runs from source (${programFile()}), not from one file; update the folder (git pull, npm ci --ignore-scripts), then run holdfast upgrade --restart`,
    );
  }
  const file = programFile();
  const [next, own] = [await readExecutable(from), await readExecutable(file)];
  if (next.target !== own.target) {
    throw new HoldfastError('unsupported', `${from} is for ${next.target}, this host runs ${own.target}`);
  }
  if (next.sha256 === own.sha256) {
    return { file, state: 'in place', sha256: next.sha256 };
  }
  if (!checkOnly) {
    await put(next, file, platform);
  }
  return { file, state: checkOnly ? 'would be replaced' : 'replaced', sha256: next.sha256 };
}

async function put({ path, bytes }: Executable, file: string, platform: Platform): Promise<void> {
  // Beside it, because only within a file system a file gets its name in one step.
  const incoming = join(
    dirname(file),
    `.holdfast-${randomBytes(6).toString('hex')}.part${platform.paths.programSuffix}`,
  );
  try {
    const fd = openSync(incoming, 'wx', mode);
    try {
      writeFileSync(fd, bytes);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    await tryOut(incoming, path, platform);
    putInPlace(incoming, file, platform.paths.programSuffix);
  } catch (error) {
    if (error instanceof HoldfastError) {
      throw error;
    }
    throw new HoldfastError('unsupported', `${file} could not be replaced: ${messageOf(error)}; it is as it was`, {
      cause: error,
    });
  } finally {
    rmSync(incoming, { force: true });
  }
}

/** Where a program that runs cannot be replaced (Windows), it can be renamed, and is removed by a later upgrade. */
function putInPlace(incoming: string, file: string, suffix: string): void {
  try {
    renameSync(incoming, file);
    return;
  } catch (error) {
    if (!existsSync(file) || suffix === '') {
      throw error;
    }
  }
  const aside = freeName(file, suffix);
  renameSync(file, aside);
  try {
    renameSync(incoming, file);
  } catch (error) {
    renameSync(aside, file);
    throw error;
  }
}

function freeName(file: string, suffix: string): string {
  for (let count = 1; ; count++) {
    const name = `${file.slice(0, -suffix.length)}.old-${count}${suffix}`;
    try {
      rmSync(name, { force: true });
    } catch {
      // A daemon still runs it.
    }
    if (!existsSync(name)) {
      return name;
    }
  }
}

async function tryOut(incoming: string, path: string, platform: Platform): Promise<void> {
  const { failure, combined } = await runCommand(platform.processes, {
    command: incoming,
    args: ['-version'],
    cwd: undefined,
    env: ownVariables(platform.startedWith),
    timeoutMs: tryMs,
    maxOutputBytes: 65_536,
  });
  if (failure !== undefined) {
    const said = combined.toString('utf8').trim().split('\n', 1)[0];
    throw new HoldfastError(
      'unsupported',
      `${path} does not run here, so nothing was replaced: ${said === undefined || said === '' ? failure : said}`,
    );
  }
}
