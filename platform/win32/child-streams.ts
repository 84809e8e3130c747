/** Our ends of a child's three pipes. */
import type { Socket } from 'node:net';
import type { Handle } from '../../native-bindings/kernel32.ts';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import { outputReads } from '../common/read-buffer.ts';
import type { OutputName, SpawnRequest } from '../processes.ts';
import { toSocket } from './handles.ts';
import { openPipes } from './pipes.ts';

/** What the streams tell the owner of the child. */
export type StreamEvents = Pick<SpawnRequest, 'maxChunkBytes' | 'readBuffer' | 'onOutput' | 'onOutputEnd'>;

/** The child's standard handles, in their order; the caller closes them. */
export type ChildEnds = readonly [input: Handle, output: Handle, errors: Handle];

/** What the owner of a child does with its streams. */
export type Streams = Pick<ChildStreams, 'writeInput' | 'closeInput' | 'resume' | 'closeOutput' | 'abandon'>;

/** For a child on the null device: nothing is written or read. */
export const noStreams: Streams = {
  writeInput: (_bytes, done) => setImmediate(done),
  closeInput() {},
  resume() {},
  closeOutput() {},
  abandon() {},
};

export class ChildStreams {
  readonly #input: Socket;
  readonly #outputs: Readonly<Record<OutputName, Socket>>;

  /**
   * Opens all of it before there is a child: what fails afterwards could not be undone.
   * @throws WindowsError; nothing is left behind
   */
  static open(events: StreamEvents): { readonly streams: ChildStreams; readonly theirs: ChildEnds } {
    const pipes = openPipes('from us', 'to us', 'to us');
    const sockets: Socket[] = [];
    try {
      const [input, output, errors] = pipes;
      const stdin = openInput(input.ours);
      sockets.push(stdin);
      const stdout = openOutput('stdout', output.ours, events);
      sockets.push(stdout);
      const stderr = openOutput('stderr', errors.ours, events);
      return {
        streams: new ChildStreams(stdin, { stdout, stderr }),
        theirs: [input.theirs, output.theirs, errors.theirs],
      };
    } catch (error) {
      // toSocket has closed the handle it failed on; the sockets made before own theirs.
      for (const socket of sockets) {
        socket.removeAllListeners('close').destroy();
      }
      for (const pipe of pipes.slice(sockets.length + 1)) {
        kernel32.CloseHandle(pipe.ours);
      }
      for (const pipe of pipes) {
        kernel32.CloseHandle(pipe.theirs);
      }
      throw error;
    }
  }

  private constructor(input: Socket, outputs: Readonly<Record<OutputName, Socket>>) {
    this.#input = input;
    this.#outputs = outputs;
  }

  /** See `Child.writeInput`. */
  writeInput(bytes: Buffer, done: () => void): void {
    if (this.#input.destroyed) {
      setImmediate(done);
    } else {
      this.#input.write(bytes, () => done());
    }
  }

  closeInput(): void {
    this.#input.destroy();
  }

  resume(name: OutputName): void {
    this.#outputs[name].resume();
  }

  closeOutput(): void {
    this.#outputs.stdout.destroy();
    this.#outputs.stderr.destroy();
  }

  /** For a child that never came to be: nobody is told anything. */
  abandon(): void {
    for (const socket of [this.#input, this.#outputs.stdout, this.#outputs.stderr]) {
      socket.removeAllListeners('close').destroy();
    }
  }
}

function openInput(handle: Handle): Socket {
  const socket = toSocket(handle, { readable: false, writable: true });
  // A child that closes its end or is gone: the bytes are dropped, as the contract has it.
  socket.on('error', () => socket.destroy());
  return socket;
}

function openOutput(name: OutputName, handle: Handle, events: StreamEvents): Socket {
  const socket = toSocket(handle, { readable: true, writable: false, onread: outputReads(name, events) });
  socket.on('error', () => socket.destroy());
  socket.on('close', () => events.onOutputEnd(name));
  return socket;
}
