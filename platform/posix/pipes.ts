/** Pipes between us and a child. */
import { closeSync } from 'node:fs';
import * as libc from '../../native-bindings/libc.ts';
import { errnoName } from './paths.ts';

export interface Pipe {
  readonly readEnd: number;
  readonly writeEnd: number;
}

const ends = new Int32Array(2);

/** A pipe no child inherits by accident. @throws an Error whose `code` is the errno's name */
export function openPipe(): Pipe {
  const failed = libc.pipe2 === undefined ? libc.pipe(ends) : libc.pipe2(ends, libc.O_CLOEXEC);
  if (failed !== 0) {
    const code = errnoName(libc.errno());
    throw Object.assign(new Error(`pipe: ${code}`), { code });
  }
  const [readEnd = -1, writeEnd = -1] = ends;
  if (libc.pipe2 === undefined) {
    libc.fcntl(readEnd, libc.F_SETFD, libc.FD_CLOEXEC);
    libc.fcntl(writeEnd, libc.F_SETFD, libc.FD_CLOEXEC);
  }
  return { readEnd, writeEnd };
}

/** Opens several pipes, or none. @throws as `openPipe` */
export function openPipes(count: 2): [Pipe, Pipe];
export function openPipes(count: 3): [Pipe, Pipe, Pipe];
export function openPipes(count: number): Pipe[] {
  const pipes: Pipe[] = [];
  try {
    while (pipes.length < count) {
      pipes.push(openPipe());
    }
    return pipes;
  } catch (error) {
    for (const { readEnd, writeEnd } of pipes) {
      closeSync(readEnd);
      closeSync(writeEnd);
    }
    throw error;
  }
}
