/** Starting a keeper: detached like a daemon, and out of reach of whatever ends a daemon (spec durable.md §6). */
import { randomBytes } from 'node:crypto';
import { closeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Detached } from '../../platform/detach.ts';
import { HostError } from '../../platform/errors.ts';
import type { Platform } from '../../platform/platform.ts';
import { keeperLogName } from '../../platform/published-names.ts';
import { ownCommand, ownVariables } from '../base/own-process.ts';
import {
  keeperCookieVariable,
  keeperVariable,
  keeperWord,
  readyReport,
  statusPipeVariable,
} from '../base/start-markers.ts';
import { cookieBytes } from './channel/handshake.ts';

/**
 * Resolves when it serves.
 * @param socketPath of the daemon
 * @throws HostError with the reason
 */
export async function startKeeper(platform: Platform, socketPath: string, startMs: number): Promise<Detached> {
  const directory = platform.paths.directoryOf(socketPath);
  const log = platform.runDirectories.openLog(join(directory, keeperLogName), 'unlink');
  const logFd = 'fd' in log ? log.fd : undefined;
  let keeper: Detached;
  try {
    keeper = platform.host.detach({
      ...ownCommand(
        [keeperWord, '-socket', socketPath],
        [...ownVariables(platform.startedWith), [keeperVariable, '1']],
      ),
      logFd,
      secret: Buffer.from(randomBytes(cookieBytes).toString('hex')),
      statusVariable: statusPipeVariable,
      secretVariable: keeperCookieVariable,
    });
  } finally {
    if (logFd !== undefined) {
      closeSync(logFd);
    }
  }
  const limit = new AbortController();
  try {
    const late = delay(startMs, 'it did not answer', { signal: limit.signal });
    late.catch(() => {});
    const report = await Promise.race([reportOf(keeper), late]);
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
