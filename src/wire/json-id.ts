/**
 * The `id` of a request, decoded and written again (spec wire.md §4.4). From bytes to bytes and never recursive: an id may be as
 * long and as deep as a line, and what it costs holds up everybody else.
 */
import { GrowingBytes } from './growing-bytes.ts';
import { addDecoded, addLiteral, needsNoEscape } from './json-literal.ts';
import { addNumber } from './json-number.ts';
import { ascii, type JsonScanner } from './json-scanner.ts';
import { memberOrder } from './member-order.ts';

/**
 * Reads the value at the scanner's position, which has been scanned before, and moves past it.
 * @returns canonical JSON; `undefined` when a number in it overflows a double
 */
export function canonicalId(scanner: JsonScanner): string | undefined {
  const start = scanner.position;
  const first = scanner.peek();
  if (first !== ascii.openBrace && first !== ascii.openBracket && scanner.scanScalar() && isCanonical(scanner, start)) {
    return scanner.bytes.toString('latin1', start, scanner.position);
  }
  scanner.position = start;
  return new IdWriter(scanner).write();
}

/** Whether the scalar that was scanned from `start` on is written as it was sent, as nearly every id is. */
function isCanonical(scanner: JsonScanner, start: number): boolean {
  const { bytes, position } = scanner;
  const first = bytes[start] ?? 0;
  if (first === ascii.quote) {
    return scanner.textIsPlain && needsNoEscape(bytes, start + 1, position - 1);
  }
  // Up to fifteen digits a double keeps as they are; -0 stays -0.
  const isNumber = first === ascii.minus || (first >= ascii.zero && first <= ascii.nine);
  return !isNumber || (scanner.numberIsInteger && position - start <= 15);
}

/** In place of an object's number: an array. */
const noObject = -1;

/** Shared by all ids, because nothing here yields to another one, and a line may have a hundred thousand of them. */
const room = { written: new GrowingBytes(), names: new GrowingBytes(), decoded: new GrowingBytes() };

/**
 * Lists that grow like a stack are shortened by their count alone, and hold numbers only: a line may have a hundred thousand
 * small objects, and making some lists for each of them is what would cost most.
 */
class IdWriter {
  readonly #scanner: JsonScanner;
  readonly #written = room.written.emptied();

  /** Arrays and objects that are open, the outermost first: the number of the object (-1: an array), and of its first member. */
  #depth = 0;
  readonly #openObjects: number[] = [];
  readonly #firstMembers: number[] = [];

  /**
   * Members of the objects that are open: decoded names, where each member begins in what was written, and the number of the
   * first object that can lie in it.
   */
  #memberCount = 0;
  readonly #names = room.names.emptied();
  readonly #nameStarts: number[] = [];
  readonly #nameEnds: number[] = [];
  readonly #memberStarts: number[] = [];
  readonly #memberObjects: number[] = [];
  readonly #decoded = room.decoded.emptied();

  /**
   * All objects: where their brackets are in what was written, the number of the first object behind them, and their members
   * in `#ordered` if they are to be moved.
   */
  readonly #objectStarts: number[] = [];
  readonly #objectEnds: number[] = [];
  readonly #objectsBehind: number[] = [];
  readonly #orderedFrom: number[] = [];
  readonly #orderedTo: number[] = [];
  /** Begin, end and first object of each member of such objects, in their order. */
  readonly #ordered: number[] = [];

  constructor(scanner: JsonScanner) {
    this.#scanner = scanner;
  }

  write(): string | undefined {
    const scanner = this.#scanner;
    for (;;) {
      const first = scanner.peek();
      if (first === ascii.openBrace || first === ascii.openBracket) {
        if (this.#open(first)) {
          continue;
        }
      } else if (!this.#scalar(first)) {
        return undefined;
      }
      if (!this.#goOn()) {
        return this.#result();
      }
    }
  }

  /** @returns whether a value follows inside of it */
  #open(bracket: number): boolean {
    const scanner = this.#scanner;
    const isObject = bracket === ascii.openBrace;
    const closing = isObject ? ascii.closeBrace : ascii.closeBracket;
    const start = this.#written.length;
    this.#add(bracket);
    scanner.position++;
    if (scanner.take(closing)) {
      this.#add(closing);
      return false;
    }
    this.#openObjects[this.#depth] = isObject ? this.#objectStarts.length : noObject;
    this.#firstMembers[this.#depth++] = this.#memberCount;
    if (isObject) {
      this.#objectStarts.push(start);
      this.#objectEnds.push(0);
      this.#objectsBehind.push(0);
      this.#orderedFrom.push(0);
      this.#orderedTo.push(0);
      this.#name();
    }
    return true;
  }

  /** A value is complete: on to the next one, past every level that ends here. @returns whether there is one */
  #goOn(): boolean {
    const scanner = this.#scanner;
    while (this.#depth > 0) {
      const object = this.#openObjects[this.#depth - 1] ?? noObject;
      if (scanner.take(ascii.comma)) {
        this.#add(ascii.comma);
        if (object === noObject) {
          scanner.skipSpace();
        } else {
          this.#name();
        }
        return true;
      }
      // Neither white space nor a comma: the closing bracket.
      scanner.position++;
      this.#depth--;
      if (object === noObject) {
        this.#add(ascii.closeBracket);
      } else {
        this.#close(object, this.#firstMembers[this.#depth] ?? 0);
      }
    }
    return false;
  }

  #add(byte: number): void {
    this.#written.ensure(1);
    this.#written.put(byte);
  }

  /** The next member of the object begins. */
  #name(): void {
    const scanner = this.#scanner;
    const names = this.#names;
    scanner.scanKey();
    const member = this.#memberCount++;
    const start = names.length;
    this.#memberStarts[member] = this.#written.length;
    this.#memberObjects[member] = this.#objectStarts.length;
    this.#nameStarts[member] = start;
    if (scanner.textIsPlain) {
      names.add(scanner.bytes, scanner.textStart, scanner.textEnd);
    } else {
      addDecoded(names, scanner.bytes, scanner.textStart, scanner.textEnd);
    }
    this.#nameEnds[member] = names.length;
    addLiteral(this.#written, names.bytes, start, names.length);
    this.#add(ascii.colon);
  }

  /** @returns `false` for a number that overflows */
  #scalar(first: number): boolean {
    const scanner = this.#scanner;
    const { bytes, position: start } = scanner;
    scanner.scanScalar();
    if (first === ascii.quote) {
      this.#string();
      return true;
    }
    if (first === ascii.minus || (first >= ascii.zero && first <= ascii.nine)) {
      return addNumber(this.#written, bytes, start, scanner.position);
    }
    this.#written.add(bytes, start, scanner.position);
    return true;
  }

  /** The one scanned last. */
  #string(): void {
    const { bytes, textIsPlain, textStart, textEnd } = this.#scanner;
    if (textIsPlain) {
      addLiteral(this.#written, bytes, textStart, textEnd);
      return;
    }
    const decoded = this.#decoded.emptied();
    addDecoded(decoded, bytes, textStart, textEnd);
    addLiteral(this.#written, decoded.bytes, 0, decoded.length);
  }

  #close(object: number, firstMember: number): void {
    const end = this.#written.length;
    this.#add(ascii.closeBrace);
    this.#objectEnds[object] = end;
    this.#objectsBehind[object] = this.#objectStarts.length;
    const [from, to] = [firstMember, this.#memberCount];
    const names = { bytes: this.#names.bytes, starts: this.#nameStarts, ends: this.#nameEnds };
    const moved = memberOrder(names, from, to);
    this.#names.length = this.#nameStarts[from] ?? 0;
    this.#memberCount = from;
    if (moved === undefined) {
      return;
    }
    this.#orderedFrom[object] = this.#ordered.length;
    for (let place = 0; place < moved.count; place++) {
      const member = moved.order[place] ?? 0;
      // A member ends with the comma in front of the next one, the last one with the bracket.
      const memberEnd = member + 1 < to ? (this.#memberStarts[member + 1] ?? 0) - 1 : end;
      this.#ordered.push(this.#memberStarts[member] ?? 0, memberEnd, this.#memberObjects[member] ?? 0);
    }
    this.#orderedTo[object] = this.#ordered.length;
  }

  #result(): string {
    const all = this.#ordered.length === 0 ? this.#written : this.#inOrder();
    return all.bytes.toString('utf8', 0, all.length);
  }

  /**
   * What was written, with the members of each object in their order. All at the end, because a member that were moved
   * whenever an object around it ends would be moved once for each level.
   */
  #inOrder(): GrowingBytes {
    const { bytes, length } = this.#written;
    const [starts, ends, behind] = [this.#objectStarts, this.#objectEnds, this.#objectsBehind];
    const [ordered, orderedFrom, orderedTo] = [this.#ordered, this.#orderedFrom, this.#orderedTo];
    const moved = this.#nextMoved();
    const result = new GrowingBytes();
    result.ensure(length);
    /** What is to be copied, the next last: begin, end, the first object that can lie in it, and 1 for a comma in front. */
    const parts = [0, length, 0, 0];
    while (parts.length > 0) {
      const comma = parts.pop() ?? 0;
      const object = moved[parts.pop() ?? 0] ?? 0;
      const end = parts.pop() ?? 0;
      const begin = parts.pop() ?? 0;
      if (comma === 1) {
        result.put(ascii.comma);
      }
      const start = starts[object] ?? length;
      if (start >= end) {
        result.add(bytes, begin, end);
        continue;
      }
      result.add(bytes, begin, start + 1);
      parts.push(ends[object] ?? 0, end, behind[object] ?? 0, 0);
      const first = orderedFrom[object] ?? 0;
      for (let at = (orderedTo[object] ?? 0) - 3; at >= first; at -= 3) {
        parts.push(ordered[at] ?? 0, ordered[at + 1] ?? 0, ordered[at + 2] ?? 0, at === first ? 0 : 1);
      }
    }
    return result;
  }

  /** By the number of an object: that of the first from there on whose members are moved, or how many objects there are. */
  #nextMoved(): Uint32Array {
    const count = this.#objectStarts.length;
    const next = new Uint32Array(count + 1);
    next[count] = count;
    for (let object = count - 1; object >= 0; object--) {
      next[object] = (this.#orderedTo[object] ?? 0) > 0 ? object : (next[object + 1] ?? count);
    }
    return next;
  }
}
