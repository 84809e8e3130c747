import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { noModeText, parseFlags, selectMode, usage } from '../../src/config/flags.ts';
import { optionNames, options } from '../../src/config/options.ts';
import type { Profile } from '../../src/wire/profile.ts';
import { defaultProfile, profileNamed } from '../../src/wire/profiles.ts';

const next = profileNamed('next') as Profile;
const current = profileNamed('current') as Profile;

/** What a command line gives, or the message it fails with. */
function given(...words: string[]): unknown {
  const result = parseFlags(words);
  return result.outcome === 'parsed' ? result.given : result.outcome === 'failed' ? result.message : result.outcome;
}

describe('a flag', () => {
  test('may have one dash or two, and its value follows or is attached', () => {
    for (const words of [['-socket', '/s'], ['--socket', '/s'], ['-socket=/s'], ['--socket=/s']]) {
      expect(given(...words)).toEqual({ socket: '/s' });
    }
  });

  test('takes whatever follows as its value, also what looks like a flag', () => {
    expect(given('-socket', '-serve')).toEqual({ socket: '-serve' });
    expect(given('-socket', '--', '-serve')).toEqual({ socket: '--', serve: true });
    expect(given('-socket=', '-serve')).toEqual({ socket: '', serve: true });
    expect(given('-socket=a=b')).toEqual({ socket: 'a=b' });
  });

  test('given twice has its last value', () => {
    expect(given('-socket', 'a', '-socket', 'b')).toEqual({ socket: 'b' });
  });

  test('counts as given also with its default value', () => {
    expect(given('-keep-children=false', '-wire-log', '', '-max-extract-bytes', '0')).toEqual({
      'keep-children': false,
      'wire-log': '',
      'max-extract-bytes': 0,
    });
  });

  test('that is a switch takes a value only with an equals sign', () => {
    expect(given('-serve')).toEqual({ serve: true });
    for (const word of ['1', 't', 'T', 'true', 'TRUE', 'True']) {
      expect(given(`-serve=${word}`)).toEqual({ serve: true });
    }
    for (const word of ['0', 'f', 'F', 'false', 'FALSE', 'False']) {
      expect(given(`-serve=${word}`)).toEqual({ serve: false });
    }
    expect(parseFlags(['-serve', 'false', '-socket', '/s'])).toEqual({
      outcome: 'parsed',
      given: { serve: true },
      rest: ['false', '-socket', '/s'],
    });
  });

  test('is not looked for after the first other word, after "--" or after a lone dash', () => {
    for (const [words, rest] of [
      [
        ['x', '-serve'],
        ['x', '-serve'],
      ],
      [['--', '-serve'], ['-serve']],
      [
        ['-', '-serve'],
        ['-', '-serve'],
      ],
      [
        ['', '-serve'],
        ['', '-serve'],
      ],
    ] as const) {
      expect(parseFlags(words)).toEqual({ outcome: 'parsed', given: {}, rest });
    }
  });

  test('named like a member of every object is unknown', () => {
    expect(given('-toString')).toBe('flag provided but not defined: -toString');
    expect(given('-__proto__=1')).toBe('flag provided but not defined: -__proto__');
  });

  test('of the configuration files only is unknown on the command line', () => {
    expect(given('-version-override', 'a'.repeat(40))).toBe('flag provided but not defined: -version-override');
  });
});

describe('a refusal has the words of the contract', () => {
  test.each([
    [['-nope'], 'flag provided but not defined: -nope'],
    [['--nope=1'], 'flag provided but not defined: -nope'],
    [['-\u001b[2J'], 'flag provided but not defined: -\\x1b[2J'],
    [['---serve'], 'bad flag syntax: ---serve'],
    [['-=x'], 'bad flag syntax: -=x'],
    [['-socket'], 'flag needs an argument: -socket'],
    [['-serve=maybe'], 'invalid boolean value "maybe" for -serve: parse error'],
    [['-serve='], 'invalid boolean value "" for -serve: parse error'],
    [['-serve=yes'], 'invalid boolean value "yes" for -serve: parse error'],
    [['-token-fd', 'x"y\n'], 'invalid value "x\\"y\\n" for flag -token-fd: parse error'],
    [['-token-fd', '0x10'], 'invalid value "0x10" for flag -token-fd: parse error'],
    [['-token-fd', ''], 'invalid value "" for flag -token-fd: parse error'],
    [['-token-fd', '1.0'], 'invalid value "1.0" for flag -token-fd: parse error'],
    [
      ['-max-extract-bytes', '9223372036854775808'],
      'invalid value "9223372036854775808" for flag -max-extract-bytes: parse error',
    ],
    [['-git-timeout', '5'], 'invalid value "5" for flag -git-timeout: parse error'],
    [['-wire-profile', 'N'], 'invalid value "N" for flag -wire-profile: want S, current, next or latest'],
    [['-wire-profile', ''], 'invalid value "" for flag -wire-profile: want S, current, next or latest'],
  ])('%j', (words, message) => {
    expect(given(...words)).toBe(message);
  });

  test('and the first one of the line is the one that is told', () => {
    expect(given('-serve=x', '-nope')).toBe('invalid boolean value "x" for -serve: parse error');
    expect(given('-h', '-nope')).toBe('help');
    expect(given('-nope', '-h')).toBe('flag provided but not defined: -nope');
  });
});

describe('values', () => {
  test('a profile is named without regard to case', () => {
    expect(given('-wire-profile', 'NEXT')).toEqual({ 'wire-profile': next });
    expect(given('-wire-profile', 's')).toEqual({ 'wire-profile': defaultProfile });
  });

  test('numbers are decimal, signed, up to 64 bits', () => {
    expect(given('-token-fd', '+3')).toEqual({ 'token-fd': 3 });
    expect(given('-token-fd', '-1')).toEqual({ 'token-fd': -1 });
    expect(given('-max-extract-bytes', '0017')).toEqual({ 'max-extract-bytes': 17 });
    expect(given('-max-extract-bytes', '9223372036854775807')).toEqual({
      'max-extract-bytes': Number.MAX_SAFE_INTEGER,
    });
  });

  test('durations have Go’s spelling', () => {
    expect(given('-git-timeout', '1h30m')).toEqual({ 'git-timeout': 5_400_000 });
    expect(given('-git-timeout', '5')).toBe('invalid value "5" for flag -git-timeout: parse error');
  });

  test('no command line makes the parser throw, and it never reads a word twice', () => {
    const word = fc.oneof(
      fc.constantFrom('-', '--', '-serve', '-serve=', '-socket', '-h', '-git-timeout', '-token-fd=', '1s', '-1'),
      fc.string({ unit: 'binary' }),
      fc.string().map((text) => `-${text}`),
    );
    fc.assert(
      fc.property(fc.array(word), (words) => {
        const result = parseFlags(words);
        if (result.outcome === 'parsed') {
          expect(result.rest).toEqual(words.slice(words.length - result.rest.length));
        }
      }),
    );
  });
});

describe('the mode', () => {
  test('is chosen by a fixed order when several are asked for', () => {
    const order = ['version', 'install', 'probe-cli', 'serve', 'bridge', 'stop'] as const;
    for (const [index, name] of order.entries()) {
      const asked = Object.fromEntries(order.slice(index).map((mode) => [mode, mode === 'probe-cli' ? '/cli' : true]));
      expect(selectMode(asked, next)).toBe(name);
    }
  });

  test('probe-cli counts in the profile that has it, and only with a path', () => {
    expect(selectMode({ 'probe-cli': '/cli' }, defaultProfile)).toBe(undefined);
    expect(selectMode({ 'probe-cli': '/cli', stop: true }, current)).toBe('stop');
    expect(selectMode({ 'probe-cli': '/cli', stop: true }, next)).toBe('probe-cli');
    expect(selectMode({ 'probe-cli': '' }, next)).toBe(undefined);
  });

  test('that is switched off is none', () => {
    expect(selectMode({ serve: false }, defaultProfile)).toBe(undefined);
    expect(selectMode({ version: false, stop: true }, defaultProfile)).toBe('stop');
  });

  test('that is missing is told with the modes of the profile', () => {
    const short = 'claustrum: one of --version/--install/--serve/--bridge/--stop is required';
    expect(noModeText(defaultProfile)).toBe(short);
    expect(noModeText(current)).toBe(short);
    expect(noModeText(next)).toBe(
      'claustrum: one of --version/--install/--probe-cli/--serve/--bridge/--stop is required',
    );
  });
});

test('the usage text has an entry for every flag and shows nothing a terminal obeys', () => {
  const text = usage('/bin/hold\u001bfast');
  expect(text.split('\n')[0]).toBe('Usage of /bin/hold\\x1bfast:');
  const entries = [...text.matchAll(/^ {2}-([a-z-]+)/gm)].map(([, name]) => name);
  expect(entries.sort()).toEqual(optionNames.filter((name) => options[name].flag).sort());
});
