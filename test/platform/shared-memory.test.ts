/** Memory that one process writes and another one reads, and what is not taken for such memory. */
import { closeSync, openSync, statSync } from 'node:fs';
import { expect } from 'vitest';
import { createSharedMemory } from '../../platform/posix/shared-memory.ts';
import { linux, testNeeding } from '../support/needs.ts';

const segmentBytes = 192 * 1024;

testNeeding(linux)('what is written in shared memory is read at once, also in segments that came later', {}, () => {
  const memory = createSharedMemory();
  const written = memory.create(segmentBytes);
  const [first, second] = [written.addSegment(), written.addSegment()];
  const read = memory.open(process.pid, written.address, segmentBytes);
  first.write('one', 5);
  second.write('two', segmentBytes - 3);
  const kept = read.segment(0);
  expect(kept.toString('latin1', 5, 8)).toBe('one');
  expect(read.segment(1).toString('latin1', segmentBytes - 3)).toBe('two');
  written.addSegment().write('three');
  expect(read.segment(2).toString('latin1', 0, 5)).toBe('three');
  read.close();
  first.write('ONE', 5);
  expect(kept.toString('latin1', 5, 8)).toBe('ONE');
});

testNeeding(linux)('pages that are not needed are given back, and the reader sees zeros', {}, () => {
  const memory = createSharedMemory();
  const written = memory.create(segmentBytes);
  const segment = written.addSegment().fill(1);
  const file = `/proc/self/fd/${written.address}`;
  expect(statSync(file).blocks * 512).toBe(segmentBytes);
  written.discard(segment.subarray(64 * 1024, 128 * 1024));
  expect(statSync(file).blocks * 512).toBe(segmentBytes - 64 * 1024);
  const read = memory.open(process.pid, written.address, segmentBytes).segment(0);
  expect([read[64 * 1024 - 1], read[64 * 1024], read[128 * 1024]]).toEqual([1, 0, 1]);
});

testNeeding(linux)('nothing but such memory is opened, and no segment that is not there', {}, () => {
  const memory = createSharedMemory();
  const file = openSync('/etc/passwd', 'r');
  expect(() => memory.open(process.pid, String(file), segmentBytes)).toThrow(/no memory that can be relied on/);
  expect(() => memory.open(process.pid, `../fd/${file}`, segmentBytes)).toThrow(/no number of a descriptor/);
  expect(() => memory.open(process.pid, '999999', segmentBytes)).toThrow(/ENOENT/);
  closeSync(file);
  const written = memory.create(segmentBytes);
  written.addSegment();
  const read = memory.open(process.pid, written.address, segmentBytes);
  for (const index of [1, -1, 0.5, Number.NaN, 2 ** 40]) {
    expect(() => read.segment(index)).toThrow(/there is no segment/);
  }
});
