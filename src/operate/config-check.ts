/** `holdfast config check <file>`: what a configuration file would set, and every line that would not (spec operators.md). */
import { printable } from '../base/printable.ts';
import { checkConfiguration } from '../config/configuration-check.ts';
import { complainOf, printJson } from './answer.ts';
import { exitFailed, exitNone, exitOk } from './exit-codes.ts';
import type { VerbContext } from './verbs.ts';

export async function configCheck(
  [file = '']: readonly string[],
  { json }: { readonly json?: boolean },
  context: VerbContext,
): Promise<number> {
  const checked = checkConfiguration(file);
  if (checked === 'missing') {
    complainOf(context, 'config', `there is no file ${file}`);
    return exitNone;
  }
  const { keys, problems } = checked;
  if (json === true) {
    printJson(context, { file, keys, problems });
  } else {
    for (const { line, text } of problems) {
      context.print(`${printable(file)}${line === 0 ? '' : `:${line}`}: ${printable(text)}\n`);
    }
    context.print(
      problems.length > 0 ? '' : `${printable(file)}: ${keys.length} value(s), nothing wrong: ${keys.join(', ')}\n`,
    );
  }
  return problems.length > 0 ? exitFailed : exitOk;
}
