/** `holdfast licenses`: what the single executable is made of. */
import { ownText } from '../base/own-texts.ts';
import type { VerbContext } from './verbs.ts';

const exitFailed = 1;

export async function licenses(
  _: readonly string[],
  { sbom }: { readonly sbom?: boolean },
  context: VerbContext,
): Promise<number> {
  const text = ownText(sbom === true ? 'sbom' : 'notices');
  if (text === undefined) {
    const where = sbom === true ? 'run npm sbom there' : 'each package in node_modules has its own';
    context.complain(`holdfast licenses: this is no single executable; ${where}\n`);
    return exitFailed;
  }
  context.print(text);
  return 0;
}
