/** `holdfast token`: the token of the daemon at a socket, for `ssh host holdfast token` (spec operators.md). */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import { messageOf } from '../base/error-texts.ts';
import { printable } from '../base/printable.ts';
import { defaultSocketPath, tokenFileName } from '../run-directory/names.ts';
import type { Run, VerbContext } from './verbs.ts';

const exitFailed = 1;
const exitNone = 3;

export function defineToken(command: Command, context: VerbContext, run: Run): void {
  command
    .option('--socket <path>', 'socket of the daemon (default: ~/.claude/remote/rpc.sock)')
    .option('--json', 'for programs')
    .addHelpText('after', '\nWhoever has the token may do all that the daemon can: keep it out of logs and scripts.')
    .action(({ socket, json }: { socket?: string; json?: boolean }) =>
      run(() => printToken(socket, json === true, context)),
    );
}

async function printToken(socket: string | undefined, json: boolean, context: VerbContext): Promise<number> {
  const { user } = await context.clientPlatform();
  const home = user.home();
  if (socket === undefined && home === undefined) {
    context.complain(`holdfast token: ${user.homeVariable} is not defined; name the daemon with --socket\n`);
    return exitFailed;
  }
  const path = join(dirname(socket ?? defaultSocketPath(home ?? '')), tokenFileName);
  let token: string;
  try {
    token = readFileSync(path, 'utf8').split(/\r?\n/, 1)[0] ?? '';
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    const why = isMissing
      ? `no daemon has left its token at ${printable(path)}; is it running, and was it started with -token-file?`
      : `${printable(path)} cannot be read: ${messageOf(error)}`;
    context.complain(`holdfast token: ${why}\n`);
    return isMissing ? exitNone : exitFailed;
  }
  context.print(json ? `${JSON.stringify({ token })}\n` : `${token}\n`);
  return 0;
}
