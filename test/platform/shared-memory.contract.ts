/** Memory that one process writes and another one reads, whatever the system makes it of. */
import { expect, type TestFunction, type test } from 'vitest';
import type { SharedMemory } from '../../platform/shared-memory.ts';

export const segmentBytes = 192 * 1024;

export interface SharedMemoryCase {
  /** How a test is declared: it may need something. */
  readonly test: (title: string, run: TestFunction) => ReturnType<typeof test>;
  memory(): SharedMemory;
  /** Something of ours that is open and is no such memory, as `open` is told of it. */
  other(): { readonly address: string; close(): void };
  readonly errors: { readonly other: RegExp; readonly noNumber: RegExp; readonly nothing: RegExp };
}

export function sharedMemoryContract({ test, memory: create, other, errors }: SharedMemoryCase): void {
  test('what is written in shared memory is read at once, also in segments that came later', () => {
    const memory = create();
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
    written.discard(second.subarray(0, 64 * 1024));
    second.write('again');
    expect(second.toString('latin1', 0, 5)).toBe('again');
    expect(second.toString('latin1', segmentBytes - 3)).toBe('two');
  });

  test('nothing but such memory is opened, and no segment that is not there', () => {
    const memory = create();
    const { address, close } = other();
    expect(() => memory.open(process.pid, address, segmentBytes)).toThrow(errors.other);
    expect(() => memory.open(process.pid, `../fd/${address}`, segmentBytes)).toThrow(errors.noNumber);
    expect(() => memory.open(process.pid, '999999', segmentBytes)).toThrow(errors.nothing);
    close();
    const written = memory.create(segmentBytes);
    written.addSegment();
    const read = memory.open(process.pid, written.address, segmentBytes);
    for (const index of [1, -1, 0.5, Number.NaN, 2 ** 40]) {
      expect(() => read.segment(index)).toThrow(/there is no segment/);
    }
    read.close();
  });
}
