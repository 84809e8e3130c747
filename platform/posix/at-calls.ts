/** System calls relative to an open folder, as promises. Names are bytes without a separator. */
import { constants } from 'node:fs';
import * as libc from '../../native-bindings/libc.ts';
import { SystemCallError } from '../errors.ts';
import type { Paths } from '../paths.ts';
import { errnoName } from './paths.ts';

export interface AtCalls {
  /** Opens without following a link in the last place; the descriptor is not inherited by children. */
  open(folder: number, name: Buffer, flags: number, mode?: number): Promise<number>;
  createFolder(folder: number, name: Buffer, mode: number): Promise<void>;
  removeFile(folder: number, name: Buffer): Promise<void>;
  removeFolder(folder: number, name: Buffer): Promise<void>;
  rename(folder: number, name: Buffer, toFolder: number, toName: Buffer): Promise<void>;
}

/** koffi refuses more than 256 calls at once, and each one holds a thread of libuv's few. */
const mostAtOnce = 8;

interface AsyncFunction<A extends unknown[]> {
  async(...args: [...A, (error: Error | null, result: number) => void]): void;
}

export function createAtCalls(paths: Paths): AtCalls {
  const waiting: (() => void)[] = [];
  let running = 0;

  function failure(operation: string, name: Buffer, errno: number): SystemCallError {
    const code = errnoName(errno);
    return new SystemCallError(`${operation} ${name.toString()}: ${paths.reasonForCode(code)}`, code);
  }

  /** @returns what the function returned, -1 with its errno */
  function runOnThread<A extends unknown[]>(call: AsyncFunction<A>, args: A): Promise<[result: number, errno: number]> {
    return new Promise((resolve, reject) => {
      const start = () => {
        running++;
        call.async(...args, (error, result) => {
          // Read errno before anything else, because the next call of any kind overwrites it.
          const errno = libc.errno();
          running--;
          waiting.shift()?.();
          if (error === null) {
            resolve([result, errno]);
          } else {
            reject(error);
          }
        });
      };
      if (running < mostAtOnce) {
        start();
      } else {
        waiting.push(start);
      }
    });
  }

  async function perform<A extends unknown[]>(
    operation: string,
    name: Buffer,
    call: AsyncFunction<A>,
    args: A,
  ): Promise<number> {
    for (;;) {
      const [result, errno] = await runOnThread(call, args);
      if (result !== -1) {
        return result;
      }
      if (errnoName(errno) !== 'EINTR') {
        throw failure(operation, name, errno);
      }
    }
  }

  function openNow(folder: number, name: Buffer, flags: number, mode: number): number {
    const descriptor = libc.openatVariadic?.(folder, terminated(name), flags, 'uint', mode) ?? -1;
    if (descriptor === -1) {
      throw failure('openat', name, libc.errno());
    }
    return descriptor;
  }

  return {
    async open(folder, name, flags, mode = 0) {
      const all = flags | constants.O_NOFOLLOW | libc.O_CLOEXEC;
      return libc.openat === undefined
        ? openNow(folder, name, all, mode)
        : perform('openat', name, libc.openat, [folder, terminated(name), all, mode]);
    },
    async createFolder(folder, name, mode) {
      await perform('mkdirat', name, libc.mkdirat, [folder, terminated(name), mode]);
    },
    async removeFile(folder, name) {
      await perform('unlinkat', name, libc.unlinkat, [folder, terminated(name), 0]);
    },
    async removeFolder(folder, name) {
      await perform('unlinkat', name, libc.unlinkat, [folder, terminated(name), libc.AT_REMOVEDIR]);
    },
    async rename(folder, name, toFolder, toName) {
      await perform('renameat', name, libc.renameat, [folder, terminated(name), toFolder, terminated(toName)]);
    },
  };
}

const nul = Buffer.alloc(1);

/** The C library's string. A NUL inside would name another file, so it never gets there. */
function terminated(name: Buffer): Buffer {
  if (name.includes(0)) {
    throw new SystemCallError(`openat ${name.toString()}: invalid argument`, 'EINVAL');
  }
  return Buffer.concat([name, nul]);
}
