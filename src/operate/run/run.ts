/**
 * `holdfast run`: a program under a daemon, as if it were a child of this process, over a connection that may break
 * (spec client.md §5).
 */
import { printable } from '../../base/printable.ts';
import { connect, type Exit, HoldfastError, type Host, type Session } from '../../client/index.ts';
import { type DaemonWords, targetOptions } from '../daemon-options.ts';
import { OutputClosed } from '../standard-outputs.ts';
import type { VerbContext } from '../verbs.ts';
import { tellCuts } from './cut-notes.ts';
import { codeOf, codeOfFailedStart, codeOfSignal, exitOwn } from './exit-codes.ts';
import { copyInput, copyOutput } from './local-streams.ts';

interface RunWords extends DaemonWords {
  readonly id?: string;
  readonly resume?: boolean;
  readonly fromSeq?: number;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly wireProfile?: string;
  readonly durable?: boolean;
  readonly keep?: boolean;
  readonly quiet?: boolean;
}

/** Signals that a terminal, a shell or a service manager sends to what it has started. */
const forwarded = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
type Forwarded = (typeof forwarded)[number];

/** The signal that a writer gets whose reader has gone. */
const brokenPipe = 'SIGPIPE';

export function run([program, ...args]: readonly string[], words: RunWords, context: VerbContext): Promise<number> {
  return new RemoteRun(program, args, words, context).toItsEnd();
}

/** Ends the run with an exit code and one line on stderr. */
class Refusal extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** How the run came to its end. */
type End =
  | { readonly by: 'exit'; readonly exit: Exit }
  | { readonly by: 'readerGone' }
  | { readonly by: 'signal'; readonly signal: Forwarded }
  | { readonly by: 'failure'; readonly error: unknown };

interface ForwardedSignals {
  /** A signal has ended the run itself. */
  readonly ended: Promise<End>;
  /** As if HUP had come. */
  readonly hangUp: () => void;
  stop(): void;
}

class RemoteRun {
  readonly #program: string | undefined;
  readonly #args: readonly string[];
  readonly #words: RunWords;
  readonly #context: VerbContext;

  constructor(program: string | undefined, args: readonly string[], words: RunWords, context: VerbContext) {
    this.#program = program;
    this.#args = args;
    this.#words = words;
    this.#context = context;
  }

  /** @returns the exit code */
  async toItsEnd(): Promise<number> {
    let host: Host | undefined;
    try {
      this.#check();
      host = await this.#connect();
      const session = await this.#open(host);
      return await this.#follow(host, session);
    } catch (error) {
      if (error instanceof Refusal) {
        return this.#fail(error.code, error.message);
      }
      if (error instanceof HoldfastError) {
        return this.#fail(codeOfFailedStart(error), error.message);
      }
      throw error;
    } finally {
      await host?.close();
    }
  }

  #check(): void {
    const { resume, id, fromSeq, sshCommand, host } = this.#words;
    if (this.#program === undefined && resume !== true) {
      throw new Refusal(exitOwn, 'no command; give it behind --, e.g. holdfast run -- make test');
    }
    if (resume === true && id === undefined) {
      throw new Refusal(exitOwn, '--resume needs --id: which session is to be taken over?');
    }
    if (fromSeq !== undefined && resume !== true) {
      throw new Refusal(exitOwn, '--from-seq goes with --resume');
    }
    if (sshCommand !== undefined && host === undefined) {
      throw new Refusal(exitOwn, '--ssh-command goes with --host');
    }
  }

  #connect(): Promise<Host> {
    const { wireProfile, durable } = this.#words;
    const flags = [
      ...(wireProfile === undefined ? [] : ['-wire-profile', wireProfile]),
      ...(durable === true ? ['-durable'] : []),
    ];
    return connect(targetOptions(this.#words, this.#context, { flags }));
  }

  async #open(host: Host): Promise<Session> {
    const { id, resume, fromSeq } = this.#words;
    if (id !== undefined && host.daemon.hasExtensions) {
      const isKnown = (await host.sessions()).some((each) => each.id === id);
      if (isKnown && resume !== true) {
        throw new Refusal(
          exitOwn,
          `session ${printable(id)} exists already; take it over with --resume, or choose another --id`,
        );
      }
      if (isKnown) {
        return host.session(id, { fromSeq });
      }
    } else if (id !== undefined && resume === true) {
      const known = await host.session(id, { fromSeq }).catch(() => undefined);
      if (known !== undefined) {
        return known;
      }
    }
    if (this.#program === undefined) {
      throw new Refusal(exitOwn, `there is no session ${printable(id ?? '')} to resume; give a command to start it`);
    }
    const { cwd, env } = this.#words;
    return host.spawn({ id, command: this.#program, args: this.#args, cwd, env, door: 'run' });
  }

  async #follow(host: Host, session: Session): Promise<number> {
    const { quiet } = this.#words;
    const notes =
      quiet !== true && process.stderr.isTTY === true
        ? tellCuts(host, (text) => process.stderr.write(text))
        : undefined;
    const signals = this.#forwardSignals(host, session);
    const stopInput = copyInput(process.stdin, session, {
      complain: (text) => this.#context.complain(`holdfast run: ${text}`),
      terminalGone: this.#words.keep === true ? signals.hangUp : undefined,
    });
    try {
      const end = await Promise.race([signals.ended, this.#untilExit(session)]);
      stopInput();
      return await this.#finish(end, session);
    } finally {
      notes?.[Symbol.dispose]();
      signals.stop();
      stopInput();
    }
  }

  async #finish(end: End, session: Session): Promise<number> {
    if (end.by === 'failure') {
      throw end.error;
    }
    if (end.by === 'exit') {
      await this.#forget(session);
      return this.#tellExit(end.exit);
    }
    if (end.by === 'readerGone') {
      await this.#endOrKeep(session);
      return codeOfSignal(brokenPipe);
    }
    if (this.#words.keep === true) {
      await this.#endOrKeep(session);
    } else {
      this.#context.complain(`holdfast run: no connection; the command may go on: ${this.#howToAttach(session)}\n`);
    }
    return codeOfSignal(end.signal);
  }

  /** The end of the program comes behind its last byte. */
  async #untilExit(session: Session): Promise<End> {
    const outputs = Promise.all([
      copyOutput(session.stdout, process.stdout),
      copyOutput(session.stderr, process.stderr),
    ]);
    try {
      await outputs;
      return { by: 'exit', exit: await session.exit };
    } catch (error) {
      return error instanceof OutputClosed ? { by: 'readerGone' } : { by: 'failure', error };
    }
  }

  /**
   * A signal is the program's, which then ends or not; with `--keep` TERM and HUP are ours. A second one while there is no
   * connection ends us.
   */
  #forwardSignals(host: Host, session: Session): ForwardedSignals {
    const { keep } = this.#words;
    const { promise, resolve } = Promise.withResolvers<End>();
    let asked = false;
    const listeners = forwarded.map((signal) => {
      const listener = (): void => {
        const isOurs = keep === true && signal !== 'SIGINT';
        if (isOurs || (asked && !host.isConnected)) {
          resolve({ by: 'signal', signal });
          return;
        }
        asked = true;
        session.kill(signal.slice('SIG'.length)).catch(() => {});
      };
      process.on(signal, listener);
      return () => process.off(signal, listener);
    });
    return {
      ended: promise,
      hangUp: () => resolve({ by: 'signal', signal: 'SIGHUP' }),
      stop() {
        for (const remove of listeners) {
          remove();
        }
      },
    };
  }

  /** A session that only we know is of no use to anybody once it has ended; one with a name stays for `holdfast logs`. */
  async #forget(session: Session): Promise<void> {
    if (this.#words.id === undefined) {
      await session.release().catch(() => {});
    }
  }

  async #endOrKeep(session: Session): Promise<void> {
    if (this.#words.keep === true) {
      await session.detach();
      this.#context.complain(`holdfast run: the command goes on: ${this.#howToAttach(session)}\n`);
      return;
    }
    try {
      await session.release();
    } catch {
      // A daemon without extensions, or one that is gone: what can be asked for is the end.
      await session.killAndWait().catch(() => {});
    }
  }

  #howToAttach(session: Session): string {
    const { host } = this.#words;
    return `holdfast attach ${host === undefined ? '' : `--host ${host} `}${session.id}`;
  }

  #tellExit(exit: Exit): number {
    const { code, isKnown } = codeOf(exit);
    if (!isKnown) {
      this.#context.complain('holdfast run: a signal ended the command, and this daemon does not tell which\n');
    }
    return code;
  }

  #fail(code: number, message: string): number {
    this.#context.complain(`holdfast run: ${printable(message)}\n`);
    return code;
  }
}
