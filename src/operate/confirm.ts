/** A word of consent before something is changed (spec operators.md): asked for at a terminal, `--yes` elsewhere. */
import { createInterface } from 'node:readline/promises';
import type { VerbContext } from './verbs.ts';

/** `cannotAsk`: there is no terminal, and `--yes` was not given. */
export type Consent = 'given' | 'refused' | 'cannotAsk';

/**
 * @param question one line, already harmless, without question mark
 * @param yes whether consent was given on the command line
 */
export async function confirm(
  question: string,
  yes: boolean | undefined,
  context: Pick<VerbContext, 'complain'>,
): Promise<Consent> {
  if (yes === true) {
    return 'given';
  }
  if (process.stdin.isTTY !== true || process.stderr.isTTY !== true) {
    context.complain(`${question}: not done without --yes, because there is no terminal to ask at\n`);
    return 'cannotAsk';
  }
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const word = await new Promise<string>((resolve) => {
      lines.once('close', () => resolve(''));
      lines.question(`${question}? [y/N] `).then(resolve, () => resolve(''));
    });
    return /^y(es)?$/i.test(word.trim()) ? 'given' : 'refused';
  } finally {
    lines.close();
  }
}
