/** Shared memory of Linux. */
import { closeSync, openSync, statSync } from 'node:fs';
import { expect } from 'vitest';
import { createSharedMemory } from '../../platform/posix/shared-memory.ts';
import { linux, testNeeding } from '../support/needs.ts';
import { segmentBytes, sharedMemoryContract } from './shared-memory.contract.ts';

sharedMemoryContract({
  test: (title, run) => testNeeding(linux)(title, {}, run),
  memory: createSharedMemory,
  other() {
    const file = openSync('/etc/passwd', 'r');
    return { address: String(file), close: () => closeSync(file) };
  },
  errors: { other: /no memory that can be relied on/, noNumber: /no number of a descriptor/, nothing: /ENOENT/ },
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
