import { expect, test } from 'vitest';
import { type ChildRecord, encodeRecord, parseRecord } from '../../../src/run-directory/records/record.ts';

const record: ChildRecord = {
  pid: 77,
  node: 'boot/pid:[1]',
  host: 'machine-id:1',
  instance: 'a',
  daemonPid: 76,
  daemonStart: '5',
  argv0: 'agent',
  program: '/opt/agent',
  start: '6',
  at: 7,
};

test('a record that was written is read again, whole', () => {
  expect(parseRecord('77.json', encodeRecord(record))).toEqual(record);
});

test.each([
  ['node', ''],
  ['host', ''],
  ['at', 0],
  ['program', undefined],
] as const)('a record without %s is read as one with %j', (key, value) => {
  const { [key]: _, ...less } = record;
  const { [key]: read, ...rest } = parseRecord('77.json', JSON.stringify(less)) ?? {};
  expect(read).toBe(value);
  expect(rest).toEqual(less);
});

test('what else stands in a record is left out', () => {
  expect(parseRecord('77.json', JSON.stringify({ ...record, more: { node: 1 } }))).toEqual(record);
});
