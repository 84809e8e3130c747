/** `holdfast top`: the sessions of all daemons, live (spec operators.md). Without a terminal it is a table. */
import { messageOf } from '../../base/error-texts.ts';
import { ownCommand, ownVariables } from '../../base/own-process.ts';
import { printable } from '../../base/printable.ts';
import { connect, HoldfastError, type Host } from '../../client/index.ts';
import { answering, complainOf, harmlessJson } from '../answer.ts';
import { type DaemonWords, targetOptions } from '../daemon-options.ts';
import { exitNone, exitOk } from '../exit-codes.ts';
import { exitCodeOf, lookAtSessions, notesOf, type SessionsLook } from '../look-at-sessions.ts';
import { runThere } from '../over-ssh.ts';
import { Patience } from '../patience.ts';
import type { SessionRow } from '../session-rows.ts';
import { writerOf } from '../standard-outputs.ts';
import { screenWidth } from '../table.ts';
import type { VerbContext } from '../verbs.ts';
import { plainLines, screenLines } from './lines.ts';
import { Rates } from './rates.ts';
import { Terminal } from './terminal.ts';
import { type Action, View } from './view.ts';

interface TopWords extends DaemonWords {
  readonly once?: boolean;
  readonly interval?: number;
  readonly json?: boolean;
}

interface Look {
  readonly rows: readonly SessionRow[];
  readonly exitCode: number;
  readonly notes: readonly string[];
}

const intervalMs = 2_000;
const leastIntervalMs = 200;

export function top(_: readonly string[], words: TopWords, context: VerbContext): Promise<number> {
  return answering('top', context, () => {
    const { stdin, stdout } = process;
    const isScreen = words.once !== true && words.json !== true && stdin.isTTY === true && stdout.isTTY === true;
    return isScreen ? showScreen(words, context) : showOnce(words, context);
  });
}

async function showScreen(words: TopWords, context: VerbContext): Promise<number> {
  const screen = new Screen(words, context);
  const exitCode = await screen.toItsEnd();
  if (exitCode !== exitOk) {
    // Only now: the terminal has its own screen back.
    context.complain(`holdfast top: ${screen.note}\n`);
  }
  return exitCode;
}

async function showOnce(words: TopWords, context: VerbContext): Promise<number> {
  const { rows, exitCode, notes } = await lookerOf(words, context)();
  const print = writerOf(process.stdout);
  if (words.json === true) {
    await print(`${harmlessJson(rows)}\n`);
  } else if (rows.length > 0 || exitCode === exitOk) {
    const rates = new Rates();
    const now = Date.now();
    rates.update(rows, now);
    await print(`${(await plainLines(rows, rates, screenWidth(context.environment), now)).join('\n')}\n`);
  }
  for (const note of notes) {
    complainOf(context, 'top', note);
  }
  return exitCode;
}

/** Looks again and again; each look goes on behind the one before. */
function lookerOf(words: TopWords, context: VerbContext): () => Promise<Look> {
  const { host } = words;
  if (host !== undefined) {
    return async () => {
      const { document, exitCode, notes } = await runThere(host, words, ['top', '--once'], context.environment);
      return {
        rows: document as readonly SessionRow[],
        exitCode,
        notes: notes.split('\n').filter((line) => line !== ''),
      };
    };
  }
  let before: SessionsLook | undefined;
  return async () => {
    before = await lookAtSessions(words, context, before);
    return { rows: before.rows.map(({ row }) => row), exitCode: exitCodeOf(before), notes: notesOf(before) };
  };
}

class Screen {
  readonly #words: TopWords;
  readonly #context: VerbContext;
  readonly #rates = new Rates();
  readonly #view = new View(this.#rates);
  readonly #terminal: Terminal;
  readonly #look: () => Promise<Look>;
  readonly #over = Promise.withResolvers<number>();
  readonly #patience = new Patience();
  #isFirst = true;
  #note = '';
  #timer: NodeJS.Timeout | undefined;
  /** One action after the other. */
  #work: Promise<void> = Promise.resolve();

  constructor(words: TopWords, context: VerbContext) {
    this.#words = words;
    this.#context = context;
    this.#look = lookerOf(words, context);
    this.#terminal = new Terminal(
      process.stdin,
      process.stdout,
      (key) => {
        const action = this.#view.take(key);
        this.#then(() => (action === undefined ? this.#paint() : this.#act(action)));
      },
      () => this.#then(() => this.#paint()),
    );
  }

  /** What is to be told of daemons that do not answer; harmless. */
  get note(): string {
    return this.#note;
  }

  async toItsEnd(): Promise<number> {
    const end = (): void => this.#over.resolve(exitOk);
    const signals = ['SIGTERM', 'SIGHUP'] as const;
    for (const signal of signals) {
      process.once(signal, end);
    }
    // The keys come as bytes; the signal comes only while a program of ours has the terminal, and is meant for that.
    const ignore = (): void => {};
    process.on('SIGINT', ignore);
    this.#terminal.open();
    try {
      this.#then(() => this.#lookAgain());
      return await this.#over.promise;
    } finally {
      clearTimeout(this.#timer);
      this.#terminal.close();
      process.off('SIGINT', ignore);
      for (const signal of signals) {
        process.off(signal, end);
      }
    }
  }

  #then(work: () => void | Promise<void>): void {
    this.#work = this.#work.then(work).catch((error) => this.#over.reject(error));
  }

  async #lookAgain(): Promise<void> {
    const start = performance.now();
    let exitCode: number;
    try {
      const { rows, notes, ...look } = await this.#look();
      exitCode = look.exitCode;
      this.#rates.update(rows, Date.now());
      this.#view.update(rows);
      this.#note = notes.map((note) => printable(note)).join('; ');
    } catch (error) {
      if (!(error instanceof HoldfastError)) {
        throw error;
      }
      exitCode = exitNone;
      this.#note = printable(error.message);
    }
    const end = this.#patience.endAfter(exitCode, this.#isFirst);
    this.#isFirst = false;
    if (end !== undefined) {
      this.#over.resolve(end);
      return;
    }
    await this.#paint();
    const { interval = intervalMs } = this.#words;
    // A look that takes long leaves as much time to others.
    const pauseMs = Math.max(leastIntervalMs, interval, performance.now() - start);
    this.#timer = setTimeout(() => this.#then(() => this.#lookAgain()), pauseMs);
  }

  async #paint(): Promise<void> {
    this.#terminal.paint(await screenLines(this.#view, this.#rates, this.#terminal.size, this.#note, Date.now()));
  }

  async #act(action: Action): Promise<void> {
    if (action.do === 'quit') {
      this.#over.resolve(exitOk);
      return;
    }
    if (action.do === 'logs') {
      await this.#showLogs(action.row);
    } else {
      this.#view.tell(await this.#release(action.row));
    }
    await this.#paint();
  }

  /** `logs -f` has the terminal until the session or the user ends it. */
  async #showLogs({ id, daemon }: SessionRow): Promise<void> {
    const words = ['logs', '-f', ...this.#wordsOfDaemon(daemon), '--', id];
    const { startedWith } = await this.#context.clientPlatform();
    const own = ownCommand(words, ownVariables(startedWith));
    const { spawnSync } = process.getBuiltinModule('node:child_process');
    this.#terminal.close();
    this.#context.complain(`\n${printable(id)}: INT (Ctrl+C) leads back\n`);
    spawnSync(own.file, own.args, { stdio: 'inherit', env: Object.fromEntries(own.env) });
    this.#terminal.open();
  }

  #wordsOfDaemon(daemon: string): string[] {
    const { host, sshCommand, socket } = this.#words;
    if (host === undefined) {
      return ['--socket', daemon];
    }
    const ssh = sshCommand === undefined ? [] : ['--ssh-command', sshCommand.join(' ')];
    return ['--host', host, ...ssh, ...(socket === undefined ? [] : ['--socket', socket])];
  }

  /** @returns what came of it, in one line */
  async #release({ id, pid, startTime, daemon }: SessionRow): Promise<string> {
    let host: Host | undefined;
    try {
      const words = this.#words.host === undefined ? { socket: daemon } : this.#words;
      host = await connect({ ...targetOptions(words, this.#context, undefined), retry: { giveUpMs: 0 } });
      const found = (await host.sessions()).find((each) => each.id === id);
      if (found?.pid !== pid || found.startTime !== startTime) {
        return `session ${printable(id, 40)} is another process by now: nothing was done`;
      }
      const { released } = await host.request('holdfast.release', { id });
      const done = released === 1 ? 'released' : 'still runs';
      return `session ${printable(id, 40)} (pid ${pid}, started ${new Date(startTime * 1000).toISOString()}): ${done}`;
    } catch (error) {
      return printable(messageOf(error));
    } finally {
      await host?.close();
    }
  }
}
