/** docs/windows.md says of the conformance cases what is true of them. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { generations, readCases } from './conformance/cases.ts';
import { countOf, notHereRows } from './conformance/not-here.ts';

const page = readFileSync(new URL('../../docs/windows.md', import.meta.url), 'utf8');

test('every case that cannot be played is on the page, with its reason', () => {
  const lines = page.split('\n');
  for (const row of notHereRows(readCases())) {
    expect(lines).toContain(row);
  }
});

test('the page has the right numbers', () => {
  for (const generation of generations) {
    const { all, here } = countOf(readCases(), generation);
    expect(page).toContain(`| ${generation} | ${all} | ${here} |`);
  }
});
