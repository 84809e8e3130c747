/** What `attach` and `logs` have in common: the way to a session, and the texts of what goes wrong. */
import { printable } from '../base/printable.ts';
import { timings } from '../base/timings.ts';
import { connect, HoldfastError, type Host, type SessionInfo } from '../client/index.ts';
import { type DaemonWords, targetOptions } from './daemon-options.ts';
import { type PrintOptions, SessionPrinter } from './session-printer.ts';
import { OutputClosed, standardOutputs } from './standard-outputs.ts';
import type { VerbContext } from './verbs.ts';

export const exitFailed = 1;
export const exitUsage = 2;
export const exitNone = 3;

export interface SessionWords extends DaemonWords {
  readonly fromSeq?: number;
  readonly raw?: boolean;
  readonly json?: boolean;
  readonly events?: boolean;
  readonly stdout?: boolean;
  readonly stderr?: boolean;
}

function printOptionsOf({ raw, json, events, stdout, stderr }: SessionWords): PrintOptions {
  const both = stdout === stderr;
  return {
    raw: raw === true,
    json: json === true,
    events: events === true,
    streams: { stdout: both || stdout === true, stderr: both || stderr === true },
  };
}

export interface SessionWork {
  readonly host: Host;
  readonly info: SessionInfo;
  readonly printer: SessionPrinter;
}

/**
 * Finds the session, does `work` with it, and tells the last frame on stderr.
 * @returns the exit code
 */
export async function withSession(
  verb: string,
  id: string,
  words: SessionWords,
  context: VerbContext,
  work: (found: SessionWork) => Promise<number>,
): Promise<number> {
  const fail = (code: number, message: string): number => {
    context.complain(`holdfast ${verb}: ${printable(message)}\n`);
    return code;
  };
  let host: Host | undefined;
  try {
    const retry = { giveUpMs: timings.lookGiveUpMs };
    host = await connect({ ...targetOptions(words, context, undefined), retry });
    const info = (await host.sessions()).find((each) => each.id === id);
    if (info === undefined) {
      return fail(
        exitNone,
        `there is no session ${id} here; it may have been forgotten, 15 minutes after its end by default`,
      );
    }
    const printer = new SessionPrinter(printOptionsOf(words), standardOutputs(), words.fromSeq ?? info.firstSeq - 1);
    try {
      return await work({ host, info, printer });
    } finally {
      await printer.end().catch(() => {});
      context.complain(`last seq ${printer.lastSeq}\n`);
    }
  } catch (error) {
    if (error instanceof OutputClosed) {
      return 0;
    }
    if (error instanceof HoldfastError) {
      // Of a daemon that was there, and has gone since, nobody can say that none runs.
      return fail(error.kind === 'refused' && host === undefined ? exitNone : exitFailed, error.message);
    }
    throw error;
  } finally {
    await host?.close();
  }
}
