/** Marked children and records for them, without a daemon. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ChildMarkers } from '../../../platform/child-markers.ts';
import { createPlatform } from '../../../platform/posix/index.ts';
import type { SpawnRequest } from '../../../platform/processes.ts';
import { createLog } from '../../../src/base/log.ts';
import { timings } from '../../../src/base/timings.ts';
import { reapChildren } from '../../../src/run-directory/records/reap.ts';
import { type ChildRecord, encodeRecord } from '../../../src/run-directory/records/record.ts';
import { temporaryFolder } from '../../platform/machine.ts';
import { currentEnvironment, RunningChild } from '../../platform/running-child.ts';
import { waitUntil } from '../../support/wait.ts';

export const platform = createPlatform();
export const markers = platform.childMarkers as ChildMarkers;
export const node = platform.processes.self().node ?? '';

/** A run directory with an empty folder of records. */
export function runDirectory(): string {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'children'), { mode: 0o700 });
  return folder;
}

/** Variables a shell carries through, so that the child gets both marks. */
export function plainEnvironment(): [string, string][] {
  return currentEnvironment().filter(([name]) => /^(PATH|HOME|LANG)$/.test(name));
}

/** A child as a daemon of profile `next` starts it. */
export function startMarked(
  runDirectory: string,
  command: string,
  args: readonly string[],
  more: Partial<SpawnRequest> = {},
): RunningChild {
  return new RunningChild(platform, {
    command,
    args,
    env: plainEnvironment(),
    markedFor: runDirectory,
    ...more,
  });
}

/** Resolves when the shell has become the program and the marks can be seen. */
export async function untilMarked(running: RunningChild): Promise<void> {
  const { pid } = running.child;
  const group = markers.holdGroup(pid);
  await waitUntil(() => group.leader()?.variable('CLAUDE_SSH_CHILD') !== undefined || undefined, `marks of ${pid}`);
  group.release();
}

/** The record a daemon that is dead by now would have left for the child. */
export function recordOf({ child }: RunningChild, changes: Partial<ChildRecord> = {}): ChildRecord {
  const { argv0 = '', program } = child.marks ?? {};
  return {
    pid: child.pid,
    node,
    host: markers.host,
    instance: 'a'.repeat(32),
    // Above every pid a kernel gives.
    daemonPid: 2 ** 30,
    daemonStart: '1',
    argv0,
    ...(program === undefined ? {} : { program }),
    start: markers.startOf(child.pid) ?? '1',
    at: Date.now(),
    ...changes,
  };
}

export function writeRecord(runDirectory: string, record: ChildRecord): void {
  writeFileSync(join(runDirectory, 'children', `${record.pid}.json`), encodeRecord(record));
}

/** What the next daemon does at its start. @returns the lines of its log, without time */
export async function reap(
  runDirectory: string,
  options: {
    readonly timings?: Partial<typeof timings>;
    readonly markers?: ChildMarkers;
    readonly rounds?: 'all';
  } = {},
): Promise<string[]> {
  let text = '';
  const log = createLog({
    level: 'debug',
    write: (bytes) => {
      text += bytes.toString();
      return bytes.length;
    },
  });
  await reapChildren({
    rounds: 'one',
    markers,
    processes: platform.processes,
    paths: platform.paths,
    runDirectory,
    log,
    ...options,
    timings: { ...timings, ...options.timings },
  });
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => line.replace(/^\S+ \S+ +/, ''));
}
