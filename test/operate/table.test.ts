import stringWidth from 'string-width';
import { expect, test } from 'vitest';
import { ageText, type Column, screenWidth, sizeText, tableLines } from '../../src/operate/table.ts';

const columns: readonly Column[] = [
  { title: 'ID', leastWidth: 6 },
  { title: 'PID', align: 'right' },
  { title: 'COMMAND', leastWidth: 7 },
];

test('a table takes the width it needs, numbers to the right', async () => {
  const rows = [
    ['one', '7', 'sleep 5'],
    ['another', '4711', 'cat'],
  ];
  expect(await tableLines(columns, rows, 80)).toEqual([
    'ID        PID  COMMAND',
    'one         7  sleep 5',
    'another  4711  cat',
  ]);
});

test('a table that is too wide gives way in its last column first, and never goes beyond the screen', async () => {
  const rows = [['a-rather-long-identifier', '4711', 'a command that goes on and on']];
  expect(await tableLines(columns, rows, 45)).toEqual([
    'ID                        PID COMMAND',
    'a-rather-long-identifier 4711 a command that…',
  ]);
  expect((await tableLines(columns, rows, 20))[1]).toBe('a-rath… 4711 a comm…');
  for (let width = 1; width < 70; width++) {
    for (const line of await tableLines(columns, rows, width)) {
      expect(line.length).toBeLessThanOrEqual(width);
    }
  }
});

test('what a terminal would obey is shown, and wide characters do not move the columns', async () => {
  const rows = [
    ['\u001b[2Jid', '1', 'line\nbreak \u202e'],
    ['漢字漢字', '22', 'e\u0301 👩‍👩‍👧'],
  ];
  const lines = await tableLines(columns, rows, 80);
  expect(lines.join('')).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/);
  expect(lines[1]).toContain('\\x1b[2Jid');
  expect(lines[1]).toContain('line\\x0abreak \\u{202e}');
  const ends = lines.slice(1).map((line) => stringWidth(line.slice(0, line.search(/\d (?:line|e)/) + 1)));
  expect(ends[0]).toBe(ends[1]);
});

test('the width is that of the screen, else of COLUMNS, else 80', () => {
  expect(screenWidth({ COLUMNS: '132' }, { columns: 200 })).toBe(200);
  expect(screenWidth({ COLUMNS: '132' }, {})).toBe(132);
  expect(screenWidth({ COLUMNS: 'wide' }, {})).toBe(80);
  expect(screenWidth({}, {})).toBe(80);
});

test('ages and sizes are short', () => {
  expect([0, 119_000, 120_000, 7_200_000, 200_000_000].map(ageText)).toEqual(['0s', '119s', '2m', '2h', '2d']);
  expect([0, 999, 1024, 15_000, 5 * 2 ** 20, 3 * 2 ** 40].map(sizeText)).toEqual([
    '0',
    '999',
    '1.0K',
    '15K',
    '5.0M',
    '3.0T',
  ]);
});
