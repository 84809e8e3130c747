/**
 * Instructions of the server, each carried out once and acknowledged as often as it came (spec agent.md §5). Those of one
 * session in their order, those of different sessions beside each other.
 */

import { messageOf, reportOf } from '../../base/error-texts.ts';
import { KeyedQueue } from '../../base/keyed-queue.ts';
import type { DeliveryQueue } from './delivery-queue.ts';
import type { ErrorReports } from './error-reports.ts';
import { type Instruction, readInstruction } from './instruction.ts';
import type { InstructionEntry, InstructionFailure, InstructionLog } from './instruction-log.ts';
import type { AgentLog } from './log.ts';
import { Refusal } from './refusal.ts';
import type { AgentSessions } from './sessions.ts';

export interface InstructionsOptions {
  readonly entries: InstructionLog;
  readonly sessions: AgentSessions;
  readonly acknowledgements: DeliveryQueue;
  readonly errors: ErrorReports;
  readonly log: AgentLog;
}

/** One that is being carried out. */
interface UnderWay {
  /** How often it came. */
  times: number;
}

/** One hostile answer must not take more. */
const mostAtOnce = 200;

export class Instructions {
  readonly #options: InstructionsOptions;
  readonly #underWay = new Map<string, UnderWay>();
  /** One after the other for each session. */
  readonly #order = new KeyedQueue();

  constructor(options: InstructionsOptions) {
    this.#options = options;
  }

  /** Takes what a poll has brought. @returns whether one of them was not seen before */
  take(values: readonly unknown[]): boolean {
    let isNew = false;
    if (values.length > mostAtOnce) {
      this.#options.log.error(`The server sent ${values.length} instructions at once; ${mostAtOnce} are looked at`);
    }
    for (const value of values.slice(0, mostAtOnce)) {
      isNew = this.#takeOne(value) || isNew;
    }
    return isNew;
  }

  /** Resolves when nothing is being carried out. */
  async settled(): Promise<void> {
    while (this.#order.size > 0 || this.#underWay.size > 0) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  #takeOne(value: unknown): boolean {
    const read = readInstruction(value);
    if ('fault' in read) {
      return this.#tellBad(read.fault, read.id, read.sessionId);
    }
    const { instruction } = read;
    const { id } = instruction;
    const known = this.#underWay.get(id);
    if (known !== undefined) {
      known.times++;
      return false;
    }
    const stored = this.#options.entries.get(id);
    if (stored !== undefined && stored.state !== 'begun') {
      this.#acknowledge(instruction, stored.state, stored.error);
      return false;
    }
    this.#underWay.set(id, { times: 1 });
    void this.#carryOut(instruction, stored);
    return true;
  }

  #tellBad(fault: string, id: string | undefined, sessionId: string | undefined): boolean {
    const { log, errors, entries } = this.#options;
    const stored = id === undefined ? undefined : entries.get(id);
    if (id !== undefined && stored !== undefined) {
      this.#acknowledge({ id, sessionId }, 'failed', stored.error);
      return false;
    }
    const message = `bad instruction ${id ?? ''}: ${fault}`;
    log.error(message);
    errors.report('bad_instruction', message, { sessionId, instructionId: id });
    if (id !== undefined) {
      const error: InstructionFailure = { code: 'bad_instruction', message };
      entries.write({ id, sessionId, state: 'failed', error }).catch((reason: unknown) => log.error(messageOf(reason)));
      this.#acknowledge({ id, sessionId }, 'failed', error);
    }
    return id !== undefined;
  }

  async #carryOut(instruction: Instruction, before: InstructionEntry | undefined): Promise<void> {
    const { log, entries, errors } = this.#options;
    const { id, sessionId, type } = instruction;
    log.info(`Received instruction: ${type} (${sessionId})`);
    let error: InstructionFailure | undefined;
    try {
      // The turn ends when the next instruction of the session may begin; the outcome may come later.
      const { end } = await this.#order.run(sessionId, () => this.#begin(instruction, before));
      await end;
    } catch (reason) {
      error = this.#asFailure(reason, instruction);
    }
    const state = error === undefined ? 'done' : 'failed';
    await entries.write({ id, sessionId, state, error }).catch((reason: unknown) => {
      log.error(`The result of instruction ${id} cannot be stored: ${messageOf(reason)}`);
    });
    if (error !== undefined) {
      errors.report(error.code, error.message, { sessionId, instructionId: id });
    }
    const { times } = this.#underWay.get(id) ?? { times: 1 };
    this.#underWay.delete(id);
    for (let time = 0; time < times; time++) {
      this.#acknowledge(instruction, state, error);
    }
  }

  #asFailure(reason: unknown, { id, type }: Instruction): InstructionFailure {
    const { log } = this.#options;
    if (reason instanceof Refusal) {
      const message = log.safe(reason.message);
      log.warn(`Instruction ${id} (${type}) failed: ${reason.code}: ${message}`);
      return { code: reason.code, message };
    }
    log.error(`Instruction ${id} (${type}) failed: ${reportOf(reason)}`);
    return { code: 'internal', message: log.safe(messageOf(reason)) };
  }

  /** @returns what is still to come, in an object of its own so that nobody waits for it here. @throws Refusal */
  async #begin(
    instruction: Instruction,
    before: InstructionEntry | undefined,
  ): Promise<{ readonly end: Promise<void> }> {
    const { sessions, entries } = this.#options;
    const { id, sessionId } = instruction;
    const begin = (): Promise<void> => entries.write({ id, sessionId, state: 'begun' });
    switch (instruction.type) {
      case 'start_session': {
        if (before !== undefined && sessions.wasStarted(sessionId)) {
          return { end: sessions.finishStart(sessionId, instruction.start) };
        }
        const { session, waits } = sessions.admit(sessionId);
        if (waits) {
          this.#acknowledge(instruction, 'queued', undefined);
        }
        const started = sessions.start(session, waits, instruction.start, begin);
        if (!waits) {
          await started;
        }
        return { end: started.then(({ typed }) => typed) };
      }
      case 'command':
        if (before !== undefined) {
          throw new Refusal(
            'unknown_outcome',
            'the agent ended while it was typing this command; it is not typed again',
          );
        }
        return { end: sessions.input(sessionId, instruction.input, begin) };
      case 'terminate_session':
        await begin();
        await sessions.terminate(sessionId, instruction.graceMs);
        return { end: Promise.resolve() };
    }
  }

  #acknowledge(
    { id, sessionId }: { readonly id: string; readonly sessionId: string | undefined },
    result: 'done' | 'failed' | 'queued',
    error: InstructionFailure | undefined,
  ): void {
    const body = { id, sessionId, result, error: error ?? null, at: new Date().toISOString() };
    this.#options.acknowledgements.push({ route: `/instructions/${encodeURIComponent(id)}/ack`, body });
  }
}
