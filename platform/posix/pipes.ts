/** Pipes between us and a child. */
import { closeSync } from 'node:fs';
import * as libc from '../../native-bindings/libc.ts';
import { errnoName } from './paths.ts';

export interface Pipe {
  readonly readEnd: number;
  readonly writeEnd: number;
}

/** A pipe no child inherits by accident. @throws an Error whose `code` is the errno's name */
export function openPipe(): Pipe {
  const ends: [number, number] = [-1, -1];
  const failed = libc.pipe2 === undefined ? libc.pipe(ends) : libc.pipe2(ends, libc.O_CLOEXEC);
  if (failed !== 0) {
    const code = errnoName(libc.errno());
    throw Object.assign(new Error(`pipe: ${code}`), { code });
  }
  if (libc.pipe2 === undefined) {
    for (const end of ends) {
      libc.fcntl(end, libc.F_SETFD, libc.FD_CLOEXEC);
    }
  }
  const [readEnd, writeEnd] = ends;
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
