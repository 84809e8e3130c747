/** `holdfast attach`: looks at a session live, or takes it over (spec client.md §6). */
import type { Session } from '../client/index.ts';
import { copyInput } from './run/local-streams.ts';
import { exitUsage, type SessionWords, withSession } from './session-verb.ts';
import type { VerbContext } from './verbs.ts';

interface AttachWords extends SessionWords {
  readonly take?: boolean;
  readonly input?: boolean;
}

export async function attach([id = '']: readonly string[], words: AttachWords, context: VerbContext): Promise<number> {
  if (words.input === true && words.take !== true) {
    context.complain('holdfast attach: --input goes with --take: only the receiver of a session may type\n');
    return exitUsage;
  }
  return withSession('attach', id, words, context, async ({ host, printer }) => {
    const options = { fromSeq: printer.lastSeq, onGap: 'continue' } as const;
    const session: Session = await (words.take === true ? host.session(id, options) : host.observe(id, options));
    const leave = (): void => void session.detach();
    const stopInput =
      words.input === true
        ? copyInput(process.stdin, session, {
            complain: (text) => context.complain(`holdfast attach: ${text}`),
            terminalGone: leave,
          })
        : undefined;
    process.once('SIGINT', leave);
    let isOver = false;
    try {
      for await (const event of session.events) {
        await printer.print(event);
        isOver = event.type === 'exit';
        if (event.type === 'exit') {
          context.complain(`holdfast attach: the program has ended: ${event.signal ?? event.exitCode}\n`);
        }
      }
    } catch (error) {
      // The stream of a session that was detached ends with that as its reason.
      if (isOver || !(error instanceof Error) || !/was detached/.test(error.message)) {
        throw error;
      }
    } finally {
      process.off('SIGINT', leave);
      stopInput?.();
    }
    return 0;
  });
}
