/** What a user at a terminal is told of cuts: one line that is taken back when the connection is there again. */
import { printable } from '../../base/printable.ts';
import type { Host } from '../../client/index.ts';

const clearLine = '\r\x1b[K';
/** Longer notes would wrap, and only the last line could be taken back. */
const noteColumns = 78;

/** @param write to the terminal */
export function tellCuts(host: Host, write: (text: string) => void): Disposable {
  let isShown = false;
  const takeBack = (): void => {
    if (isShown) {
      write(clearLine);
      isShown = false;
    }
  };
  const tell = (reason: string): void => {
    const note = `holdfast: connection lost (${printable(reason)}); reconnecting`;
    write(`${isShown ? clearLine : ''}${note.slice(0, noteColumns)}`);
    isShown = true;
  };
  host.on('disconnected', tell);
  host.on('connected', takeBack);
  return {
    [Symbol.dispose]() {
      host.off('disconnected', tell);
      host.off('connected', takeBack);
      takeBack();
    },
  };
}
