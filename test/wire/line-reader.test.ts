import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LineReader, maxLineBytes } from '../../src/wire/line-reader.ts';

/** Everything a reader hands out for these chunks, read after each one as a connection does. */
function read(chunks: Iterable<Uint8Array | string>, { end = true } = {}): { lines: string[]; overlong: boolean } {
  const reader = new LineReader();
  const lines: string[] = [];
  const drain = (): void => {
    for (let line = reader.next(); line !== undefined; line = reader.next()) {
      lines.push(line.toString('latin1'));
    }
  };
  for (const chunk of chunks) {
    const reused = Buffer.from(chunk as Uint8Array);
    reader.push(reused);
    // A caller may read the next bytes into the same buffer.
    reused.fill(0x0a);
    drain();
  }
  if (end) {
    reader.end();
    drain();
  }
  return { lines, overlong: reader.overlong };
}

/** The rules of the page, written down once more and in the plainest way. */
function expectedLines(bytes: Buffer): string[] {
  return bytes
    .toString('latin1')
    .split('\n')
    .map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line))
    .filter((line) => line !== '');
}

describe('the boundaries of a line', () => {
  test('a line of 1,048,575 bytes is served', () => {
    const line = 'x'.repeat(1_048_575);
    expect(read([`${line}\n`])).toEqual({ lines: [line], overlong: false });
  });

  test('a line of 1,048,576 bytes is refused, and so is all that follows', () => {
    expect(read([`${'x'.repeat(1_048_576)}\n{}\n`, '{}\n'])).toEqual({ lines: [], overlong: true });
  });

  test('the carriage return before the line end counts', () => {
    const line = 'x'.repeat(1_048_574);
    expect(read([`${line}\r\n`])).toEqual({ lines: [line], overlong: false });
    expect(read([`${line}x\r\n`])).toEqual({ lines: [], overlong: true });
  });

  test('1,048,576 bytes without a line end are refused at once, one byte less waits', () => {
    expect(read(['x'.repeat(1_048_576)], { end: false }).overlong).toBe(true);
    expect(read(['x'.repeat(1_048_575)], { end: false })).toEqual({ lines: [], overlong: false });
  });

  test('an unterminated last line has the same cap', () => {
    const line = 'x'.repeat(1_048_575);
    expect(read([line])).toEqual({ lines: [line], overlong: false });
    expect(read([line, 'x'])).toEqual({ lines: [], overlong: true });
  });

  test('lines before an over-long one are still served', () => {
    expect(read([`one\ntwo\r\n${'x'.repeat(2_000_000)}`, 'three\n'])).toEqual({
      lines: ['one', 'two'],
      overlong: true,
    });
  });

  test('empty lines are skipped, lines of white space are not', () => {
    expect(read(['\n\r\n\r\r\n \n\t\n']).lines).toEqual(['\r', ' ', '\t']);
  });

  test('only one carriage return is removed, and only at the end', () => {
    expect(read(['a\rb\r\r\n']).lines).toEqual(['a\rb\r']);
  });

  test('bytes after the last line end are a line once the input has ended', () => {
    expect(read(['one\n{"jsonrpc"'])).toEqual({ lines: ['one', '{"jsonrpc"'], overlong: false });
    expect(read(['one\ntwo\r']).lines).toEqual(['one', 'two']);
    expect(read(['one\n\r']).lines).toEqual(['one']);
    expect(read(['one\ntwo'], { end: false }).lines).toEqual(['one']);
  });
});

test('any split of any bytes gives the same lines', () => {
  const byte = fc.oneof(fc.constantFrom(0x0a, 0x0d, 0x20), fc.integer({ min: 0, max: 255 }));
  fc.assert(
    fc.property(fc.array(fc.array(byte, { maxLength: 20 }), { maxLength: 20 }), (pieces) => {
      const chunks = pieces.map((piece) => Uint8Array.from(piece));
      const whole = Buffer.concat(chunks);
      expect(read(chunks).lines).toEqual(expectedLines(whole));
      expect(read(Array.from(whole, (one) => Uint8Array.of(one))).lines).toEqual(expectedLines(whole));
      expect(read([whole]).lines).toEqual(expectedLines(whole));
    }),
  );
});

test('a connection that pauses between two lines loses nothing of what arrives meanwhile', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.stringMatching(/^[a-z]{0,2000}\r?\n?$/), fc.constant('pull' as const)), { maxLength: 60 }),
      (steps) => {
        const reader = new LineReader();
        const lines: string[] = [];
        let sent = '';
        for (const step of steps) {
          if (step === 'pull') {
            const line = reader.next();
            if (line !== undefined) {
              lines.push(line.toString('latin1'));
            }
          } else {
            sent += step;
            reader.push(Buffer.from(step));
          }
        }
        reader.end();
        for (let line = reader.next(); line !== undefined; line = reader.next()) {
          lines.push(line.toString('latin1'));
        }
        expect(lines).toEqual(expectedLines(Buffer.from(sent)));
      },
    ),
  );
});

test('lines stay whole while the memory behind them grows, moves and shrinks', () => {
  const sizes: [lineBytes: number, chunkBytes: number][] = [
    [3_000, 1_000],
    [3_000, 5_000],
    [70_000, 65_536],
    [200_000, 65_536],
    [1_000, 300_000],
  ];
  for (const [lineBytes, chunkBytes] of sizes) {
    const lines = Array.from({ length: 40 }, (_, index) => `${index}:`.padEnd(lineBytes + index, `<${index}>`));
    const stream = Buffer.from(`${lines.join('\n')}\n`);
    const reader = new LineReader();
    const seen: string[] = [];
    for (let at = 0, turn = 0; at < stream.length; at += chunkBytes, turn++) {
      reader.push(stream.subarray(at, at + chunkBytes));
      // Now and then nothing is pulled, one line is, or all are.
      for (let line = turn % 3 === 0 ? undefined : reader.next(); line !== undefined; ) {
        seen.push(line.toString());
        line = turn % 3 === 1 ? undefined : reader.next();
      }
    }
    for (let line = reader.next(); line !== undefined; line = reader.next()) {
      seen.push(line.toString());
    }
    expect(seen).toEqual(lines);
  }
});

test.each([1, 7, 65_536])('the longest line is served when it arrives %d bytes at a time', (size) => {
  const line = Buffer.alloc(maxLineBytes, '0123456789');
  function* pieces(): Generator<Uint8Array> {
    const stream = Buffer.concat([line, Buffer.from('\nnext\n')]);
    for (let at = 0; at < stream.length; at += size) {
      yield stream.subarray(at, at + size);
    }
  }
  const { lines, overlong } = read(pieces());
  expect(overlong).toBe(false);
  expect(lines.map((each) => each.length)).toEqual([maxLineBytes, 4]);
  expect(lines[0] === line.toString('latin1')).toBe(true);
});

test('a connection that has read a huge line gives its memory back', () => {
  const reader = new LineReader();
  reader.push(Buffer.alloc(1_000_000, 'x'));
  expect(reader.next()).toBeUndefined();
  reader.push(Buffer.from('\nrest of'));
  expect(reader.next()?.buffer.byteLength).toBeGreaterThan(1_000_000);
  expect(reader.next()).toBeUndefined();
  reader.push(Buffer.from(' a line\n'));
  const line = reader.next();
  expect(line?.toString()).toBe('rest of a line');
  expect(line?.buffer.byteLength).toBeLessThanOrEqual(262_144);
});

test('lines of one read stay as they are while later ones are pulled', () => {
  const reader = new LineReader();
  reader.push(Buffer.from(`one\n${'x'.repeat(500_000)}\ntwo\n`));
  const [first, second, third, none] = [reader.next(), reader.next(), reader.next(), reader.next()];
  expect(none).toBeUndefined();
  expect([first?.toString(), second?.length, third?.toString()]).toEqual(['one', 500_000, 'two']);
});
