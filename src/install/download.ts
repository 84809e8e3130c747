/** Downloads `-cli-url` into a file, within bounds, and computes the checksum on the way (spec install.md §4). */
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Paths } from '../../platform/paths.ts';
import type { FetchFigures } from './facts.ts';
import { InstallFailure } from './failure.ts';
import { type Answer, type GetOptions, get } from './http-get.ts';
import { readReason } from './network-errors.ts';
import type { Progress } from './progress.ts';

export interface DownloadRequest extends Omit<GetOptions, 'signal'> {
  readonly url: string;
  /** Appends to the file. Fails with the contract's text. */
  write(bytes: Buffer): Promise<void>;
  /** Updated as the download goes on, so they are right for a failed one too. */
  readonly figures: FetchFigures;
  readonly progress: Progress;
  /** 0: no limit. */
  readonly maxBytes: number;
  /** Limit of the whole download; 0: none. */
  readonly timeoutMs: number;
  /** Whether a body that breaks off has a text of its own. */
  readonly namesInterruption: boolean;
}

/** @returns the SHA-256 in lower-case hex. @throws InstallFailure, whole `cliError` text */
export async function download(request: DownloadRequest): Promise<string> {
  const { figures } = request;
  const started = performance.now();
  const lifetime = new AbortController();
  const deadline = request.timeoutMs === 0 ? undefined : setTimeout(expire, request.timeoutMs);
  let body: IncomingMessage | undefined;
  function expire(): void {
    lifetime.abort(
      new InstallFailure(
        body === undefined
          ? 'context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
          : 'context deadline exceeded (Client.Timeout or context cancellation while reading body)',
      ),
    );
  }
  try {
    const answer = await failing(get(request.url, { ...request, signal: lifetime.signal }));
    body = answer.body;
    if (answer.status !== 200) {
      throw new InstallFailure(`download failed with status ${answer.status}`);
    }
    request.progress.start(answer.length);
    return await receive(answer, request, lifetime.signal);
  } finally {
    clearTimeout(deadline);
    request.progress.stop();
    // A reset after we have given up the answer must not end the process.
    body?.on('error', () => {}).destroy();
    figures.ms = Math.floor(performance.now() - started);
  }
}

async function failing<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw new InstallFailure(`download failed: ${(error as Error).message}`, { cause: error });
  }
}

async function receive(answer: Answer, request: DownloadRequest, signal: AbortSignal): Promise<string> {
  const { figures, maxBytes } = request;
  const hash = createHash('sha256');
  const reader = answer.body[Symbol.asyncIterator]();
  for (;;) {
    const asked = performance.now();
    let step: IteratorResult<Buffer>;
    try {
      step = await nextPiece(reader, answer, request, signal);
    } finally {
      figures.longestPauseMs = Math.max(figures.longestPauseMs, Math.floor(performance.now() - asked));
    }
    if (step.done === true) {
      return hash.digest('hex');
    }
    const bytes = step.value;
    figures.bytes += bytes.length;
    request.progress.count(figures.bytes);
    if (maxBytes !== 0 && figures.bytes > maxBytes) {
      throw new InstallFailure(`download failed: response exceeds ${maxBytes} bytes`);
    }
    hash.update(bytes);
    await failing(request.write(bytes));
  }
}

/** Reads the next bytes of the body, which must come within `readIdleMs`. */
async function nextPiece(
  reader: AsyncIterator<Buffer>,
  answer: Answer,
  request: DownloadRequest,
  signal: AbortSignal,
): Promise<IteratorResult<Buffer>> {
  const { readIdleMs } = request.timings;
  const got = `${request.figures.bytes}/${answer.length ?? 0} bytes`;
  let waiting = true;
  let failure: InstallFailure | undefined;
  const end = (reason: InstallFailure): void => {
    if (!waiting) {
      return;
    }
    failure = reason;
    answer.body.destroy(reason);
  };
  const stalled = (): void =>
    end(new InstallFailure(`download stalled: no data for ${readIdleMs / 1_000}s after ${got}`));
  // After the machine has slept, or a write has blocked us, the timer is late and bytes may have come. They are read first.
  const timer = setTimeout(() => setImmediate(stalled), readIdleMs);
  const onAbort = (): void => end(new InstallFailure(`download failed: ${signal.reason.message}`));
  signal.addEventListener('abort', onAbort);
  if (signal.aborted) {
    onAbort();
  }
  try {
    const step = await reader.next();
    if (step.done === true && answer.endsWithConnection) {
      throwIfAny(answer.brokenBy());
    }
    return step;
  } catch (error) {
    if (failure !== undefined) {
      throw failure;
    }
    const reason = bodyReason(answer, request.paths);
    throw new InstallFailure(
      request.namesInterruption ? `download interrupted after ${got}: ${reason}` : `download failed: ${reason}`,
      { cause: error },
    );
  } finally {
    waiting = false;
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}

function throwIfAny(error: Error | undefined): void {
  if (error !== undefined) {
    throw error;
  }
}

function bodyReason(answer: Answer, paths: Paths): string {
  const broken = answer.brokenBy();
  const isClose =
    broken === undefined || ((broken as NodeJS.ErrnoException).code === 'ECONNRESET' && !('syscall' in broken));
  return isClose ? 'unexpected EOF' : readReason(broken, answer.ends, paths);
}
