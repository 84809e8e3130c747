/** Quoting is right when Windows' own parser gives the words back. */
import fc from 'fast-check';
import koffi, { type KoffiFunc } from 'koffi';
import { describe, expect, test } from 'vitest';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import type { Out } from '../../native-bindings/out.ts';
import { batchCommandLine, isBatchFile, joinWords, splitWords } from '../../platform/win32/command-line.ts';

const shell32 = koffi.load('shell32.dll');
/** shellapi.h. The list is one block, freed with LocalFree. */
const CommandLineToArgvW: KoffiFunc<(line: string, count: number[]) => kernel32.Address | null> = shell32.func(
  'void * __stdcall CommandLineToArgvW(str16 line, _Out_ int *count)',
);

/** What Windows makes of a command line. */
function parsedByWindows(line: string): string[] {
  const count: Out<number> = [0];
  const list = CommandLineToArgvW(line, count);
  if (list === null) {
    throw new Error(`CommandLineToArgvW: ${kernel32.GetLastError()}`);
  }
  try {
    const words: string[] = [];
    const pointers = Buffer.from(koffi.view(list, count[0] * 8));
    for (let index = 0; index < count[0]; index++) {
      words.push(koffi.decode.string16(pointers.readBigUInt64LE(index * 8)));
    }
    return words;
  } finally {
    kernel32.LocalFree(list);
  }
}

/** Words made of what quoting is about, and any others. */
const word = fc.oneof(
  fc.string({ unit: fc.constantFrom('"', '\\', ' ', '\t', 'a', '%', '^', '&'), maxLength: 12 }),
  fc.string({ maxLength: 20 }).filter((text) => !text.includes('\0')),
);

describe('a command line', () => {
  test('gives every word back, as Windows parses it and as we do', () => {
    fc.assert(
      fc.property(fc.array(word, { maxLength: 6 }), (args) => {
        const line = joinWords(['C:\\Program Files\\tool.exe', ...args]);
        expect(parsedByWindows(line).slice(1)).toEqual(args);
        expect(splitWords(line)).toEqual(['C:\\Program Files\\tool.exe', ...args]);
      }),
      { numRuns: 500 },
    );
  });

  test('of anybody else is read as Windows reads it', () => {
    const pieces = fc.array(fc.constantFrom('"', '\\', ' ', '\t', 'a', 'b'), { maxLength: 20 });
    fc.assert(
      fc.property(pieces, (rest) => {
        const line = `tool ${rest.join('')}`;
        expect(splitWords(line)).toEqual(parsedByWindows(line));
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('a batch file', () => {
  test('is known by its ending, also behind dots and spaces that Windows drops', () => {
    for (const file of ['a.bat', 'C:\\x\\a.CMD', 'a.cmd.', 'a.bat ']) {
      expect([file, isBatchFile(file)]).toEqual([file, true]);
    }
    for (const file of ['a.exe', 'cmd', 'a.bat.exe', 'a.com']) {
      expect([file, isBatchFile(file)]).toEqual([file, false]);
    }
  });

  test('leaves harmless words as they are and wraps all others', () => {
    expect(
      batchCommandLine('C:\\Windows\\System32\\cmd.exe', 'C:\\a b.cmd', ['-x', 'a b', 'a"b', '100%', 'c:\\d\\']),
    ).toBe(
      'C:\\Windows\\System32\\cmd.exe /e:ON /v:OFF /d /s /c ""C:\\a b.cmd" -x "a b" "a""b" "100%%cd:~,%" "c:\\d\\\\""',
    );
  });

  test('cannot be given a line break', () => {
    expect(batchCommandLine('cmd.exe', 'a.cmd', ['a\rb'])).toBeUndefined();
    expect(batchCommandLine('cmd.exe', 'a.cmd', ['a\nb'])).toBeUndefined();
    expect(batchCommandLine('cmd.exe', 'a"b.cmd', [])).toBeUndefined();
  });
});
