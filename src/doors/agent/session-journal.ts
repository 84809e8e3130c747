/**
 * What the agent must know of its sessions after its own death: that they are its own, and how far their output has come.
 * One JSON object a line; later members replace earlier ones. Written without a sync: it matters only while the host lives, and
 * with the host its sessions die.
 */
import { appendFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';

export interface SessionNote {
  readonly id: string;
  readonly pid?: number | undefined;
  readonly startTime?: number | undefined;
  /** Milliseconds since the epoch. */
  readonly startedAt?: number | undefined;
  /** Highest number that may have reached the server, and highest that it has confirmed. */
  readonly sent?: number | undefined;
  readonly accepted?: number | undefined;
  /** The server has the exit chunk, or has deleted the session. */
  readonly over?: boolean | undefined;
}

/** How many sessions are remembered. */
const mostSessions = 10_000;
const mostLines = 50_000;

export class SessionJournal {
  readonly #path: string;
  readonly #notes = new Map<string, SessionNote>();
  #lines = 0;

  /** @throws Node's error when the file can be neither read nor made */
  constructor(path: string) {
    this.#path = path;
    for (const line of readLines(path)) {
      const note = parsed(line);
      if (note !== undefined) {
        this.#keep(note);
      }
    }
    this.#rewrite();
  }

  get(id: string): SessionNote | undefined {
    return this.#notes.get(id);
  }

  /** Those that are not over. */
  get open(): readonly SessionNote[] {
    return [...this.#notes.values()].filter(({ over }) => over !== true);
  }

  /** @throws Node's error when it cannot be written */
  note(note: SessionNote): void {
    this.#keep(note);
    appendFileSync(this.#path, `${JSON.stringify(note)}\n`, { mode: 0o600 });
    if (++this.#lines > mostLines) {
      this.#rewrite();
    }
  }

  #keep(note: SessionNote): void {
    const known = this.#notes.get(note.id);
    this.#notes.delete(note.id);
    this.#notes.set(note.id, { ...known, ...note });
    if (this.#notes.size > mostSessions) {
      const oldest = [...this.#notes.values()].find(({ over }) => over === true);
      this.#notes.delete((oldest ?? note).id);
    }
  }

  #rewrite(): void {
    const temporary = `${this.#path}.new`;
    const lines = [...this.#notes.values()].map((note) => `${JSON.stringify(note)}\n`);
    writeFileSync(temporary, lines.join(''), { mode: 0o600 });
    renameSync(temporary, this.#path);
    this.#lines = lines.length;
  }
}

function readLines(path: string): readonly string[] {
  try {
    return readFileSync(path, 'utf8').split('\n');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      return [];
    }
    throw error;
  }
}

/** `undefined`: torn by a crash, or not ours. */
function parsed(line: string): SessionNote | undefined {
  try {
    const note = JSON.parse(line) as SessionNote | null;
    return typeof note?.id === 'string' ? note : undefined;
  } catch {
    return undefined;
  }
}
