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
