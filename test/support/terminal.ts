/** A real terminal (tmux) in which a program runs, and what stands on its screen. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { installed, type Need } from './needs.ts';
import { waitUntil } from './wait.ts';

export const tmux: Need = installed('tmux', 'tmux');

export interface TerminalOptions {
  readonly columns: number;
  readonly rows: number;
  readonly env: NodeJS.ProcessEnv;
}

export class TestTerminal implements Disposable {
  readonly #server = `hf-${randomBytes(4).toString('hex')}`;
  readonly #raw = join(tmpdir(), `${this.#server}.raw`);

  /** @param words program and arguments; a shell is left behind when it ends */
  constructor(words: readonly string[], { columns, rows, env }: TerminalOptions) {
    const size = ['-x', String(columns), '-y', String(rows)];
    // The shell first, so that every byte of the program is recorded.
    const shell = ['env', '-i', `PATH=${process.env.PATH}`, 'PS1=$ ', 'sh'];
    this.#tmux(['-f', '/dev/null', 'new-session', '-d', ...size, ...shell], env);
    this.#tmux(['set', '-g', 'window-size', 'manual']);
    this.#tmux(['pipe-pane', '-o', `cat >${this.#raw}`]);
    const variables = ['HOME', 'HOLDFAST_TEST_DAEMON', 'HOLDFAST_TEST_TIMINGS'].flatMap((name) =>
      env[name] === undefined ? [] : [`${name}=${env[name]}`],
    );
    this.type(` env ${[...variables, 'TERM=xterm-256color', 'LC_ALL=C.UTF-8', ...words].map(quoted).join(' ')}\r`);
  }

  /** The lines that are shown now, without the blanks at their ends. */
  get lines(): readonly string[] {
    return this.#tmux(['capture-pane', '-p']).split('\n').slice(0, -1);
  }

  get text(): string {
    return this.lines.join('\n');
  }

  /** Every byte that the terminal was sent. */
  get raw(): string {
    return readFileSync(this.#raw, 'utf8');
  }

  /** Keys as they are sent by a terminal. */
  type(keys: string): void {
    this.#tmux(['send-keys', '-l', '--', keys]);
  }

  resize(columns: number, rows: number): void {
    this.#tmux(['resize-window', '-x', String(columns), '-y', String(rows)]);
  }

  /** Resolves with the screen once it shows what is meant. */
  until(pattern: RegExp, options?: { readonly timeoutMs?: number }): Promise<string> {
    const shown = (): string | undefined => {
      const { text } = this;
      return pattern.test(text) ? text : undefined;
    };
    return waitUntil(shown, `${pattern} on the screen`, options).catch((error: Error) => {
      throw new Error(`${error.message}\n${JSON.stringify(this.lines)}`);
    });
  }

  [Symbol.dispose](): void {
    this.#tmux(['kill-server']);
    rmSync(this.#raw, { force: true });
  }

  #tmux(words: readonly string[], env: NodeJS.ProcessEnv = process.env): string {
    return execFileSync('tmux', ['-u', '-L', this.#server, ...words], { encoding: 'utf8', env });
  }
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
