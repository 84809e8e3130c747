/** Room at first, and the most that is kept for later, in numbers. */
const firstRoom = 1024;
const keptRoom = 16_384;

/**
 * Rows of a few numbers each, of 32 bits, one behind the other: a list of what is written for every small part of a line, for
 * which a list of JavaScript would be made anew and grow in steps that the garbage collector has to follow.
 */
export class GrowingNumbers {
  numbers = new Uint32Array(firstRoom);

  /** Room as at first: what is in it counts no more. */
  emptied(): this {
    if (this.numbers.length > keptRoom) {
      this.numbers = new Uint32Array(firstRoom);
    }
    return this;
  }

  /** Makes sure that there is room for so many; `numbers` may be another list afterwards. */
  ensure(count: number): void {
    if (count > this.numbers.length) {
      const larger = new Uint32Array(Math.max(2 * this.numbers.length, count));
      larger.set(this.numbers);
      this.numbers = larger;
    }
  }
}
