/**
 * Sessions whose keeper has died (spec durable.md §2): their output is gone, and what is left of each is a visible end, an
 * exit frame behind the last frame that is known to have been written. They can be asked for like any other ended process.
 */
import { EngineFailure } from '../../engine/failures.ts';
import { ReplayWindow, windowBytes } from '../../engine/local/replay-window.ts';
import { type ReadersOwner, SessionReaders } from '../../engine/local/session-readers.ts';
import type {
  EndRequest,
  EndResult,
  InputResult,
  Opened,
  Reader,
  ReaderRole,
  SessionExit,
  SessionInfo,
} from '../../engine/session-engine.ts';
import { FrameWriter } from '../../wire/frames.ts';
import type { Profile } from '../../wire/profile.ts';
import type { KnownSession } from './session-book.ts';

export class LostSessions {
  readonly #sessions = new Map<string, LostSession>();

  add(known: KnownSession, rules: Profile['process']): LostSession {
    const session = new LostSession(known, rules);
    this.#sessions.set(session.id, session);
    return session;
  }

  get(id: string): LostSession | undefined {
    return this.#sessions.get(id);
  }

  list(): SessionInfo[] {
    return [...this.#sessions.values()].map((session) => session.info());
  }

  /** @returns whether there was one */
  forget(id: string): boolean {
    const session = this.#sessions.get(id);
    session?.readers.finish();
    return this.#sessions.delete(id);
  }

  get ids(): string[] {
    return [...this.#sessions.keys()];
  }
}

export class LostSession implements ReadersOwner {
  readonly isComplete = true;
  readonly window: ReplayWindow;
  readonly readers = new SessionReaders(this);
  readonly exit: SessionExit;
  readonly #known: KnownSession;
  readonly #rules: Profile['process'];

  constructor(known: KnownSession, rules: Profile['process']) {
    this.#known = known;
    this.#rules = rules;
    this.exit = known.exit ?? { at: Date.now(), code: -1, signal: undefined, killedBy: undefined };
    this.window = new ReplayWindow(windowBytes, { onEvict: () => {} }, undefined, known.lastSeq);
    const frame = this.exitFrame;
    this.window.append(frame.length, (target, offset) => frame.copy(target, offset));
  }

  get id(): string {
    return this.#known.id;
  }

  get pid(): number {
    return this.#known.pid;
  }

  /** Number of the exit frame. */
  get exitSeq(): number {
    return this.#known.lastSeq + 1;
  }

  get exitFrame(): Buffer {
    const { code, signal, killedBy } = this.exit;
    return new FrameWriter(this.id).exit(this.exitSeq, { code, signal }, this.#rules.exitFrameSignal, killedBy);
  }

  receiverChanged(): void {}

  receiverTook(): void {}

  attach(fromSeq: bigint, reader: Reader, role: ReaderRole, existing: boolean): Opened {
    const { pid, startTime, applied: stdinApplied } = this.#known;
    const { firstSeq, lastSeq } = this.window;
    const mark = this.readers.attach(reader, role, Number(fromSeq));
    return { existing, running: false, firstSeq, lastSeq, stdinApplied, pid, startTime, mark };
  }

  /** As for any process that has ended (spec process.md §5.1). @throws EngineFailure */
  input(length: number, offset: bigint | undefined): InputResult {
    const { applied } = this.#known;
    if (this.#rules.stdinOffsetBeforeRunning && offset !== undefined) {
      if (offset > BigInt(applied)) {
        throw new EngineFailure('stdinGap');
      }
      if (offset < BigInt(applied) && offset + BigInt(length) <= BigInt(applied)) {
        return { applied, duplicate: true };
      }
    }
    throw new EngineFailure('processNotRunning');
  }

  end(how: EndRequest, reader: Reader | undefined): EndResult {
    const found = { found: true, died: false, alreadyExited: false, escalated: false, mark: undefined };
    if (how.how === 'signal') {
      return found;
    }
    return { ...found, died: true, alreadyExited: true, mark: this.readers.markEnd(reader) };
  }

  info(): SessionInfo {
    const { id, pid, startTime, command, args, cwd, door, spawnedAt, applied: inBytes } = this.#known;
    const { firstSeq, lastSeq, bytes } = this.window;
    return {
      ...{ id, pid, startTime, command, args, cwd, state: 'exited', spawnedAt, exit: this.exit },
      ...{ attached: this.readers.receiver !== undefined, observers: this.readers.observerCount },
      ...{ sinceAttachChange: this.exit.at, unseenExit: !this.readers.exitSeen, firstSeq, lastSeq },
      ...{ outBytes: 0, errBytes: 0, inBytes, stdinQueued: 0, stdinClosed: false, windowBytes: bytes },
      ...{ spoolBytes: 0, paced: false, door, replaced: false },
    };
  }
}
