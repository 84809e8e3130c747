/** The standard streams of a child: three pipes, or the null device. */
import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Paths } from '../paths.ts';
import type { OutputName, SpawnRequest } from '../processes.ts';
import { ChildOutput } from './child-output.ts';
import { openNullDevice } from './descriptors.ts';
import { openPipes } from './pipes.ts';

/** Our ends of the pipes. */
export interface OurEnds {
  readonly input: number;
  readonly stdout: number;
  readonly stderr: number;
}

/** The child's descriptors 0, 1 and 2; one may stand for several. */
export type ChildEnds = readonly [input: number, output: number, errors: number];

export interface OpenedStreams {
  /** `undefined` for the null device: there is nothing to write to or to read. */
  readonly ours: OurEnds | undefined;
  readonly theirs: ChildEnds;
}

/** Opens them all before there is a child. @throws Node's error or HostError; nothing is left open */
export function openStreams(request: Pick<SpawnRequest, 'streams'>, paths: Paths): OpenedStreams {
  if (request.streams === 'nullDevice') {
    const fd = openNullDevice(paths);
    return { ours: undefined, theirs: [fd, fd, fd] };
  }
  const [input, output, errors] = openPipes(3);
  return {
    ours: { input: input.writeEnd, stdout: output.readEnd, stderr: errors.readEnd },
    theirs: [input.readEnd, output.writeEnd, errors.writeEnd],
  };
}

/** For a child that never came to be. */
export function closeOurs(ours: OurEnds | undefined): void {
  if (ours === undefined) {
    return;
  }
  for (const fd of [ours.input, ours.stdout, ours.stderr]) {
    closeSync(fd);
  }
}

/** Once the child has its own copies, or never came to be. */
export function closeTheirs(theirs: ChildEnds): void {
  theirs.forEach((fd, index) => {
    if (theirs.indexOf(fd) === index) {
      closeSync(fd);
    }
  });
}

/** What the streams tell the owner of the child. */
export type StreamEvents = Pick<SpawnRequest, 'maxChunkBytes' | 'readBuffer' | 'onOutput' | 'onOutputEnd'>;

/** Our side of a running child's streams. */
export class ChildStreams {
  /** Our end of standard input until something is written: a socket is made then, and many children never need one. */
  #unusedInput: number | undefined;
  #input: Socket | undefined;
  /** Those that are open: an ended process is kept for its replay, its outputs need not be. */
  readonly #outputs: Record<OutputName, ChildOutput | undefined> = { stdout: undefined, stderr: undefined };

  /** @param ours owned from here on */
  constructor(ours: OurEnds | undefined, events: StreamEvents) {
    if (ours === undefined) {
      return;
    }
    this.#unusedInput = ours.input;
    this.#openOutput('stdout', ours.stdout, events);
    this.#openOutput('stderr', ours.stderr, events);
  }

  #openOutput(name: OutputName, fd: number, events: StreamEvents): void {
    this.#outputs[name] = new ChildOutput(name, fd, events, () => {
      this.#outputs[name] = undefined;
      events.onOutputEnd(name);
    });
  }

  /** See `Child.writeInput`. */
  writeInput(bytes: Buffer, done: () => void): void {
    if (this.#unusedInput !== undefined) {
      this.#input = openInput(this.#unusedInput);
      this.#unusedInput = undefined;
    }
    if (this.#input === undefined || this.#input.destroyed) {
      setImmediate(done);
    } else {
      this.#input.write(bytes, () => done());
    }
  }

  closeInput(): void {
    this.#input?.destroy();
    if (this.#unusedInput === undefined) {
      return;
    }
    closeSync(this.#unusedInput);
    this.#unusedInput = undefined;
  }

  resume(name: OutputName): void {
    this.#outputs[name]?.resume();
  }

  closeOutput(): void {
    this.#outputs.stdout?.close();
    this.#outputs.stderr?.close();
  }
}

function openInput(fd: number): Socket {
  const socket = new Socket({ fd, readable: false, writable: true });
  // A child that closes its end or is gone: the bytes are dropped, as the contract has it.
  socket.on('error', () => socket.destroy());
  return socket;
}
