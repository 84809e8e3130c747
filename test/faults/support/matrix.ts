/** The pass matrix of docs/faults.md: which calls of which work were made to fail, at how many places, with which errors. */
import { afterAll } from 'vitest';

export interface PassMatrix {
  /** What was written, the call, its places and errors; added once all of it has passed. */
  add(what: string, call: string, places: number, errors: readonly string[]): void;
}

/** At the top of a test file. Its rows are printed, ready for the page, with `HOLDFAST_TEST_MATRIX=1`. */
export function passMatrix(): PassMatrix {
  const rows: string[] = [];
  afterAll(() => {
    if (process.env.HOLDFAST_TEST_MATRIX === '1') {
      for (const row of rows) {
        console.log(row);
      }
    }
  });
  return {
    add(what, call, places, errors) {
      const cells = [what, `\`${call}\``, String(places), errors.join(', '), 'pass'];
      rows.push(`| ${cells.join(' | ')} |`);
    },
  };
}

/** All places, or, of a long row of the same, the first, the ones around the middle (the switch of files) and the last. */
export function few(found: readonly number[]): readonly number[] {
  if (found.length <= 8) {
    return found;
  }
  const middle = Math.floor(found.length / 2);
  return [0, 1, middle - 2, middle - 1, middle, middle + 1, found.length - 2, found.length - 1].map(
    (at) => found[at] as number,
  );
}
