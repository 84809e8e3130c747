/** Which spawns mean the same agent session (spec process.md §3.6). */
import { describe, expect, test } from 'vitest';
import { sessionKey } from '../../src/engine/local/session-key.ts';

const agent = '--output-format=stream-json';

describe('a spawn is an agent session', () => {
  test.each([['--input-format=stream-json'], ['--output-format=stream-json'], ['stream-json']])(
    'by the word %s',
    (word) => {
      expect(sessionKey(['-p', word, '--session-id', 'k1'])).toBe('k1');
      expect(sessionKey(['--session-id', 'k1', word])).toBe('k1');
    },
  );

  test.each([
    ['no such word', []],
    ['another format', ['--output-format=json', '--output-format', 'json']],
    ['a longer word', ['--output-format=stream-json2', 'xstream-json']],
    ['a part of a word', ['--verbose=stream-json', '--x stream-json']],
    ['another spelling', ['Stream-JSON', '--Output-Format=stream-json']],
  ])('but not by %s', (_, words) => {
    expect(sessionKey([...words, '--session-id', 'k1'])).toBeUndefined();
  });
});

describe('its key is', () => {
  test.each<[string, string[], string | undefined]>([
    ['the value after --session-id', ['--session-id', 'k1'], 'k1'],
    ['the value in --session-id=', ['--session-id=k1'], 'k1'],
    ['the value of --session-id, whatever --resume says', ['--resume', 'k2', '--session-id', 'k1'], 'k1'],
    ['the value of --session-id, also of a fork', ['--fork-session', '--session-id=k1', '--resume=k2'], 'k1'],
    ['the value after --resume', ['--resume', 'k2'], 'k2'],
    ['the value in --resume=', ['--resume=k2'], 'k2'],
    ['kept as it is, also with = and spaces in it', ['--session-id=a=b c'], 'a=b c'],
    ['none for a fork', ['--resume', 'k2', '--fork-session'], undefined],
    ['none without either', ['--verbose'], undefined],
    ['none for a --session-id that is the last word', ['--session-id'], undefined],
    ['none for an empty value', ['--session-id=', '--resume='], undefined],
    ['none for an empty next word', ['--session-id', ''], undefined],
    ['none for a value that is a flag', ['--session-id', '--verbose', '--resume', '-c'], undefined],
    ['that of --resume when --session-id has none', ['--session-id', '--resume', 'k2'], 'k2'],
    ['none for a longer flag', ['--session-ids=k1', '--resume-at=k2'], undefined],
  ])('%s', (_, words, expected) => {
    expect(sessionKey([agent, ...words])).toBe(expected);
  });
});
