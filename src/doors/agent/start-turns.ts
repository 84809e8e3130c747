/** Whose start may be carried out now: so many sessions run at a time, and the others wait in their order (spec agent.md §6). */
import type { AgentSession } from './agent-session.ts';
import { Refusal } from './refusal.ts';

/** How many starts may wait for room. */
const mostWaiting = 100;

export class StartTurns {
  readonly #mostRunning: number;
  readonly #running: () => number;
  readonly #waiting: AgentSession[] = [];
  /** Sessions that have their room already, but no process yet. */
  #starting = 0;

  /** @param running how many sessions have a process */
  constructor(mostRunning: number, running: () => number) {
    this.#mostRunning = mostRunning;
    this.#running = running;
  }

  get waitingCount(): number {
    return this.#waiting.length;
  }

  /**
   * Gives the session room, or a place behind those who wait; its `turn` is told then.
   * @returns whether it waits
   * @throws Refusal
   */
  take(session: AgentSession): boolean {
    const waits = !this.#hasRoom() || this.#waiting.length > 0;
    if (!waits) {
      this.#starting++;
    } else if (this.#waiting.length >= mostWaiting) {
      throw new Refusal('queue_full', `${mostWaiting} sessions wait to be started`);
    } else {
      this.#waiting.push(session);
    }
    return waits;
  }

  /** A start that had room has succeeded or failed. */
  settled(): void {
    this.#starting--;
    this.fillRoom();
  }

  /** Gives the room there is to those who wait. */
  fillRoom(): void {
    while (this.#waiting.length > 0 && this.#hasRoom()) {
      this.#starting++;
      this.#waiting.shift()?.turn.resolve('start');
    }
  }

  /** @returns whether it was waiting; else it has its room already */
  withdraw(session: AgentSession): boolean {
    const at = this.#waiting.indexOf(session);
    if (at === -1) {
      return false;
    }
    this.#waiting.splice(at, 1);
    session.turn.resolve('terminated');
    return true;
  }

  #hasRoom(): boolean {
    return this.#running() + this.#starting < this.#mostRunning;
  }
}
