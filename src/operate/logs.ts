/** `holdfast logs`: what a session has written and the daemon still keeps (spec client.md §6). */
import { type SessionWords, withSession } from './session-verb.ts';
import type { VerbContext } from './verbs.ts';

interface LogsWords extends SessionWords {
  readonly follow?: boolean;
}

export function logs([id = '']: readonly string[], words: LogsWords, context: VerbContext): Promise<number> {
  return withSession('logs', id, words, context, async ({ host, info, printer }) => {
    const last = words.follow === true ? Number.POSITIVE_INFINITY : info.lastSeq;
    if (printer.lastSeq >= last) {
      return 0;
    }
    const session = await host.observe(id, { fromSeq: printer.lastSeq, onGap: 'continue' });
    for await (const event of session.events) {
      await printer.print(event);
      if (printer.lastSeq >= last) {
        break;
      }
    }
    return 0;
  });
}
