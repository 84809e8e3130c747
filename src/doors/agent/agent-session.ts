/** One session as the server sees it: from its order to the day its last chunk is stored (spec agent.md §1, §6, §9). */
import type { OutputReader } from './output-reader.ts';
import type { OutputUpload } from './output-upload.ts';
import { type InputContext, SessionInput } from './session-input.ts';

export type AgentSessionState = 'queued' | 'running' | 'terminated';

export interface SessionEnd {
  /** `null`: a signal ended it, or nobody knows how it ended. */
  readonly exitCode: number | null;
  readonly signal: string | null;
}

export class AgentSession {
  readonly id: string;
  state: AgentSessionState = 'queued';
  pid: number | undefined;
  /** Seconds since the epoch; belongs to `pid`. */
  startTime: number | undefined;
  /** Milliseconds since the epoch. */
  startedAt: number | undefined;
  endedAt: number | undefined;
  end: SessionEnd | undefined;
  upload: OutputUpload | undefined;
  reader: OutputReader | undefined;
  readonly input: SessionInput;
  /** When it leaves the status; `undefined`: it stays. */
  listedUntil: number | undefined;
  /** Of one that waits for room: its turn has come, or it never will. */
  readonly turn = Promise.withResolvers<'start' | 'terminated'>();
  /** Resolves when its process runs, or it is clear that none will. */
  readonly startSettled = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<void>();

  constructor(id: string, context: InputContext) {
    this.id = id;
    this.input = new SessionInput(this, context);
  }

  /** Resolves when its process is gone, or never was. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  began(pid: number | undefined, startTime: number | undefined, startedAt: number): void {
    this.state = 'running';
    this.pid = pid;
    this.startTime = startTime;
    this.startedAt = startedAt;
  }

  /** @returns whether that is new */
  terminated(end: SessionEnd | undefined): boolean {
    if (this.state === 'terminated') {
      return false;
    }
    this.state = 'terminated';
    this.end = end;
    this.endedAt = Date.now();
    this.#ended.resolve();
    return true;
  }

  /** As the status report has it. */
  get report(): object {
    return {
      sessionId: this.id,
      state: this.state,
      pid: this.pid ?? null,
      processStart: this.startTime === undefined ? null : String(this.startTime),
      startedAt: isoOrNull(this.startedAt),
      endedAt: isoOrNull(this.endedAt),
      lastSeq: this.reader?.lastSeq ?? this.upload?.acceptedSeq ?? 0,
      acceptedSeq: this.upload?.acceptedSeq ?? 0,
      bufferedBytes: this.upload?.bufferedBytes ?? 0,
      exitCode: this.end?.exitCode ?? null,
      signal: this.end?.signal ?? null,
    };
  }
}

function isoOrNull(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString();
}
