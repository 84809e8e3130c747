/**
 * The sessions of an agent: started, typed into and ended as the server orders, found again after the agent's own death
 * (spec agent.md §6, §9). The processes live in the host daemon; here is what the server knows of them.
 */

import { messageOf } from '../../base/error-texts.ts';
import { HoldfastError, type SessionInfo } from '../../client/index.ts';
import { AgentSession, type SessionEnd } from './agent-session.ts';
import type { DeliveryContext } from './delivery-queue.ts';
import { endProcess } from './end-process.ts';
import type { ErrorReports } from './error-reports.ts';
import type { HostDaemon, StartRequest } from './host-daemon.ts';
import type { InputOrder, StartOrder } from './instruction.ts';
import { OutputReader } from './output-reader.ts';
import { OutputUpload } from './output-upload.ts';
import { pause } from './pauses.ts';
import { Refusal } from './refusal.ts';
import { hasEnded } from './session-input.ts';
import type { SessionJournal, SessionNote } from './session-journal.ts';
import type { AgentSettings } from './settings.ts';
import { StartTurns } from './start-turns.ts';

export interface SessionsOptions extends DeliveryContext {
  readonly settings: Pick<
    AgentSettings,
    'maxConcurrentSessions' | 'outputFlushInterval' | 'inputFormat' | 'spoolBytes'
  >;
  readonly daemon: HostDaemon;
  readonly journal: SessionJournal;
  readonly errors: ErrorReports;
  /** @throws Refusal */
  plan(id: string, order: StartOrder): Promise<StartRequest>;
  /** Whether INT and TERM ask a process to end; else they end it at once. */
  readonly signalsAsk: boolean;
  /** Ends what a session has left outside its group. */
  endStrays(id: string): Promise<number>;
  /** The state of a session is another one. */
  changed(): void;
}

/** What an escalated kill is waited for, and a daemon that is being started again between two attempts. */
const daemonRetryMs = 500;

export class AgentSessions {
  readonly #options: SessionsOptions;
  readonly #byId = new Map<string, AgentSession>();
  readonly #turns: StartTurns;
  #isStopping = false;

  constructor(options: SessionsOptions) {
    this.#options = options;
    this.#turns = new StartTurns(options.settings.maxConcurrentSessions, () => this.runningCount);
  }

  get all(): readonly AgentSession[] {
    const now = Date.now();
    for (const session of this.#byId.values()) {
      if (session.listedUntil !== undefined && session.listedUntil <= now) {
        this.#byId.delete(session.id);
      }
    }
    return [...this.#byId.values()];
  }

  get runningCount(): number {
    return this.all.filter(({ state }) => state === 'running').length;
  }

  get queuedCount(): number {
    return this.#turns.waitingCount;
  }

  // ---- after a start of the agent

  /** Sessions of an earlier life of the agent go on where the server has them. @throws HoldfastError */
  async findAgain(): Promise<void> {
    const { daemon, journal } = this.#options;
    const living = new Map((await daemon.sessions()).map((session) => [session.id, session]));
    for (const note of journal.open) {
      const found = living.get(note.id);
      this.#takeUp(found === undefined ? this.#lostSession(note) : this.#foundSession(found), note, found);
    }
    for (const [id, found] of living) {
      if (journal.get(id) === undefined) {
        this.#takeUp(this.#foundSession(found), { id }, found);
      }
    }
  }

  #foundSession({ id, pid, startTime, spawnedAt }: SessionInfo): AgentSession {
    const session = new AgentSession(id, this.#options);
    session.began(pid, startTime, spawnedAt);
    return session;
  }

  #lostSession({ id, pid, startTime, startedAt }: SessionNote): AgentSession {
    const session = new AgentSession(id, this.#options);
    session.began(pid, startTime, startedAt ?? Date.now());
    return session;
  }

  #takeUp(session: AgentSession, note: SessionNote, found: SessionInfo | undefined): void {
    this.#byId.set(session.id, session);
    this.#stream(session, note.accepted ?? 0);
    if (found === undefined) {
      this.#gone(session);
    } else if (found.state === 'exited') {
      session.terminated({ exitCode: exitCodeOf(found), signal: found.signal ?? null });
    }
    this.#options.changed();
  }

  // ---- start

  /**
   * Whether one more start can be carried out at once. One that cannot waits in `queued`.
   * @throws Refusal
   */
  admit(id: string): { readonly session: AgentSession; readonly waits: boolean } {
    if (this.#isStopping) {
      throw new Refusal('session_terminated', 'the agent is stopping');
    }
    if (this.#byId.has(id) || this.#options.journal.get(id) !== undefined) {
      throw new Refusal('session_exists', `session ${id} exists already`);
    }
    const session = new AgentSession(id, this.#options);
    const waits = this.#turns.take(session);
    this.#byId.set(id, session);
    if (waits) {
      this.#options.changed();
    }
    return { session, waits };
  }

  /**
   * Starts the process of an admitted session, when its turn has come. Resolves when there is one.
   * @param begin called right before the process is asked for
   * @returns `typed` resolves when it has the prompt, or will never get it
   * @throws Refusal
   */
  async start(
    session: AgentSession,
    waits: boolean,
    order: StartOrder,
    begin: () => Promise<void>,
  ): Promise<{ readonly typed: Promise<void> }> {
    if (waits && (await session.turn.promise) === 'terminated') {
      throw new Refusal('session_terminated', `session ${session.id} was terminated before it was started`);
    }
    try {
      await this.#startNow(session, order, begin);
    } catch (error) {
      this.#neverStarted(session);
      throw error;
    } finally {
      session.startSettled.resolve();
      this.#turns.settled();
    }
    const typed = this.#typePrompt(session, order);
    void session.input.handOver();
    return { typed };
  }

  /** In front of everything: what waits was ordered later. */
  async #typePrompt(session: AgentSession, { prompt }: StartOrder): Promise<void> {
    if (prompt !== undefined) {
      await session.input.type({ text: prompt }, async () => {}, 'first').catch(() => {});
    }
  }

  /**
   * The agent died after it had started this process: the prompt is typed now if nothing was typed yet.
   * @throws HoldfastError
   */
  async finishStart(id: string, order: StartOrder): Promise<void> {
    const session = this.#byId.get(id);
    if (session?.state === 'running' && (await this.#options.daemon.inputBytes(id)) === 0) {
      await this.#typePrompt(session, order);
    }
  }

  async #startNow(session: AgentSession, order: StartOrder, begin: () => Promise<void>): Promise<void> {
    const { daemon, journal, log, signal } = this.#options;
    const { id } = session;
    const request = await this.#options.plan(id, order);
    await begin();
    for (;;) {
      try {
        const { pid, startTime } = await daemon.start(request);
        const startedAt = Date.now();
        journal.note({ id, pid, startTime, startedAt, over: false });
        session.began(pid, startTime, startedAt);
        break;
      } catch (error) {
        if (isOutOfReach(error) && !signal.aborted) {
          await pause(daemonRetryMs, signal);
          continue;
        }
        throw asRefusal(error, request);
      }
    }
    log.info(`Session started: ${id}`);
    this.#stream(session, 0);
    log.info(`Streaming output for ${id}`);
    this.#options.changed();
  }

  /** A process that was asked for before the agent died. @returns whether there is one */
  wasStarted(id: string): boolean {
    return this.#byId.get(id)?.startedAt !== undefined || this.#options.journal.get(id) !== undefined;
  }

  #neverStarted(session: AgentSession): void {
    session.terminated(undefined);
    session.listedUntil = Date.now() + this.#options.timings.listedMs;
    session.input.refuse();
    this.#options.changed();
  }

  // ---- output

  #stream(session: AgentSession, accepted: number): void {
    const { id } = session;
    const { daemon, journal, errors, settings, log, signal } = this.#options;
    const upload = new OutputUpload({
      ...this.#options,
      sessionId: id,
      flushMs: settings.outputFlushInterval,
      accepted,
      sending: (sent) => journal.note({ id, sent }),
      stored: (lastSeq) => journal.note({ id, accepted: lastSeq }),
      readAgain: (lastSeq) => session.reader?.readFrom(lastSeq),
      lost: (code, from, to) => errors.gap(code, id, from, to),
      deleted: () => {
        log.info(`The server has deleted ${id}`);
        void this.terminate(id, undefined).catch((error: unknown) => log.error(messageOf(error)));
      },
    });
    session.upload = upload;
    session.reader = new OutputReader({
      sessionId: id,
      target: daemon.readerTarget,
      ...{ upload, log, signal },
      gap: (from, to) => {
        log.warn(`Output of ${id} lost: ${from}..${to} (spool of ${settings.spoolBytes} bytes is full)`);
        errors.gap('output_gap', id, from, to);
      },
      exited: (exitCode, how) => {
        if (exitCode === null && how === null) {
          errors.report('agent_crashed', `session ${id} is gone: its keeper has died`, { sessionId: id });
        }
        this.#ended(session, { exitCode, signal: how });
      },
      gone: () => this.#gone(session),
    });
    void upload.finished.then(() => this.#checkOver(session));
  }

  /** It has ended, and the server has it all, or wants no more of it. */
  #checkOver(session: AgentSession): void {
    const { journal, daemon, timings, log, signal } = this.#options;
    const { id, reader, upload, state } = session;
    if (state !== 'terminated' || upload?.isOver !== true) {
      return;
    }
    reader?.stop();
    journal.note({ id, over: true });
    session.listedUntil = Date.now() + timings.listedMs;
    if (!signal.aborted) {
      daemon.seen(id, reader?.lastSeq ?? 0).catch((error: unknown) => log.debug(messageOf(error)));
    }
    this.#options.changed();
  }

  /** The daemon does not know it: it died with its keeper. */
  #gone(session: AgentSession): void {
    const { journal, errors } = this.#options;
    const { id, upload } = session;
    errors.report('agent_crashed', `session ${id} is gone: the host daemon does not know it any more`, {
      sessionId: id,
    });
    // Numbers that may have been used must not be used for this chunk.
    const note = journal.get(id);
    const seq = Math.max(note?.sent ?? 0, upload?.acceptedSeq ?? 0, session.reader?.lastSeq ?? 0) + 1;
    upload?.push({ seq, stream: 'exit', ts: Date.now(), exitCode: null, signal: null });
    this.#ended(session, { exitCode: null, signal: null });
  }

  #ended(session: AgentSession, end: SessionEnd): void {
    if (session.terminated(end)) {
      this.#options.log.info(`Session terminated: ${session.id}`);
      session.input.refuse();
      this.#turns.fillRoom();
      this.#options.changed();
      this.#checkOver(session);
    }
  }

  // ---- input

  /**
   * Resolves when the process has the bytes.
   * @param begin called right before they are handed over
   * @throws Refusal
   */
  async input(id: string, input: InputOrder, begin: () => Promise<void>): Promise<void> {
    const session = this.#byId.get(id);
    if (session === undefined) {
      const wasOurs = this.#options.journal.get(id) !== undefined;
      throw wasOurs ? hasEnded(id) : new Refusal('no_such_session', `there is no session ${id}`);
    }
    if (session.state === 'terminated') {
      throw hasEnded(id);
    }
    await session.input.type(input, begin, 'last');
    this.#options.log.info(`Command sent to ${id}`);
  }

  // ---- end

  /**
   * End of input, INT, TERM, KILL, and what it has left; resolves when the process is gone (spec agent.md §6.3). One that is
   * not known, or has ended, is ended already.
   */
  async terminate(id: string, graceMs: number | undefined): Promise<void> {
    const { daemon, timings, signalsAsk, endStrays, log, signal } = this.#options;
    const session = this.#byId.get(id);
    if (session === undefined) {
      return;
    }
    if (session.state === 'queued') {
      this.#unqueue(session);
      await session.startSettled.promise;
    }
    if (session.state === 'running') {
      await endProcess(daemon, id, graceMs ?? timings.graceMs, signalsAsk);
      await Promise.race([session.ended, pause(daemonRetryMs, signal)]);
    }
    const ended = await endStrays(id);
    if (ended > 0) {
      log.info(`Ended ${ended} process(es) that ${id} had left`);
    }
  }

  /** Its turn never comes. One that is being started already is waited for. */
  #unqueue(session: AgentSession): void {
    if (this.#turns.withdraw(session)) {
      this.#neverStarted(session);
      session.startSettled.resolve();
    }
  }

  /** At the stop of the agent: nothing is started any more, and every session is ended at the same time. */
  async terminateAll(graceMs: number): Promise<void> {
    this.#isStopping = true;
    await Promise.allSettled(this.all.map(({ id }) => this.terminate(id, graceMs)));
  }

  /** KILL to every group, now. */
  async killAll(): Promise<void> {
    const running = this.all.filter(({ state }) => state === 'running');
    await Promise.allSettled(running.map(({ id }) => this.#options.daemon.kill(id)));
  }

  /** Resolves when the server has the output of every session that has ended. */
  async delivered(): Promise<void> {
    const uploads = this.all.map(({ upload }) => upload).filter((upload) => upload !== undefined);
    for (const upload of uploads) {
      upload.flush();
    }
    const ended = this.all.filter(({ state }) => state === 'terminated');
    await Promise.all(ended.map(({ upload }) => upload?.finished));
  }
}

function exitCodeOf({ exitCode, signal }: SessionInfo): number | null {
  return signal !== undefined || exitCode === undefined || exitCode < 0 ? null : exitCode;
}

/** The daemon is being started again, or has just died. */
function isOutOfReach(error: unknown): boolean {
  return error instanceof HoldfastError && (error.kind === 'refused' || error.kind === 'closed');
}

function asRefusal(error: unknown, { launcher }: StartRequest): Refusal {
  const message = messageOf(error);
  const isLauncher = launcher !== undefined && error instanceof HoldfastError && /launcher/.test(message);
  return new Refusal(isLauncher ? 'launcher_refused' : 'spawn_failed', message, { cause: error });
}
