/** The members of an object in the order of their names' UTF-8 bytes, the last of several with one name (spec wire.md §4.4). */

/**
 * Shared by all objects, because nothing here yields to another one: numbers of members; and for each what it is sorted by, as
 * two halves of a number of 64 bits, the lower one first.
 */
let order = new Uint32Array(64);
let ranks = new BigUint64Array(64);
let halves = new Uint32Array(ranks.buffer);

/** The members stand in their order already. */
export const inOrder = -1;

/**
 * Puts the members with numbers from `from` to `to` in order.
 * @param bytes of all names
 * @param places for each member two numbers: where its name begins and ends
 * @returns how many are left, for `orderedMember`; or `inOrder`
 */
export function memberOrder(bytes: Uint8Array, places: Uint32Array, from: number, to: number): number {
  if (areInOrder(bytes, places, from, to)) {
    return inOrder;
  }
  const count = to - from;
  if (count > order.length) {
    order = new Uint32Array(2 * count);
    ranks = new BigUint64Array(2 * count);
    halves = new Uint32Array(ranks.buffer);
  }
  for (let index = 0; index < count; index++) {
    order[index] = from + index;
  }
  if (count <= few) {
    sortFew(bytes, places, 0, count, 0);
    return keepLast(bytes, places, 0, count, 0);
  }
  return sort(bytes, places, count);
}

/** The number of the member at a place of the last order. */
export function orderedMember(place: number): number {
  return order[place] ?? 0;
}

function areInOrder(bytes: Uint8Array, places: Uint32Array, from: number, to: number): boolean {
  for (let member = from + 1; member < to; member++) {
    if (compare(bytes, places, member - 1, member, 0) >= 0) {
      return false;
    }
  }
  return true;
}

/** @param depth up to which the two are equal */
function compare(bytes: Uint8Array, places: Uint32Array, left: number, right: number, depth: number): number {
  let at = (places[2 * left] ?? 0) + depth;
  let other = (places[2 * right] ?? 0) + depth;
  const end = places[2 * left + 1] ?? 0;
  const otherEnd = places[2 * right + 1] ?? 0;
  while (at < end && other < otherEnd) {
    const difference = (bytes[at++] ?? 0) - (bytes[other++] ?? 0);
    if (difference !== 0) {
      return difference;
    }
  }
  return end - at - (otherEnd - other);
}

/** So many bytes of a name are looked at in one go. */
const step = 4;
/** Lower half of a rank: the number of the member, and above it how many of the bytes are the name's. */
const memberBits = 24;
const memberMask = 2 ** memberBits - 1;
/** Fewer members than this are put in order one by one. */
const few = 12;

/**
 * Four bytes of each name and the member's own number make numbers that V8 sorts, then the parts with the same four bytes are
 * sorted by their next four: each byte is looked at about once, whatever the names have in common. Comparing whole names again
 * and again took 40 ms for 75,000 of them.
 * @returns how many members are left
 */
function sort(bytes: Uint8Array, places: Uint32Array, count: number): number {
  /** Parts to sort, the first last: begin, end and the number of bytes that all names of the part share. */
  const parts = [0, count, 0];
  let kept = 0;
  while (parts.length > 0) {
    const depth = parts.pop() ?? 0;
    const end = parts.pop() ?? 0;
    const begin = parts.pop() ?? 0;
    if (depth === isOne) {
      order[kept++] = order[end - 1] ?? 0;
    } else if (depth === areApart) {
      for (let index = begin; index < end; index++) {
        order[kept++] = order[index] ?? 0;
      }
    } else if (end - begin <= few) {
      sortFew(bytes, places, begin, end, depth);
      kept = keepLast(bytes, places, begin, end, kept);
    } else {
      rank(bytes, places, begin, end, depth);
      addParts(parts, begin, end, depth);
    }
  }
  return kept;
}

/** In place of a depth: all names of the part are the same, and the last member counts. */
const isOne = -1;
/** In place of a depth: the names of the part are in their order, and no two are the same. */
const areApart = -2;

/** Sorts by the bytes at `depth`. */
function rank(bytes: Uint8Array, places: Uint32Array, begin: number, end: number, depth: number): void {
  for (let index = begin; index < end; index++) {
    const member = order[index] ?? 0;
    const at = (places[2 * member] ?? 0) + depth;
    const length = Math.min((places[2 * member + 1] ?? 0) - at, step);
    let value = 0;
    for (let place = 0; place < step; place++) {
      value = (value << 8) | (place < length ? (bytes[at + place] ?? 0) : 0);
    }
    halves[2 * index] = (length << memberBits) | member;
    halves[2 * index + 1] = value;
  }
  ranks.subarray(begin, end).sort();
  for (let index = begin; index < end; index++) {
    order[index] = (halves[2 * index] ?? 0) & memberMask;
  }
}

/** The parts of what was ranked, the last first. */
function addParts(parts: number[], begin: number, end: number, depth: number): void {
  /** Behind those that stand alone and are no part yet. */
  let alone = end;
  for (let last = end - 1; last >= begin; ) {
    let first = last;
    while (first > begin && sharesRank(first - 1, last)) {
      first--;
    }
    if (first !== last) {
      if (last + 1 < alone) {
        parts.push(last + 1, alone, areApart);
      }
      const length = (halves[2 * last] ?? 0) >>> memberBits;
      parts.push(first, last + 1, length < step ? isOne : depth + step);
      alone = first;
    }
    last = first - 1;
  }
  if (begin < alone) {
    parts.push(begin, alone, areApart);
  }
}

function sharesRank(left: number, right: number): boolean {
  const [low, other] = [halves[2 * left] ?? 0, halves[2 * right] ?? 0];
  return halves[2 * left + 1] === halves[2 * right + 1] && low >>> memberBits === other >>> memberBits;
}

function sortFew(bytes: Uint8Array, places: Uint32Array, begin: number, end: number, depth: number): void {
  for (let next = begin + 1; next < end; next++) {
    const member = order[next] ?? 0;
    let at = next;
    for (; at > begin && compare(bytes, places, order[at - 1] ?? 0, member, depth) > 0; at--) {
      order[at] = order[at - 1] ?? 0;
    }
    order[at] = member;
  }
}

/** Of neighbours with one name the last stays, which is the later one because the sort is stable. @returns how many are kept by now */
function keepLast(bytes: Uint8Array, places: Uint32Array, begin: number, end: number, keptBefore: number): number {
  let kept = keptBefore;
  for (let index = begin; index < end; index++) {
    const member = order[index] ?? 0;
    if (index > begin && compare(bytes, places, order[kept - 1] ?? 0, member, 0) === 0) {
      kept--;
    }
    order[kept++] = member;
  }
  return kept;
}
