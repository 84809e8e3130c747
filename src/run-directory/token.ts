/** The token: its sources and its text (spec wire.md §8). It never stands in argv or the environment. */
import { closeSync, constants, fstatSync, openSync, readSync, unlinkSync } from 'node:fs';
import type { Platform } from '../../platform/platform.ts';
import { messageOf } from '../base/error-texts.ts';
import type { Log } from '../base/log.ts';
import type { Settings } from '../config/settings.ts';

/** A token has to fit into a request line with room for the rest. */
export const maxTokenBytes = 512 * 1024;

/** Why there is no token; `message` is the contract's reason line. */
export class TokenError extends Error {
  override readonly name = 'TokenError';
}

/**
 * The first line, less one trailing carriage return; all other white space counts.
 * @param source flag name for the message
 * @throws TokenError
 */
export function tokenOf(content: Buffer, source: '--token-file' | '--token-fd'): Buffer {
  const newline = content.indexOf(0x0a);
  let end = newline < 0 ? content.length : newline;
  if (newline < 0 && end >= maxTokenBytes) {
    throw new TokenError(`claustrum: read ${source}: token is longer than ${maxTokenBytes} bytes`);
  }
  if (end > 0 && content[end - 1] === 0x0d) {
    end--;
  }
  if (end === 0) {
    throw new TokenError(`claustrum: read ${source}: token is empty`);
  }
  return Buffer.from(content.subarray(0, end));
}

/** How long a FIFO, a terminal or the like is waited for; the launcher waits for us no longer than twice as long. */
const patienceMs = 5_000;
const retryMs = 20;

export interface TokenFile {
  readonly token: Buffer;
  /** Never to be removed, whatever the command line calls it. */
  readonly isDevice: boolean;
}

/** @throws TokenError */
export function readTokenFile(
  path: string,
  { paths }: Pick<Platform, 'paths'>,
  waitMs: number = patienceMs,
): TokenFile {
  let operation = 'open';
  let fd: number | undefined;
  try {
    // Without the flag a FIFO that nobody writes to would hold up the start for ever. Windows knows neither.
    fd = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    operation = 'read';
    const found = fstatSync(fd);
    const content = readFirstLine(fd, { waitMs, endsAtOnce: !found.isFIFO() });
    if (content === undefined) {
      throw new TokenError(`claustrum: read --token-file: read ${path}: nobody wrote a token within ${waitMs / 1000}s`);
    }
    const isDevice = found.isCharacterDevice() || found.isBlockDevice();
    return { token: tokenOf(content, '--token-file'), isDevice };
  } catch (error) {
    if (error instanceof TokenError) {
      throw error;
    }
    throw new TokenError(`claustrum: read --token-file: ${operation} ${path}: ${paths.reason(error)}`, {
      cause: error,
    });
  } finally {
    if (fd !== undefined) {
      closeSync(fd);
    }
  }
}

/**
 * At least the first line, or all there is of it.
 * @param options.waitMs how long bytes may be on their way
 * @param options.endsAtOnce whether an end before the first byte is one; that of a FIFO means that nobody has opened it for
 * writing yet
 * @returns `undefined` when the bytes did not come in time
 */
function readFirstLine(
  fd: number,
  { waitMs, endsAtOnce }: { readonly waitMs: number; readonly endsAtOnce: boolean },
): Buffer | undefined {
  const buffer = Buffer.alloc(maxTokenBytes);
  const deadline = performance.now() + waitMs;
  let length = 0;
  while (length < buffer.length) {
    const count = readNow(fd, buffer, length);
    if (count !== undefined && count > 0) {
      const isWhole = buffer.subarray(length, length + count).includes(0x0a);
      length += count;
      if (isWhole) {
        break;
      }
      continue;
    }
    if (count === 0 && (length > 0 || endsAtOnce)) {
      break;
    }
    if (performance.now() >= deadline) {
      return undefined;
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, retryMs);
  }
  return buffer.subarray(0, length);
}

/** `undefined` when there is nothing at this moment. @throws Node's error */
function readNow(fd: number, buffer: Buffer, at: number): number | undefined {
  try {
    return readSync(fd, buffer, at, buffer.length - at, null);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') {
      return undefined;
    }
    throw error;
  }
}

/** @throws TokenError */
export function readTokenDescriptor(descriptor: string, { host }: Pick<Platform, 'host'>): Buffer {
  let content: Buffer;
  try {
    content = host.readDescriptor(descriptor, maxTokenBytes);
  } catch (error) {
    throw new TokenError(`claustrum: read --token-fd: ${messageOf(error)}`, { cause: error });
  }
  return tokenOf(content, '--token-fd');
}

/**
 * The token of a daemon that starts. The file is removed once it was read; a failed removal is told and no more.
 * @param descriptor where the launcher has put the token of `-token-fd`
 * @throws TokenError
 */
export function takeToken(
  { tokenFile, tokenFd }: Pick<Settings, 'tokenFile' | 'tokenFd'>,
  descriptor: string | undefined,
  platform: Pick<Platform, 'host' | 'paths'>,
  log: Log,
): Buffer {
  if (tokenFd !== undefined) {
    if (descriptor === undefined) {
      throw new TokenError('claustrum: read --token-fd: no token was handed over');
    }
    return readTokenDescriptor(descriptor, platform);
  }
  if (tokenFile === undefined) {
    throw new TokenError('claustrum: daemonized child requires --token-file or --token-fd');
  }
  const { token, isDevice } = readTokenFile(tokenFile, platform);
  if (isDevice) {
    log.warn('daemon', `token file ${tokenFile} is a device and stays where it is`);
    return token;
  }
  try {
    unlinkSync(tokenFile);
  } catch (error) {
    log.warn('daemon', `failed to remove token file: unlink ${tokenFile}: ${platform.paths.reason(error)}`);
  }
  return token;
}
