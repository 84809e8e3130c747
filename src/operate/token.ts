/** `holdfast token`: the token of the daemon at a socket, for `ssh host holdfast token` (spec operators.md). */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { messageOf } from '../base/error-texts.ts';
import { printable } from '../base/printable.ts';
import { defaultSocketPath, tokenFileName } from '../run-directory/names.ts';
import type { VerbContext } from './verbs.ts';

const exitFailed = 1;
const exitNone = 3;

export async function token(
  _: readonly string[],
  { socket, json }: { readonly socket?: string; readonly json?: boolean },
  context: VerbContext,
): Promise<number> {
  const { user } = await context.clientPlatform();
  const home = user.home();
  if (socket === undefined && home === undefined) {
    context.complain(`holdfast token: ${user.homeVariable} is not defined; name the daemon with --socket\n`);
    return exitFailed;
  }
  const path = join(dirname(socket ?? defaultSocketPath(home ?? '')), tokenFileName);
  let found: string;
  try {
    found = readFileSync(path, 'utf8').split(/\r?\n/, 1)[0] ?? '';
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    const why = isMissing
      ? `no daemon has left its token at ${printable(path)}; is it running, and was it started with -token-file?`
      : `${printable(path)} cannot be read: ${messageOf(error)}`;
    context.complain(`holdfast token: ${why}\n`);
    return isMissing ? exitNone : exitFailed;
  }
  context.print(json === true ? `${JSON.stringify({ token: found })}\n` : `${found}\n`);
  return 0;
}
