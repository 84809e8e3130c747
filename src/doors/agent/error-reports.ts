/** What went wrong, told to the server: not too much of the same (spec agent.md §11). */
import { randomUUID } from 'node:crypto';
import { type DeliveryContext, DeliveryQueue } from './delivery-queue.ts';
import type { FailureCode } from './instruction-log.ts';

export type ReportCode = FailureCode | 'output_gap' | 'output_rejected' | 'chunk_too_large' | 'agent_crashed';

export interface ReportDetails {
  readonly sessionId?: string | undefined;
  readonly instructionId?: string | undefined;
}

const mostWaiting = 100;

export class ErrorReports {
  readonly #queue: DeliveryQueue;
  readonly #context: DeliveryContext;
  /** `performance.now()` of the last report by code and session. */
  readonly #last = new Map<string, number>();

  constructor(context: DeliveryContext) {
    this.#context = context;
    this.#queue = new DeliveryQueue('error report', mostWaiting, context);
  }

  report(code: ReportCode, message: string, { sessionId, instructionId }: ReportDetails = {}): void {
    if (!this.#isRepeated(`${code} ${sessionId ?? ''}`)) {
      this.#send({ code, message: this.#context.log.safe(message), sessionId, instructionId });
    }
  }

  /** Numbers that will never come: the server counts on behind them, so each such report is sent. */
  gap(code: 'output_gap' | 'output_rejected' | 'chunk_too_large', sessionId: string, from: number, to: number): void {
    const message = `output ${from}..${to} of session ${sessionId} is lost`;
    if (code !== 'output_gap') {
      this.report(code, message, { sessionId });
    }
    if (!this.#isRepeated(`gap ${sessionId} ${from} ${to}`)) {
      this.#send({ code: 'output_gap', message, sessionId, from, to });
    }
  }

  /** Resolves when all were delivered. */
  settled(): Promise<void> {
    return this.#queue.settled();
  }

  #send(report: object): void {
    const { id, at } = { id: randomUUID(), at: new Date().toISOString() };
    this.#queue.push({ route: '/errors', body: { id, ...report, fatal: false, at } });
  }

  #isRepeated(what: string): boolean {
    const now = performance.now();
    for (const [known, at] of this.#last) {
      if (now - at > this.#context.timings.sameErrorMs) {
        this.#last.delete(known);
      }
    }
    if (this.#last.has(what)) {
      return true;
    }
    this.#last.set(what, now);
    return false;
  }
}
