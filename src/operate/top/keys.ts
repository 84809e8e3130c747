/** What was typed, as names: the bytes of a terminal in raw mode. */

export type Key =
  | {
      readonly name:
        | 'up'
        | 'down'
        | 'pageUp'
        | 'pageDown'
        | 'home'
        | 'end'
        | 'enter'
        | 'escape'
        | 'backspace'
        | 'interrupt';
    }
  | { readonly name: 'text'; readonly text: string };

const named: readonly (readonly [string, Exclude<Key['name'], 'text'>])[] = [
  ['\u001b[A', 'up'],
  ['\u001bOA', 'up'],
  ['\u001b[B', 'down'],
  ['\u001bOB', 'down'],
  ['\u001b[5~', 'pageUp'],
  ['\u001b[6~', 'pageDown'],
  ['\u001b[H', 'home'],
  ['\u001bOH', 'home'],
  ['\u001b[1~', 'home'],
  ['\u001b[F', 'end'],
  ['\u001bOF', 'end'],
  ['\u001b[4~', 'end'],
  ['\r', 'enter'],
  ['\n', 'enter'],
  ['\u007f', 'backspace'],
  ['\b', 'backspace'],
  ['\u0003', 'interrupt'],
];

/** Sequences of keys that mean nothing here. */
const otherSequence = /^\u001b(?:\[[\u0020-\u003f]*[\u0040-\u007e]|O.)/;

/** @param typed what came at one time; a sequence is never torn by a terminal */
export function keysOf(typed: string): Key[] {
  const keys: Key[] = [];
  for (let rest = typed; rest !== ''; ) {
    const known = named.find(([sequence]) => rest.startsWith(sequence));
    const other = otherSequence.exec(rest)?.[0];
    const [first = ''] = rest;
    if (known !== undefined) {
      keys.push({ name: known[1] });
    } else if (other === undefined && first === '\u001b') {
      keys.push({ name: 'escape' });
    } else if (other === undefined && first >= ' ') {
      keys.push({ name: 'text', text: first });
    }
    rest = rest.slice((known?.[0] ?? other ?? first).length);
  }
  return keys;
}
