/** The last part of writing an id again (json-id.ts): members that stand in another order than that of their names are moved. */
import { GrowingBytes } from './growing-bytes.ts';
import type { GrowingNumbers } from './growing-numbers.ts';
import { ascii } from './json-scanner.ts';
import type { Steps } from './steps.ts';

/**
 * Of each object: where its brackets are in what was written, the number of the first object behind it, and its members among
 * the ordered ones if they are to be moved.
 */
export const object = { start: 0, end: 1, behind: 2, orderedFrom: 3, orderedTo: 4, size: 5 } as const;
/** Of each member that is to be moved, in the order of its object: begin, end, and the first object that can lie in it. */
export const moved = { begin: 0, end: 1, firstObject: 2, size: 3 } as const;
/** Of each object whose members are being copied: its number, the next of them, and the end of what it is a part of. */
const copy = { object: 0, place: 1, end: 2, size: 3 } as const;

/** Members that are copied before others may come first. */
const copiesOfStep = 1024;

/** An id as it was sent, but for the order of the members. */
export interface WrittenId {
  readonly written: GrowingBytes;
  /** Rows of `object`. */
  readonly objects: Uint32Array;
  readonly objectCount: number;
  /** Rows of `moved`. */
  readonly ordered: Uint32Array;
}

/**
 * What was written, with the members of each object in their order. All at the end, because a member that were moved
 * whenever an object around it ends would be moved once for each level.
 * @param copies room, whatever is in it
 */
export function* withMembersMoved(
  { written, objects, objectCount, ordered }: WrittenId,
  copies: GrowingNumbers,
): Steps<GrowingBytes> {
  const { bytes, length } = written;
  const nextMoved = nextWithMovedMembers(objects, objectCount);
  copies.emptied();
  let depth = 0;
  const result = new GrowingBytes();
  result.ensure(length);
  /** What is copied next, and the first object that can lie in it. */
  let [begin, end, first] = [0, length, 0];
  for (let copied = 1; ; copied++) {
    if (copied % copiesOfStep === 0) {
      yield;
    }
    const next = nextMoved[first] ?? 0;
    const row = next * object.size;
    const start = next === objectCount ? length : (objects[row + object.start] ?? length);
    if (start >= end) {
      result.add(bytes, begin, end);
    } else {
      result.add(bytes, begin, start + 1);
      copies.ensure((depth + 1) * copy.size);
      const at = depth++ * copy.size;
      copies.numbers[at + copy.object] = next;
      copies.numbers[at + copy.place] = objects[row + object.orderedFrom] ?? 0;
      copies.numbers[at + copy.end] = end;
    }
    if (depth === 0) {
      return result;
    }
    const at = (depth - 1) * copy.size;
    const around = (copies.numbers[at + copy.object] ?? 0) * object.size;
    const place = copies.numbers[at + copy.place] ?? 0;
    if (place < (objects[around + object.orderedTo] ?? 0)) {
      if (place > (objects[around + object.orderedFrom] ?? 0)) {
        result.put(ascii.comma);
      }
      copies.numbers[at + copy.place] = place + 1;
      const from = place * moved.size;
      begin = ordered[from + moved.begin] ?? 0;
      end = ordered[from + moved.end] ?? 0;
      first = ordered[from + moved.firstObject] ?? 0;
    } else {
      depth--;
      begin = objects[around + object.end] ?? 0;
      end = copies.numbers[at + copy.end] ?? 0;
      first = objects[around + object.behind] ?? 0;
    }
  }
}

/** By the number of an object: that of the first from there on whose members are moved, or how many objects there are. */
function nextWithMovedMembers(objects: Uint32Array, count: number): Uint32Array {
  const next = new Uint32Array(count + 1);
  next[count] = count;
  for (let at = count - 1; at >= 0; at--) {
    next[at] = (objects[at * object.size + object.orderedTo] ?? 0) > 0 ? at : (next[at + 1] ?? count);
  }
  return next;
}
