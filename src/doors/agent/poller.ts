/** Asks the server for instructions, never twice at the same time (spec agent.md §5). */
import type { DeliveryContext } from './delivery-queue.ts';
import { jittered, pause } from './pauses.ts';
import type { AgentServer } from './server.ts';
import { fieldOf, verdictOf } from './verdict.ts';

export interface PollerOptions extends Omit<DeliveryContext, 'server'> {
  readonly server: Pick<AgentServer, 'get'>;
  /** Milliseconds from the end of one poll to the next. */
  readonly pollInterval: number;
  /** Takes what came, in order. @returns whether one of them was new */
  take(instructions: readonly unknown[]): boolean;
}

const route = '/instructions?max=20';
/** So many polls follow each other at once while each brings something new. */
const mostAtOnce = 10;
const [leastInterval, mostInterval] = [100, 3_600_000];

/** Polls until `signal` is aborted. */
export async function poll(options: PollerOptions): Promise<void> {
  const { server, token, timings, log, signal } = options;
  let failures = 0;
  let atOnce = 0;
  /** What the server last wished. */
  let interval = options.pollInterval;
  while (!signal.aborted) {
    const answer = await server.get(route);
    if (signal.aborted) {
      return;
    }
    const verdict = verdictOf(answer);
    if (verdict.is === 'done') {
      if (failures > 0) {
        log.info('The server answers again');
      }
      failures = 0;
      token.accepted();
      const wanted = fieldOf(verdict.body, 'pollInterval');
      interval = typeof wanted === 'number' && Number.isFinite(wanted) ? clamped(wanted) : options.pollInterval;
      const isNew = options.take(instructionsIn(verdict.body));
      log.debug(`Polled: status ${answer.status}`);
      atOnce = isNew ? atOnce + 1 : 0;
      if (isNew && atOnce <= mostAtOnce) {
        continue;
      }
      atOnce = 0;
      await pause(interval, signal);
      continue;
    }
    atOnce = 0;
    if (verdict.is === 'refused') {
      token.refused(verdict.why, 'poll');
      await pause(timings.refusedMs, signal);
      continue;
    }
    failures++;
    const reason = answer.status === undefined ? answer.reason : `status ${answer.status}`;
    if (failures === 1) {
      log.warn(`The server does not answer as it should: ${reason}`);
    }
    const asked = verdict.is === 'again' ? verdict.retryAfterMs : undefined;
    const backoff = Math.max(interval, Math.min(timings.pollMaxMs, interval * 2 ** Math.min(failures - 1, 30)));
    await pause(asked ?? jittered(backoff), signal);
  }
}

function instructionsIn(body: unknown): readonly unknown[] {
  const list = fieldOf(body, 'instructions');
  return Array.isArray(list) ? list : [];
}

function clamped(interval: number): number {
  return Math.min(mostInterval, Math.max(leastInterval, Math.round(interval)));
}
