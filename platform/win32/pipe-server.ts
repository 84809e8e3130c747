/** The listening side of an owner-only pipe: a few instances wait for a client at any time. */
import type { Socket } from 'node:net';
import type { Handle } from '../../native-bindings/kernel32.ts';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import type { Out } from '../../native-bindings/out.ts';
import type { ListenerEvents } from '../transport.ts';
import { opened, toSocket } from './handles.ts';
import { rememberPeer } from './peer-credentials.ts';
import { ownerOnly } from './security.ts';
import { lastError, WindowsError } from './system-errors.ts';
import { whenSignalled } from './wait.ts';

/** Like the backlog of a socket: this many clients may arrive in one turn of our loop without seeing "busy". */
const waitingInstances = 4;
const bufferBytes = 65_536;
const retryMs = 1_000;

/** An instance nobody has connected to yet. The structure must stay where it is while the system may write to it. */
interface Waiting {
  readonly pipe: Handle;
  readonly event: Handle;
  readonly overlapped: Buffer;
}

export class PipeServer {
  readonly #name: string;
  readonly #events: ListenerEvents;
  readonly #waiting = new Set<Waiting>();
  #first: Handle | undefined;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  /**
   * Takes the name; nobody is accepted before `accept`.
   * @throws WindowsError `Access is denied.` when the name exists already, whoever made it
   */
  constructor(name: string, events: ListenerEvents) {
    this.#name = name;
    this.#events = events;
    this.#first = createFirstInstance(name);
  }

  /** @throws WindowsError */
  accept(): void {
    if (this.#first === undefined) {
      return;
    }
    const first = this.#first;
    this.#first = undefined;
    this.#await(first);
    this.#replenish();
  }

  /** Stops accepting; connections that were handed out live on. */
  close(): void {
    if (this.#closed) {
      return;
    }
    this.#closed = true;
    clearTimeout(this.#retry);
    if (this.#first !== undefined) {
      kernel32.CloseHandle(this.#first);
    }
    // Signals the event, so each instance is closed where it would have been accepted.
    for (const { pipe, overlapped } of this.#waiting) {
      kernel32.CancelIoEx(pipe, kernel32.addressOf(overlapped));
    }
  }

  #replenish(): void {
    if (this.#closed) {
      return;
    }
    try {
      while (this.#waiting.size < waitingInstances) {
        this.#await(createInstance(this.#name, 0));
      }
    } catch (error) {
      this.#events.onError(error as Error);
      this.#retry ??= setTimeout(() => {
        this.#retry = undefined;
        this.#replenish();
      }, retryMs);
    }
  }

  /** Owns the pipe from here on. @throws WindowsError */
  #await(pipe: Handle): void {
    let event: Handle | undefined;
    try {
      event = opened(kernel32.CreateEventW(null, 1, 0, null), 'CreateEvent');
      const waiting: Waiting = { pipe, event, overlapped: Buffer.alloc(kernel32.OVERLAPPED_BYTES) };
      waiting.overlapped.writeBigUInt64LE(event, kernel32.OVERLAPPED_EVENT);
      whenSignalled(event, () => this.#arrived(waiting));
      this.#waiting.add(waiting);
      this.#connect(waiting);
    } catch (error) {
      if (event !== undefined) {
        kernel32.CloseHandle(event);
      }
      kernel32.CloseHandle(pipe);
      throw error;
    }
  }

  #connect({ pipe, event, overlapped }: Waiting): void {
    if (kernel32.ConnectNamedPipe(pipe, kernel32.addressOf(overlapped))) {
      return;
    }
    const failure = lastError('ConnectNamedPipe');
    if (failure.number === kernel32.ERROR_IO_PENDING) {
      return;
    }
    // A client was faster (or has come and gone): the system leaves the event alone then.
    overlapped.fill(0, 0, 16);
    if (failure.number !== kernel32.ERROR_PIPE_CONNECTED) {
      overlapped.writeUInt32LE(statusUnsuccessful, 0);
    }
    kernel32.SetEvent(event);
  }

  #arrived(waiting: Waiting): void {
    this.#waiting.delete(waiting);
    const { pipe, event, overlapped } = waiting;
    const connected = kernel32.GetOverlappedResult(pipe, kernel32.addressOf(overlapped), [0], 0);
    kernel32.CloseHandle(event);
    // The spare comes first: from the moment a client has the instance the next one needs another.
    this.#replenish();
    if (!connected || this.#closed) {
      kernel32.CloseHandle(pipe);
      return;
    }
    let socket: Socket;
    try {
      socket = toSocket(pipe, { readable: true, writable: true });
      rememberPeer(socket, pipe, 'client');
    } catch (error) {
      this.#events.onError(error as Error);
      return;
    }
    this.#events.onConnection(socket);
  }
}

/** NTSTATUS in OVERLAPPED.Internal that GetOverlappedResult reports as a failure. */
const statusUnsuccessful = 0xc000_0001;

/** @throws WindowsError */
function createFirstInstance(name: string): Handle {
  const call = `CreateNamedPipe ${name}`;
  const pipe = createInstance(name, kernel32.FILE_FLAG_FIRST_PIPE_INSTANCE);
  const instances: Out<number> = [0];
  const asked = kernel32.GetNamedPipeHandleStateW(pipe, null, instances, null, null, null, 0);
  if (asked && instances[0] === 1) {
    return pipe;
  }
  // Looked at once more, because not every system heeds the flag (Wine 8 does not).
  const failure = asked ? new WindowsError(call, kernel32.ERROR_ACCESS_DENIED) : lastError(call);
  kernel32.CloseHandle(pipe);
  throw failure;
}

function createInstance(name: string, flags: number): Handle {
  return opened(
    kernel32.CreateNamedPipeW(
      name,
      kernel32.PIPE_ACCESS_DUPLEX | kernel32.FILE_FLAG_OVERLAPPED | flags,
      kernel32.PIPE_REJECT_REMOTE_CLIENTS,
      kernel32.PIPE_UNLIMITED_INSTANCES,
      bufferBytes,
      bufferBytes,
      0,
      ownerOnly(),
    ),
    `CreateNamedPipe ${name}`,
  );
}
