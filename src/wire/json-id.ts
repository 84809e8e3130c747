/**
 * The `id` of a request, decoded and written again (spec wire.md §4.4). From bytes to bytes and never recursive: an id may be as
 * long and as deep as a line, and what it costs holds up everybody else.
 */
import { GrowingBytes } from './growing-bytes.ts';
import { GrowingNumbers } from './growing-numbers.ts';
import { addDecoded, addEscaped, addLiteral, needsNoEscape } from './json-literal.ts';
import { addNumber } from './json-number.ts';
import { ascii, type JsonScanner } from './json-scanner.ts';
import { inOrder, memberOrder, orderedMember } from './member-order.ts';
import { moved, object, withMembersMoved } from './moved-members.ts';
import type { Steps } from './steps.ts';

/**
 * Reads the id at the scanner's position and moves past it, if it is written as it was sent, as nearly every one is.
 * @returns `undefined`, at the same position, for any other, and for what is no JSON
 */
export function plainId(scanner: JsonScanner): string | undefined {
  const start = scanner.position;
  const first = scanner.peek();
  if (first !== ascii.openBrace && first !== ascii.openBracket && scanner.scanScalar() && isCanonical(scanner, start)) {
    return scanner.bytes.toString('latin1', start, scanner.position);
  }
  scanner.goBack(start);
  return undefined;
}

/**
 * Reads the value at the scanner's position, which has been scanned before, and moves past it.
 * @returns canonical JSON; `undefined` when a number in it overflows a double
 */
export function* canonicalId(scanner: JsonScanner): Steps<string | undefined> {
  const room = spareRoom ?? newRoom();
  spareRoom = undefined;
  try {
    return yield* new IdWriter(scanner, room).write();
  } finally {
    spareRoom = room;
  }
}

/** Whether the scalar that was scanned from `start` on is written as it was sent. */
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

/** A string that is longer is written in steps of so many bytes. */
const textOfStep = 32_768;

/** In place of an object's number: an array. */
const noObject = 0xffff_ffff;

type Room = ReturnType<typeof newRoom>;

/** For the next id, unless one that was interrupted has it: a line may have a hundred thousand of them. */
let spareRoom: Room | undefined;

/** The numbers are rows, see the constants below. */
function newRoom() {
  return {
    written: new GrowingBytes(),
    names: new GrowingBytes(),
    /** Of each member: begin and end of its name. */
    places: new GrowingNumbers(),
    decoded: new GrowingBytes(),
    levels: new GrowingNumbers(),
    members: new GrowingNumbers(),
    objects: new GrowingNumbers(),
    ordered: new GrowingNumbers(),
  };
}

/** Of each array and object that is open, the outermost first: the number of the object (or `noObject`), and of its first member. */
const level = { object: 0, firstMember: 1, size: 2 } as const;
/**
 * Of each member of the objects that are open: where it begins in what was written, and the number of the first object that
 * can lie in it. Its name is in a list of its own, which is sorted.
 */
const member = { start: 0, firstObject: 1, size: 2 } as const;
/**
 * Members of an object that is no longer than this are moved at once. So few objects can lie in each other within so many bytes
 * that being moved once for each of them costs little.
 */
const smallBytes = 64;
const aside = new Uint8Array(smallBytes);

/** A line may have a hundred thousand small objects, and making something for each of them is what would cost most. */
class IdWriter {
  readonly #scanner: JsonScanner;
  readonly #written: GrowingBytes;
  readonly #decoded: GrowingBytes;
  readonly #levels: GrowingNumbers;
  #depth = 0;
  readonly #members: GrowingNumbers;
  readonly #names: { readonly text: GrowingBytes; readonly places: GrowingNumbers };
  #memberCount = 0;
  readonly #objects: GrowingNumbers;
  #objectCount = 0;
  readonly #ordered: GrowingNumbers;
  #orderedCount = 0;

  constructor(scanner: JsonScanner, room: Room) {
    this.#scanner = scanner;
    this.#written = room.written.emptied();
    this.#decoded = room.decoded.emptied();
    this.#levels = room.levels.emptied();
    this.#members = room.members.emptied();
    this.#names = { text: room.names.emptied(), places: room.places.emptied() };
    this.#objects = room.objects.emptied();
    this.#ordered = room.ordered.emptied();
  }

  *write(): Steps<string | undefined> {
    const scanner = this.#scanner;
    for (;;) {
      if (scanner.endsStep()) {
        yield;
      }
      const first = scanner.peek();
      if (first === ascii.openBrace || first === ascii.openBracket) {
        if (this.#open(first)) {
          continue;
        }
      } else if (first === ascii.quote) {
        scanner.scanString();
        if (scanner.textEnd - scanner.textStart > textOfStep) {
          yield* this.#longString();
        } else {
          this.#string();
        }
      } else if (!this.#scalar(first)) {
        return undefined;
      }
      if (!this.#goOn()) {
        return yield* this.#result();
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
    this.#levels.ensure((this.#depth + 1) * level.size);
    const at = this.#depth++ * level.size;
    this.#levels.numbers[at + level.object] = isObject ? this.#objectCount : noObject;
    this.#levels.numbers[at + level.firstMember] = this.#memberCount;
    if (isObject) {
      this.#objects.ensure((this.#objectCount + 1) * object.size);
      const { numbers } = this.#objects;
      const row = this.#objectCount++ * object.size;
      numbers[row + object.start] = start;
      numbers[row + object.orderedTo] = 0;
      this.#name();
    }
    return true;
  }

  /** A value is complete: on to the next one, past every level that ends here. @returns whether there is one */
  #goOn(): boolean {
    const scanner = this.#scanner;
    while (this.#depth > 0) {
      const at = (this.#depth - 1) * level.size;
      const open = this.#levels.numbers[at + level.object] ?? noObject;
      if (scanner.take(ascii.comma)) {
        this.#add(ascii.comma);
        if (open === noObject) {
          scanner.skipSpace();
        } else {
          this.#name();
        }
        return true;
      }
      // Neither white space nor a comma: the closing bracket.
      scanner.position++;
      this.#depth--;
      if (open === noObject) {
        this.#add(ascii.closeBracket);
      } else {
        this.#close(open, this.#levels.numbers[at + level.firstMember] ?? 0);
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
    const { text, places } = this.#names;
    scanner.scanKey();
    const count = this.#memberCount++;
    this.#members.ensure((count + 1) * member.size);
    const row = count * member.size;
    this.#members.numbers[row + member.start] = this.#written.length;
    this.#members.numbers[row + member.firstObject] = this.#objectCount;
    const start = text.length;
    if (scanner.textIsPlain) {
      text.add(scanner.bytes, scanner.textStart, scanner.textEnd);
    } else {
      addDecoded(text, scanner.bytes, scanner.textStart, scanner.textEnd);
    }
    places.ensure(2 * count + 2);
    places.numbers[2 * count] = start;
    places.numbers[2 * count + 1] = text.length;
    addLiteral(this.#written, text.bytes, start, text.length);
    this.#add(ascii.colon);
  }

  /** Of any kind but a string. @returns `false` for a number that overflows */
  #scalar(first: number): boolean {
    const scanner = this.#scanner;
    const { bytes, position: start } = scanner;
    scanner.scanScalar();
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

  /** The one scanned last, in steps. */
  *#longString(): Steps<void> {
    const { bytes, textIsPlain, textStart, textEnd } = this.#scanner;
    const decoded = this.#decoded.emptied();
    for (let at = textIsPlain ? textEnd : textStart; at < textEnd; ) {
      at = addDecoded(decoded, bytes, at, textEnd, Math.min(at + textOfStep, textEnd));
      yield;
    }
    const [source, start, end] = textIsPlain ? [bytes, textStart, textEnd] : [decoded.bytes, 0, decoded.length];
    this.#add(ascii.quote);
    for (let at = start; at < end; ) {
      at = addEscaped(this.#written, source, at, Math.min(at + textOfStep, end));
      yield;
    }
    this.#add(ascii.quote);
  }

  #close(closed: number, from: number): void {
    const end = this.#written.length;
    this.#add(ascii.closeBrace);
    const objects = this.#objects.numbers;
    const row = closed * object.size;
    objects[row + object.end] = end;
    objects[row + object.behind] = this.#objectCount;
    const to = this.#memberCount;
    const { text, places } = this.#names;
    const count = memberOrder(text.bytes, places.numbers, from, to);
    text.length = places.numbers[2 * from] ?? 0;
    this.#memberCount = from;
    if (count === inOrder) {
      return;
    }
    const start = objects[row + object.start] ?? 0;
    if (end - start <= smallBytes) {
      this.#moveNow(start, end, to, count);
      return;
    }
    objects[row + object.orderedFrom] = this.#orderedCount;
    this.#ordered.ensure((this.#orderedCount + count) * moved.size);
    const ordered = this.#ordered.numbers;
    const members = this.#members.numbers;
    for (let place = 0; place < count; place++) {
      const at = orderedMember(place);
      const target = this.#orderedCount++ * moved.size;
      ordered[target + moved.begin] = members[at * member.size + member.start] ?? 0;
      // A member ends with the comma in front of the next one, the last one with the bracket.
      ordered[target + moved.end] = at + 1 < to ? (members[(at + 1) * member.size + member.start] ?? 0) - 1 : end;
      ordered[target + moved.firstObject] = members[at * member.size + member.firstObject] ?? 0;
    }
    objects[row + object.orderedTo] = this.#orderedCount;
  }

  /**
   * Puts the members of a small object in their order where it was written. What is in it is small too, so nothing of it is to
   * be moved at the end.
   */
  #moveNow(start: number, end: number, to: number, count: number): void {
    const { bytes } = this.#written;
    const members = this.#members.numbers;
    for (let at = start; at < end; at++) {
      aside[at - start] = bytes[at] ?? 0;
    }
    let target = start + 1;
    for (let place = 0; place < count; place++) {
      if (place > 0) {
        bytes[target++] = ascii.comma;
      }
      const at = orderedMember(place);
      const memberEnd = at + 1 < to ? (members[(at + 1) * member.size + member.start] ?? 0) - 1 : end;
      for (let from = members[at * member.size + member.start] ?? 0; from < memberEnd; from++) {
        bytes[target++] = aside[from - start] ?? 0;
      }
    }
    bytes[target++] = ascii.closeBrace;
    this.#written.length = target;
  }

  *#result(): Steps<string> {
    let all = this.#written;
    if (this.#orderedCount > 0) {
      const [objects, ordered] = [this.#objects.numbers, this.#ordered.numbers];
      const id = { written: all, objects, objectCount: this.#objectCount, ordered };
      all = yield* withMembersMoved(id, this.#levels);
    }
    return all.bytes.toString('utf8', 0, all.length);
  }
}
