/** Stream and exit frames byte by byte, and what each of them counts in the window (spec process.md §4, §9). */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FrameWriter, maxFrameData } from '../../src/wire/frames.ts';

function dataFrame(id: string, stream: 'stdout' | 'stderr', seq: number, data: Buffer): string {
  const writer = new FrameWriter(id);
  const size = writer.dataSize(stream, seq, data.length);
  const before = 7;
  const target = Buffer.alloc(before + size + 5, 0xee);
  writer.writeData(target, before, stream, seq, data);
  // Not one byte beside the place it was given.
  expect(target.subarray(0, before)).toEqual(Buffer.alloc(before, 0xee));
  expect(target.subarray(before + size)).toEqual(Buffer.alloc(5, 0xee));
  return target.toString('utf8', before, before + size);
}

describe('a frame of output', () => {
  test('has the keys of the contract in their order, and ends with one line end', () => {
    expect(dataFrame('p1', 'stdout', 1, Buffer.from('hello\n'))).toBe(
      '{"type":"stream","processId":"p1","stream":"stdout","seq":1,"data":"aGVsbG8K"}\n',
    );
    expect(dataFrame('p1', 'stderr', 2, Buffer.from('oops\n'))).toBe(
      '{"type":"stream","processId":"p1","stream":"stderr","seq":2,"data":"b29wcwo="}\n',
    );
  });

  test('escapes its id as every text of the wire', () => {
    expect(dataFrame('a<b', 'stderr', 12, Buffer.from('oops\n'))).toBe(
      '{"type":"stream","processId":"a\\u003cb","stream":"stderr","seq":12,"data":"b29wcwo="}\n',
    );
    expect(dataFrame('é\n"\u2028😀', 'stdout', 1, Buffer.from('x'))).toBe(
      '{"type":"stream","processId":"é\\n\\"\\u2028😀","stream":"stdout","seq":1,"data":"eA=="}\n',
    );
  });

  test('of a full read has the size of the contract’s example', () => {
    expect(maxFrameData).toBe(32_768);
    expect(new FrameWriter('p1').dataSize('stdout', 1, 32_768)).toBe(43_763);
  });

  test.each([
    [9, 1],
    [10, 2],
    [99, 2],
    [100, 3],
    [999_999, 6],
    [1_000_000, 7],
    [2 ** 53 - 1, 16],
  ])('number %d adds %d digits to its size', (seq, digits) => {
    expect(new FrameWriter('p1').dataSize('stdout', seq, 0)).toBe(68 + 2 + digits);
    expect(dataFrame('p1', 'stderr', seq, Buffer.from('abc'))).toContain(`"seq":${seq},"data":"YWJj"`);
  });

  test('counts 68 bytes, its escaped id, its number and its text, and gives every byte back', () => {
    const id = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 });
    const data = fc.uint8Array({ minLength: 1, maxLength: 400 });
    fc.assert(
      fc.property(
        id,
        fc.constantFrom('stdout', 'stderr'),
        fc.integer({ min: 1, max: 1e9 }),
        data,
        (id, stream, seq, bytes) => {
          const text = dataFrame(id, stream as 'stdout' | 'stderr', seq, Buffer.from(bytes));
          const escapedId = /^\{"type":"stream","processId":"(.*)","stream":"std/.exec(text)?.[1] as string;
          const base64 = Buffer.from(bytes).toString('base64');
          expect(Buffer.byteLength(text)).toBe(68 + Buffer.byteLength(escapedId) + String(seq).length + base64.length);
          expect(JSON.parse(text)).toEqual({ type: 'stream', processId: id, stream, seq, data: base64 });
        },
      ),
    );
  });
});

describe('an exit frame', () => {
  const exit = (status: { code: number; signal?: string }, named: boolean, killedBy?: 'client' | 'shutdown'): string =>
    new FrameWriter('c1').exit(2, { signal: undefined, ...status }, named, killedBy).toString();

  test.each([
    [0, '{"type":"stream","processId":"c1","stream":"exit","seq":2,"exitCode":0}\n'],
    [255, '{"type":"stream","processId":"c1","stream":"exit","seq":2,"exitCode":255}\n'],
    [-1, '{"type":"stream","processId":"c1","stream":"exit","seq":2,"exitCode":-1}\n'],
    [4_294_967_295, '{"type":"stream","processId":"c1","stream":"exit","seq":2,"exitCode":4294967295}\n'],
  ])('of a plain end with %d is the same in every generation', (code, expected) => {
    expect([exit({ code }, false), exit({ code }, true)]).toEqual([expected, expected]);
    expect(Buffer.byteLength(expected)).toBe(68 + 2 + 1 + String(code).length);
  });

  test('names the signal, and who asked for it, where the generation does', () => {
    const terminated = { code: -1, signal: 'SIGTERM' };
    expect(exit(terminated, true, 'client')).toBe(
      '{"type":"stream","processId":"c1","stream":"exit","seq":2,"exitCode":-1,"signal":"SIGTERM","killedBy":"client"}\n',
    );
    expect(exit(terminated, true)).toBe(
      '{"type":"stream","processId":"c1","stream":"exit","seq":2,"exitCode":-1,"signal":"SIGTERM"}\n',
    );
    expect(exit({ code: 0 }, true, 'client')).toBe(
      '{"type":"stream","processId":"c1","stream":"exit","seq":2,"exitCode":0,"killedBy":"client"}\n',
    );
    expect(exit({ code: 1 }, true, 'shutdown')).toBe(
      '{"type":"stream","processId":"c1","stream":"exit","seq":2,"exitCode":1,"killedBy":"shutdown"}\n',
    );
  });

  test('names neither in the first generation', () => {
    expect(exit({ code: -1, signal: 'SIGKILL' }, false, 'client')).toBe(
      '{"type":"stream","processId":"c1","stream":"exit","seq":2,"exitCode":-1}\n',
    );
  });

  test('escapes its id', () => {
    const frame = new FrameWriter('a<b é').exit(1, { code: 0, signal: undefined }, true, undefined);
    expect(frame.toString('utf8')).toBe(
      '{"type":"stream","processId":"a\\u003cb é","stream":"exit","seq":1,"exitCode":0}\n',
    );
  });
});
