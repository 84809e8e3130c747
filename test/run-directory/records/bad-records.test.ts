/** A run directory in which good records of running children stand among bad ones of every shape. */
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { ChildMarkers } from '../../../platform/child-markers.ts';
import { encodeRecord } from '../../../src/run-directory/records/record.ts';
import { markers, reap, recordOf, runDirectory, startMarked, untilMarked, writeRecord } from './support.ts';

/** A record of a pid that nobody has, so that only its shape matters. */
const pid = 2 ** 29;
const whole = recordOf({ child: { pid } } as Parameters<typeof recordOf>[0], { argv0: 'sleep', start: '1' });
const values: readonly unknown[] = [null, 0, -1, 1.5, 1e300, true, '', 'x', '\u0000', [], ['x'], {}, { node: 'x' }];

const shapes: readonly string[] = [
  ...['', '{', 'null', '7', '"text"', '[]', '{}', '[1,2]', '\ufeff{}', '{"__proto__":null}', '\u0000'],
  ...Object.keys(whole).map((key) => JSON.stringify({ ...whole, [key]: undefined })),
  ...Object.keys({ ...whole, program: '' }).flatMap((key) =>
    values.map((value) => JSON.stringify({ ...whole, [key]: value })),
  ),
];

/** At most 128 records are looked at in one start. */
const sets = Array.from({ length: Math.ceil(shapes.length / 100) }, (_, index) =>
  shapes.slice(index * 100, index * 100 + 100),
);

describe.each(sets)('beside bad records of every shape', (...set) => {
  test('a child of a dead daemon is ended, and every bad record is told in a line of its own', async () => {
    const folder = runDirectory();
    const running = startMarked(folder, 'sleep', ['1000']);
    await untilMarked(running);
    for (const [index, text] of set.entries()) {
      // The pid in the text is that of the name, or the name alone would make the record a bad one.
      writeFileSync(
        join(folder, 'children', `${pid + index}.json`),
        text.replace(`"pid":${pid}`, `"pid":${pid + index}`),
      );
    }
    mkdirSync(join(folder, 'children', '12.json'));
    symlinkSync('/dev/zero', join(folder, 'children', '13.json'));
    writeRecord(folder, recordOf(running));
    const lines = await reap(folder);
    expect(lines.join('\n')).not.toMatch(/reaping stopped|ERROR/);
    expect(lines.at(-1)).toMatch(/1 orphaned group\(s\): 1 ended on SIGTERM/);
    expect((await running.over()).signal).toBe('SIGTERM');
    const told = lines.filter((line) => /record \d+\.json: (it is no record|pid \d+ is not a child|kept)/.test(line));
    expect(told).toHaveLength(set.length + 2);
    // The folder cannot be removed as a file, and a record of another host is for that host.
    const left = readdirSync(join(folder, 'children')).filter((name) => name !== '12.json');
    expect(left.length).toBe(lines.filter((line) => line.includes('it belongs to another host')).length);
  });
});

test('a record that cannot be judged is told and kept, and the others are dealt with', async () => {
  const folder = runDirectory();
  const running = startMarked(folder, 'sleep', ['1000']);
  await untilMarked(running);
  writeRecord(folder, recordOf(running));
  writeFileSync(join(folder, 'children', `${pid}.json`), encodeRecord(whole));
  const failing: ChildMarkers = {
    ...markers,
    holdGroup(asked) {
      if (asked === pid) {
        throw new Error('too many open files');
      }
      return markers.holdGroup(asked);
    },
  };
  const lines = await reap(folder, { markers: failing });
  expect(lines.join('\n')).toMatch(/ERROR \[process\.Registry\] record \d+\.json: kept \(Error: too many open files/);
  expect(lines.at(-1)).toMatch(/1 orphaned group\(s\): 1 ended on SIGTERM.* 1 kept/);
  expect((await running.over()).signal).toBe('SIGTERM');
  expect(readdirSync(join(folder, 'children'))).toEqual([`${pid}.json`]);
});
