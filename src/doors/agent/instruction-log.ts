/**
 * What became of each instruction, on disk before it is carried out, so that none takes effect twice, whatever dies in between
 * (spec agent.md §5). One JSON object a line; the last line of an id counts.
 */
import { type FileHandle, open, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

export type FailureCode =
  | 'spawn_failed'
  | 'session_exists'
  | 'no_such_session'
  | 'session_terminated'
  | 'stdin_closed'
  | 'queue_full'
  | 'cwd_not_allowed'
  | 'bad_env'
  | 'bad_instruction'
  | 'unknown_outcome'
  | 'launcher_refused'
  | 'internal';

export interface InstructionFailure {
  readonly code: FailureCode;
  readonly message: string;
}

export interface InstructionEntry {
  readonly id: string;
  readonly sessionId: string | undefined;
  /** `begun`: it is being carried out, or was when the agent died. */
  readonly state: 'begun' | 'done' | 'failed';
  readonly error?: InstructionFailure | undefined;
}

/** How many are remembered. */
const mostEntries = 10_000;
/** The file is written anew when it has more lines. */
const mostLines = 3 * mostEntries;

export class InstructionLog {
  readonly #path: string;
  /** In the order of their last change. */
  readonly #entries = new Map<string, InstructionEntry>();
  #file: FileHandle;
  #lines: number;
  /** Writes follow each other. */
  #last: Promise<void> = Promise.resolve();

  private constructor(path: string, file: FileHandle, entries: readonly InstructionEntry[], lines: number) {
    this.#path = path;
    this.#file = file;
    this.#lines = lines;
    for (const entry of entries) {
      this.#keep(entry);
    }
  }

  /** @throws Node's error when the file can be neither read nor made */
  static async open(path: string): Promise<InstructionLog> {
    const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') {
        throw error;
      }
      return '';
    });
    const lines = text.split('\n');
    const file = await open(path, 'a', 0o600);
    // A line that was torn by a crash must not take the next one with it.
    if (text !== '' && !text.endsWith('\n')) {
      await file.write('\n');
    }
    return new InstructionLog(
      path,
      file,
      lines.map(parsed).filter((entry) => entry !== undefined),
      lines.length,
    );
  }

  get(id: string): InstructionEntry | undefined {
    return this.#entries.get(id);
  }

  /** Resolves when the line is on disk. @throws Node's error: then nothing may be carried out */
  write(entry: InstructionEntry): Promise<void> {
    this.#keep(entry);
    const written = this.#last.then(() => this.#append(entry));
    this.#last = written.catch(() => {});
    return written;
  }

  async close(): Promise<void> {
    await this.#last;
    await this.#file.close();
  }

  #keep(entry: InstructionEntry): void {
    this.#entries.delete(entry.id);
    this.#entries.set(entry.id, entry);
    const [oldest] = this.#entries.keys();
    if (this.#entries.size > mostEntries && oldest !== undefined) {
      this.#entries.delete(oldest);
    }
  }

  async #append(entry: InstructionEntry): Promise<void> {
    await this.#file.write(lineOf(entry));
    await this.#file.datasync();
    if (++this.#lines > mostLines) {
      await this.#compact();
    }
  }

  async #compact(): Promise<void> {
    const entries = [...this.#entries.values()];
    const temporary = `${this.#path}.new`;
    await writeFile(temporary, entries.map(lineOf).join(''), { mode: 0o600, flush: true });
    // Windows replaces no file that is open.
    await this.#file.close();
    try {
      await rename(temporary, this.#path);
    } finally {
      this.#file = await open(this.#path, 'a', 0o600);
    }
    const folder = await open(dirname(this.#path), 'r').catch(() => undefined);
    // Where a folder cannot be opened (Windows) the rename is as safe as it gets.
    await folder?.sync().catch(() => {});
    await folder?.close();
    this.#lines = entries.length;
  }
}

function lineOf(entry: InstructionEntry): string {
  return `${JSON.stringify(entry)}\n`;
}

/** `undefined`: no line of ours. */
function parsed(line: string): InstructionEntry | undefined {
  try {
    const entry = JSON.parse(line) as Partial<InstructionEntry> | null;
    const isOurs =
      typeof entry?.id === 'string' && (entry.state === 'begun' || entry.state === 'done' || entry.state === 'failed');
    return isOurs ? (entry as InstructionEntry) : undefined;
  } catch {
    return undefined;
  }
}
