/** Starting a keeper: detached like a daemon, and out of reach of whatever ends a daemon (spec durable.md §6). */
import { closeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Detached } from '../../platform/detach.ts';
import { HostError } from '../../platform/errors.ts';
import type { Platform } from '../../platform/platform.ts';
import { keeperLogName, keeperRecordName } from '../../platform/published-names.ts';
import { messageOf } from '../base/error-texts.ts';
import { failpointAsync } from '../base/failpoints.ts';
import type { Log } from '../base/log.ts';
import { ownCommand, ownVariables } from '../base/own-process.ts';
import {
  keeperCookieVariable,
  keeperVariable,
  keeperWords,
  readyReport,
  starterText,
  statusPipeVariable,
} from '../base/start-markers.ts';
import { cookieBytes } from './channel/handshake.ts';
import { maxRecordBytes, parseRecord } from './record.ts';

const recordPollMs = 50;

/**
 * Resolves when it serves.
 * @param socketPath of the daemon
 * @throws HostError with the reason
 */
export async function startKeeper(
  platform: Platform,
  socketPath: string,
  startMs: number,
  log: Pick<Log, 'warn'>,
): Promise<Detached> {
  const { through, warning } = await platform.host.leaveLogin();
  if (warning !== undefined) {
    log.warn('keeper', warning);
  }
  if (through.length > 0) {
    try {
      return await start(platform, socketPath, startMs, through);
    } catch (error) {
      log.warn('keeper', `it could not be started outside of the login (${through.join(' ')}): ${messageOf(error)}`);
    }
  }
  const keeper = await start(platform, socketPath, startMs, []);
  for (const note of keeper.notes) {
    log.warn('keeper', `${note}; the end of that job ends the keeper and its sessions`);
  }
  return keeper;
}

async function start(
  platform: Platform,
  socketPath: string,
  startMs: number,
  through: readonly string[],
): Promise<Detached> {
  const directory = platform.paths.directoryOf(socketPath);
  const log = platform.runDirectories.openLog(join(directory, keeperLogName), 'unlink');
  const logFd = 'fd' in log ? log.fd : undefined;
  let keeper: Detached;
  try {
    const own = ownCommand(keeperWords(socketPath), [
      ...ownVariables(platform.startedWith),
      [keeperVariable, starterText(platform.processes.self())],
    ]);
    const [file = own.file, ...args] = [...through, own.file, ...own.args];
    keeper = platform.host.detach({
      ...{ file, args, env: own.env, logFd },
      secret: Buffer.from(platform.host.randomHex(cookieBytes)),
      statusVariable: statusPipeVariable,
      secretVariable: keeperCookieVariable,
    });
  } finally {
    if (logFd !== undefined) {
      closeSync(logFd);
    }
  }
  await failpointAsync('durable.start.between');
  const limit = new AbortController();
  try {
    const late = delay(startMs, 'it did not answer', { signal: limit.signal });
    late.catch(() => {});
    const report = await Promise.race([reportOf(keeper), recorded(keeper, platform, directory, limit.signal), late]);
    if (report !== readyReport) {
      const reason = report === '' ? (keeper.exitText() ?? 'it ended without a word') : report;
      throw new HostError(`the keeper did not start: ${reason}`, `see ${join(directory, keeperLogName)}`);
    }
    return keeper;
  } finally {
    limit.abort();
    // Its status pipe only; the exit is collected when it ends.
    keeper.release();
  }
}

async function reportOf(keeper: Detached): Promise<string> {
  let text = '';
  for await (const chunk of keeper.status) {
    text += chunk.toString('utf8');
  }
  return text.trimEnd();
}

/** The same told by its record: a busy Windows may keep the end of the pipe for itself. */
async function recorded(keeper: Detached, platform: Platform, path: string, signal: AbortSignal): Promise<string> {
  const directory = platform.runDirectories.open(path);
  try {
    while (!signal.aborted) {
      const record = parseRecord(directory.readText(keeperRecordName, maxRecordBytes) ?? '');
      if (typeof record === 'object' && record.pid === keeper.pid) {
        return readyReport;
      }
      await delay(recordPollMs);
    }
    return '';
  } finally {
    directory.close();
  }
}
