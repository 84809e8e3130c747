/** From the value of a settings file to words, or to the reason why there are none (spec generation-n2.md §3.4, §3.5). */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { launcherWords } from '../../../src/install/managed-launcher/launcher-value.ts';
import { PolicyFolder } from './policy-folder.ts';

const metacharacter =
  'the value contains an unquoted shell metacharacter (one of ; | & $ ( ) ` < >) — it is an argv list, not a shell command';
const noLauncher =
  'the value is set but contains no launcher — unset it to run without one, or set it to the absolute path of your launcher';
const emptyWord = 'the value contains an empty `""` token — remove it, or fill in the value it was a placeholder for';

/** A second implementation, as plain as can be: the text is cut into tokens, and the tokens are put together. */
function naively(value: string): ReturnType<typeof launcherWords> {
  const token =
    /"(?<quoted>(?:[^"\\]|\\["\\]|\\(?!["\\]))*)"|(?<open>")|(?<meta>[;|&$()`<>])|(?<space>\s+)|(?<plain>[^\s";|&$()`<>]+)/gy;
  const words: string[][] = [[]];
  for (const { groups = {} } of value.matchAll(token)) {
    const { quoted, open, meta, space, plain } = groups;
    if (meta !== undefined) {
      return { reason: metacharacter };
    }
    if (open !== undefined) {
      return { reason: 'unterminated double quote' };
    }
    if (space !== undefined) {
      words.push([]);
    } else {
      words.at(-1)?.push(plain ?? (quoted ?? '').replace(/\\(["\\])/g, '$1'));
    }
  }
  const argv = words.filter((parts) => parts.length > 0).map((parts) => parts.join(''));
  return argv[0] !== '' && argv.includes('') ? { reason: emptyWord } : { argv };
}

test('words are split as a second, plain implementation splits them', () => {
  const pieces = [
    ' ',
    '\t',
    '\n',
    '\u00a0',
    '\ufeff',
    '\u0085',
    '\u2028',
    '"',
    '"',
    '\\',
    '\\"',
    "'",
    ';',
    '$',
    '`',
    'a',
    '/b',
    '[',
    '\u00e9',
  ];
  const texts = fc
    .array(fc.constantFrom(...pieces), { maxLength: 24 })
    .map((parts) => parts.join(''))
    .filter((text) => !text.trimStart().startsWith('['));
  fc.assert(
    fc.property(texts, (text) => {
      expect(launcherWords(text)).toEqual(naively(text));
    }),
    { numRuns: 20_000 },
  );
});

test('words that are quoted come back as they were, whatever is in them', () => {
  const words = fc.array(fc.string({ minLength: 1, unit: 'binary' }), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(words, (argv) => {
      const value = argv.map((word) => `"${word.replace(/["\\]/g, '\\$&')}"`).join(' ');
      expect(launcherWords(value)).toEqual({ argv });
    }),
  );
});

describe('a value', () => {
  test.each<[value: string, expected: readonly string[] | string]>([
    ['/a  b\u00a0c\ufeffd\u0085e', ['/a', 'b', 'c', 'd\u0085e']],
    ['/a "b c"d \'e f\'', ['/a', 'b cd', "'e", "f'"]],
    ['/a "\\"\\\\\\n" \\b \\"c d"', ['/a', '"\\\\n', '\\b', '\\c d']],
    [
      '["/a","","c"]',
      'the JSON array contains an empty element — remove it, or fill in the value it was a placeholder for',
    ],
    ['["/a"] x', 'value starts with `[` but is not valid JSON'],
    ['[', 'value starts with `[` but is not valid JSON'],
    ['["/a",null]', 'JSON form must be an array of strings'],
    [' ["/a;b","\\u0041\\ud800"]', ['/a;b', 'A\ufffd']],
    ['/a "" b', emptyWord],
    ['/a ";" "$x"', ['/a', ';', '$x']],
    ['/a; "', metacharacter],
    ['/a "; b', 'unterminated double quote'],
  ])('%s', (value, expected) => {
    expect(launcherWords(value)).toEqual(typeof expected === 'string' ? { reason: expected } : { argv: expected });
  });
});

describe('a launcher is refused', () => {
  test.each<[value: string, reason: string]>([
    [' ', noLauncher],
    ['""', noLauncher],
    ['"" ""', noLauncher],
    ['[]', noLauncher],
    ['["","a"]', noLauncher],
    ['/opt/claude', "launcher `/opt/claude` is Claude Code's own path"],
    ['claude', "launcher `claude` is Claude Code's own path"],
    ['run --x', 'the launcher must be an absolute path, not a bare name resolved via PATH'],
    ['./run.js', 'the launcher must be an absolute path, not a bare name resolved via PATH'],
    ['/nowhere/run.jsx', 'launcher `/nowhere/run.jsx` is a script the SDK would run in place of Claude Code'],
    ['/nowhere/run.JS', 'launcher `/nowhere/run.JS` does not exist or is not an executable regular file'],
    ['/tmp', 'launcher `/tmp` does not exist or is not an executable regular file'],
    ['/etc/passwd', 'launcher `/etc/passwd` does not exist or is not an executable regular file'],
    ['/dev/null', 'launcher `/dev/null` does not exist or is not an executable regular file'],
    ['["/a\\u0000b"]', 'launcher `/a\u0000b` does not exist or is not an executable regular file'],
    // 256 bytes are shown whole; of more the last whole character within them.
    [`/${'x'.repeat(255)}`, `launcher \`/${'x'.repeat(255)}\` does not exist or is not an executable regular file`],
    [`/${'x'.repeat(256)}`, `launcher \`/${'x'.repeat(255)}…\` does not exist or is not an executable regular file`],
    [`/${'x'.repeat(254)}é`, `launcher \`/${'x'.repeat(254)}…\` does not exist or is not an executable regular file`],
    [
      `/${'x'.repeat(252)}😀😀`,
      `launcher \`/${'x'.repeat(252)}…\` does not exist or is not an executable regular file`,
    ],
  ])('%s', async (value, reason) => {
    const folder = new PolicyFolder();
    folder.put('managed-settings.json', { processWrapper: value });
    const cliPath = value === 'claude' ? 'claude' : '/opt/claude';
    expect(await folder.resolve({}, { cliPath })).toEqual({ status: 'unusable', source: folder.base, reason });
  });

  test('but not for its arguments, and a link to it stays a link', async () => {
    const folder = new PolicyFolder();
    folder.put('managed-settings.json', { processWrapper: '/proc/self/exe /opt/claude run.js relative' });
    expect(await folder.resolve()).toMatchObject({
      status: 'usable',
      argv: ['/proc/self/exe', '/opt/claude', 'run.js', 'relative'],
    });
  });
});
