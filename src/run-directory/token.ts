/** The token: its sources and its text (spec wire.md §8). It never stands in argv or the environment. */
import { closeSync, openSync, readSync, unlinkSync } from 'node:fs';
import type { Platform } from '../../platform/platform.ts';
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

/** @throws TokenError */
export function readTokenFile(path: string, { paths }: Pick<Platform, 'paths'>): Buffer {
  let operation = 'open';
  let fd: number | undefined;
  try {
    fd = openSync(path, 'r');
    operation = 'read';
    const buffer = Buffer.alloc(maxTokenBytes);
    let length = 0;
    for (let count = -1; count !== 0 && length < buffer.length; length += count) {
      count = readSync(fd, buffer, length, buffer.length - length, null);
    }
    return tokenOf(buffer.subarray(0, length), '--token-file');
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

/** @throws TokenError */
export function readTokenDescriptor(descriptor: string, { host }: Pick<Platform, 'host'>): Buffer {
  let content: Buffer;
  try {
    content = host.readDescriptor(descriptor, maxTokenBytes);
  } catch (error) {
    throw new TokenError(`claustrum: read --token-fd: ${(error as Error).message}`, { cause: error });
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
  const token = readTokenFile(tokenFile, platform);
  try {
    unlinkSync(tokenFile);
  } catch (error) {
    log.warn('daemon', `failed to remove token file: unlink ${tokenFile}: ${platform.paths.reason(error)}`);
  }
  return token;
}
