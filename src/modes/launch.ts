/** The foreground part of `-serve`: starts the detached daemon and tells what became of it (spec modes.md §6). */
import { closeSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Detached } from '../../platform/detach.ts';
import { HostError, isForeignListener } from '../../platform/errors.ts';
import type { Platform } from '../../platform/platform.ts';
import { endWithScript, ownCommand, ownVariables } from '../base/own-process.ts';
import {
  daemonChildVariable,
  readyReport,
  statusPipeVariable,
  tokenPipeVariable,
  withoutMarkers,
} from '../base/start-markers.ts';
import { logFileName } from '../run-directory/names.ts';
import { failureLines, remedyLine } from '../run-directory/start-failure.ts';
import { readTokenDescriptor, TokenError } from '../run-directory/token.ts';
import type { ModeContext } from './mode.ts';

const pollMs = 20;
/** How long to wait for the exit status of a child that has closed its pipe. */
const exitTextMs = 2_000;
const predecessorDialMs = 500;
/** How many lines of the log are shown when the child died without reporting a reason. */
const shownLogLines = 10;

export async function launchDaemon(context: ModeContext): Promise<number> {
  const { settings, log } = context;
  const { socketPath, profile } = settings;
  const platform = await context.platform();
  endWithScript(platform.host);
  const deadline = performance.now() + profile.modes.launcherWaitMs;
  const fail = (...lines: readonly string[]): number => {
    for (const line of lines) {
      if (line !== '') {
        log.raw(line);
      }
    }
    return 1;
  };

  let secret: Buffer | undefined;
  try {
    secret = settings.tokenFd === undefined ? undefined : readTokenDescriptor(String(settings.tokenFd), platform);
  } catch (error) {
    if (error instanceof TokenError) {
      return fail(error.message);
    }
    throw error;
  }
  if (['', '.', '..'].includes(basename(socketPath))) {
    const { paths } = platform;
    return fail(
      `holdfast: the socket path ${JSON.stringify(socketPath)} names a folder; add the name of the socket, e.g. ${join(socketPath, 'rpc.sock')}`,
      `claustrum: listen unix: listen unix ${socketPath}: bind: ${paths.reasonForCode('EINVAL')}`,
    );
  }
  const directory = platform.paths.directoryOf(socketPath);
  try {
    platform.runDirectories.create(directory);
    platform.runDirectories.open(directory).close();
  } catch (error) {
    if (!(error instanceof HostError)) {
      throw error;
    }
    // An error without a failed system call means that we do not trust the folder.
    const reason =
      error.cause === undefined ? platform.paths.reasonForCode('EACCES') : platform.paths.reason(error.cause);
    return fail(remedyLine(error), `claustrum: listen unix: listen unix ${socketPath}: bind: ${reason}`);
  }
  const predecessor = profile.modes.namesPredecessor && (await accepts(platform, socketPath, predecessorDialMs));

  const logPath = join(directory, logFileName);
  const opened = platform.runDirectories.openLog(logPath, profile.modes.logRotate);
  const logFd = 'fd' in opened ? opened.fd : undefined;
  let daemon: Detached;
  try {
    daemon = platform.host.detach({
      ...ownCommand(context.arguments, [
        ...withoutMarkers(ownVariables(platform.startedWith)),
        [daemonChildVariable, '1'],
      ]),
      logFd,
      secret,
      statusVariable: statusPipeVariable,
      secretVariable: tokenPipeVariable,
    });
  } catch (error) {
    return fail(...failureLines(error));
  } finally {
    if (logFd !== undefined) {
      closeQuietly(logFd);
    }
  }
  for (const note of daemon.notes) {
    log.raw(note);
  }

  try {
    const report = await reportOf(daemon, deadline);
    if (report === 'late') {
      const kept = predecessor && (await accepts(platform, socketPath, predecessorDialMs));
      return fail(
        kept
          ? `claustrum: daemon did not take over ${socketPath} (predecessor still owns it)`
          : timeoutText(socketPath),
      );
    }
    if (report === readyReport) {
      const refusal = await refusalUntil(platform, socketPath, deadline);
      return refusal === undefined ? 0 : fail(refusal, timeoutText(socketPath));
    }
    // A daemon without a log of its own has told the reasons on our stderr itself.
    if (report !== '' && logFd === undefined) {
      return fail(timeoutText(socketPath));
    }
    const reasons =
      report === '' ? await deathOf(daemon, logFd === undefined ? undefined : logPath) : report.split('\n').slice(1);
    return fail(...reasons, timeoutText(socketPath));
  } finally {
    daemon.release();
  }
}

/** We wrote nothing into it, so a failure has lost nothing. */
function closeQuietly(fd: number): void {
  try {
    closeSync(fd);
  } catch {
    // The descriptor is closed all the same.
  }
}

function timeoutText(socketPath: string): string {
  return `claustrum: timeout waiting for daemon to accept on ${socketPath}`;
}

/** Everything on the status pipe; empty when the child died without a word. */
async function reportOf(daemon: Detached, deadline: number): Promise<string | 'late'> {
  const read = async (): Promise<string> => {
    let text = '';
    for await (const chunk of daemon.status) {
      text += chunk.toString('utf8');
    }
    return text.trimEnd();
  };
  const limit = new AbortController();
  const late = delay(Math.max(0, deadline - performance.now()), 'late' as const, { signal: limit.signal });
  try {
    return await Promise.race([read(), late]);
  } finally {
    limit.abort();
    late.catch(() => {});
  }
}

async function deathOf(daemon: Detached, logPath: string | undefined): Promise<string[]> {
  for (let waited = 0; waited < exitTextMs && daemon.exitText() === undefined; waited += pollMs) {
    await delay(pollMs);
  }
  const lines = [`claustrum: daemon exited during start: ${daemon.exitText() ?? 'it closed its status pipe'}`];
  return logPath === undefined ? lines : [...lines, ...lastLines(logPath)];
}

function lastLines(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-shownLogLines);
  } catch {
    return [];
  }
}

/**
 * The daemon said that it is ready, but another start may be replacing it right now; whoever wins will accept.
 * @returns `undefined` when somebody of ours accepts; else what stands in the way, empty when nobody accepts
 */
async function refusalUntil(platform: Platform, socketPath: string, deadline: number): Promise<string | undefined> {
  for (;;) {
    const left = deadline - performance.now();
    const outcome = await tryDial(platform, socketPath, Math.max(pollMs, left));
    if (outcome === 'accepted') {
      return undefined;
    }
    if (isForeignListener(outcome)) {
      return `holdfast: ${outcome.message}`;
    }
    if (left <= 0) {
      return '';
    }
    await delay(pollMs);
  }
}

async function accepts(platform: Platform, socketPath: string, timeoutMs: number): Promise<boolean> {
  return (await tryDial(platform, socketPath, timeoutMs)) === 'accepted';
}

async function tryDial(platform: Platform, socketPath: string, timeoutMs: number): Promise<'accepted' | Error> {
  try {
    const socket = await platform.transport.dial(socketPath, { timeoutMs });
    socket.destroy();
    return 'accepted';
  } catch (error) {
    return error as Error;
  }
}
