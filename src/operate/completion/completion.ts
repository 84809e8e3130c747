/** `holdfast completion <shell>`: the script for a shell, and the answers to what that script asks (spec operators.md). */
import { OutputClosed, writerOf } from '../standard-outputs.ts';
import type { VerbContext } from '../verbs.ts';
import { livingOf } from './living.ts';
import { answerFor, type Shell, scriptFor, shells, wordsOf } from './shells.ts';
import { suggest } from './suggest.ts';

export async function completion(
  [name = '', ...words]: readonly string[],
  _: object,
  context: VerbContext,
): Promise<number> {
  const given = words[0] === '--' ? words.slice(1) : words;
  const shell = shells.find((each) => each === name);
  if (shell === undefined) {
    context.complain(`holdfast completion: ${JSON.stringify(name)} is no shell it knows: want ${shells.join(', ')}\n`);
    return 2;
  }
  if (given.length === 0) {
    context.print(scriptFor(shell));
    return 0;
  }
  try {
    await writerOf(process.stdout)(await answer(shell, given, context));
  } catch (error) {
    if (!(error instanceof OutputClosed)) {
      throw error;
    }
  }
  return 0;
}

/** A key was pressed: whatever goes wrong, nothing is told but what helps. */
async function answer(shell: Shell, given: readonly string[], context: VerbContext): Promise<string> {
  try {
    const words = wordsOf(shell, given);
    return answerFor(shell, await suggest(words, livingOf(context)), words.at(-1) ?? '');
  } catch {
    return '';
  }
}
