/** `-bridge`: bytes between standard input and output and the daemon, both ways, unchanged (spec modes.md §9). */
import { flushCompileCache } from 'node:module';
import type { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Dialer, TrickleOptions } from '../../platform/dialer.ts';
import { messageOf } from '../base/error-texts.ts';
import { writeWhole } from '../base/standard-output.ts';
import type { ModeContext } from './mode.ts';

/** How long a daemon may still answer after our end of input, where that end cannot be told to it. */
const noHalfClosePatienceMs = 10_000;
/** As in platform/posix/relay.ts. */
const idleMs = 2_000;

export async function runBridge(context: ModeContext): Promise<number> {
  const { dialer } = await context.clientPlatform();
  let socket: Socket;
  try {
    socket = await dialer.dial(context.settings.socketPath, { paused: true });
  } catch (error) {
    writeWhole(2, `claustrum: dial server: ${messageOf(error)}\n`);
    return 1;
  }
  const trickle = await trickleBelow(context.environment);
  if (await dialer.relay?.(socket, { trickle })) {
    return 0;
  }
  socket.resume();
  trimWhenIdle(socket, dialer.trimMemory);
  await relay(process.stdin, process.stdout, socket, { halfClose: dialer.halfClose, trickle });
  return 0;
}

/** Once, after the first {@link idleMs} without a byte in either direction: many bridges wait for days. */
function trimWhenIdle(socket: Socket, trim: Dialer['trimMemory']): void {
  if (trim === undefined) {
    return;
  }
  let moved = -1;
  const timer = setInterval(() => {
    const now = socket.bytesRead + socket.bytesWritten;
    if (now !== moved) {
      moved = now;
      return;
    }
    clearInterval(timer);
    // The runtime keeps compiled code at its end only, and a bridge is often killed with its ssh session.
    flushCompileCache();
    void trim();
  }, idleMs).unref();
}

/** sshd names the connection in the environment of what it starts. */
async function trickleBelow({ SSH_CONNECTION: connection }: NodeJS.ProcessEnv): Promise<TrickleOptions | undefined> {
  if (connection === undefined) {
    return undefined;
  }
  const { timings } = await import('../base/timings.ts');
  return { everyMs: timings.bridgeTrickleMs, patienceMs: timings.bridgePatienceMs };
}

/**
 * Resolves when the daemon has closed and everything received from it is out, or when nobody reads `output` any more.
 * `input` may still be open then.
 */
export async function relay(
  input: Readable,
  output: Writable,
  socket: Socket,
  options: { readonly halfClose: boolean; readonly trickle: TrickleOptions | undefined },
): Promise<void> {
  // Its messages reach us as the end of `socket` or through the callbacks of the writes.
  socket.on('error', () => {});
  input.on('error', () => {});
  const down = copyDown(socket, output, options.trickle);
  const up = copyUp(input, socket).then(async (outcome) => {
    if (options.halfClose) {
      if (outcome === 'ended') {
        socket.end();
      }
      return down;
    }
    await Promise.race([down, sleep(noHalfClosePatienceMs, undefined, { ref: false })]);
  });
  await Promise.race([down, up]);
  socket.destroy();
}

/** Resolves at the end of `input`, or when the daemon takes no more. One chunk is on its way at a time. */
function copyUp(input: Readable, socket: Socket): Promise<'ended' | 'refused'> {
  return new Promise((resolve) => {
    input.on('data', (chunk: Buffer) => {
      input.pause();
      // Not `write`: that destroys the socket at the first EPIPE, and with it what the daemon said before it closed.
      socket._write(chunk, 'buffer' as BufferEncoding, (error) => {
        if (error) {
          resolve('refused');
        } else {
          input.resume();
        }
      });
    });
    input.once('end', () => resolve('ended'));
    input.once('close', () => resolve('ended'));
  });
}

/** Resolves when the daemon has closed and `output` has taken every byte, or when `output` failed. */
function copyDown(socket: Socket, output: Writable, trickle: TrickleOptions | undefined): Promise<void> {
  return new Promise((resolve) => {
    /** While the queue of `output` is full: when it took a chunk for the last time. */
    let takenAt: number | undefined;
    let readOn: NodeJS.Timeout | undefined;
    const taken = () => {
      takenAt &&= performance.now();
    };
    const drained = () => {
      clearTimeout(readOn);
      takenAt = undefined;
      socket.resume();
    };
    const write = (chunk: Buffer) => {
      if (output.write(chunk, taken)) {
        return;
      }
      socket.pause();
      if (takenAt === undefined) {
        takenAt = performance.now();
        output.once('drain', drained);
      }
      const { everyMs, patienceMs } = trickle ?? { everyMs: 0, patienceMs: 0 };
      if (performance.now() - takenAt < patienceMs) {
        // One more chunk, which waits in the queue. It is larger than what splicing takes, because streams read no less.
        readOn = setTimeout(() => socket.resume(), everyMs).unref();
      }
    };
    const finish = () => {
      // A reset can arrive while chunks wait in the stream's buffer for `output` to drain.
      for (let rest = socket.read(); rest !== null; rest = socket.read()) {
        output.write(rest);
      }
      // The callback of the last write comes after those before it.
      output.write('', () => resolve());
    };
    output.on('error', () => resolve());
    socket.on('data', write);
    socket.once('end', finish);
    socket.once('close', finish);
  });
}
