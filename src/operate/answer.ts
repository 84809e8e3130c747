/** How the verbs answer: one JSON document, or lines; to a reader that may go away (spec operators.md). */

import { printable } from '../base/printable.ts';
import { HoldfastError } from '../client/index.ts';
import { exitFailed, exitNone } from './exit-codes.ts';
import { OutputClosed } from './standard-outputs.ts';
import type { VerbContext } from './verbs.ts';

/** One document on one line; control characters of any text in it are escaped as JSON has it. */
export function printJson(context: Pick<VerbContext, 'print'>, document: unknown): void {
  context.print(`${harmlessJson(document)}\n`);
}

/** JSON escapes C0 itself; a terminal obeys more than that. */
export function harmlessJson(document: unknown): string {
  return JSON.stringify(document).replace(
    /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

export function complainOf(context: Pick<VerbContext, 'complain'>, verb: string, message: string): void {
  context.complain(`holdfast ${verb}: ${printable(message)}\n`);
}

/**
 * Runs a verb: what the library cannot do is one line on stderr, and a reader that has gone ends it without a word.
 * @returns the exit code
 */
export async function answering(
  verb: string,
  context: Pick<VerbContext, 'complain'>,
  work: () => Promise<number>,
): Promise<number> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof OutputClosed) {
      return 0;
    }
    if (error instanceof HoldfastError) {
      complainOf(context, verb, error.message);
      return error.kind === 'refused' ? exitNone : exitFailed;
    }
    throw error;
  }
}
