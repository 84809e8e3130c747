import { expect, test } from 'vitest';
import { commandText } from '../../src/operate/command-text.ts';

test.each([
  [['--api-key', 'sk-123'], 'x --api-key [hidden]'],
  [['--api-key=sk-123'], 'x --api-key=[hidden]'],
  [['ANTHROPIC_API_KEY=sk-123'], 'x ANTHROPIC_API_KEY=[hidden]'],
  [['--token', '--verbose', 'word'], 'x --token --verbose word'],
  [['-password', 'a b'], 'x -password [hidden]'],
  [['https://me:pw@host/path'], 'x https://[hidden]@host/path'],
  [['-H', 'Authorization: Bearer abc.def-123'], 'x -H "Authorization: Bearer [hidden]"'],
  [['--max-tokens', '5'], 'x --max-tokens [hidden]'],
  [['--tokenizer', 'bpe'], 'x --tokenizer bpe'],
  [['a word', ''], 'x "a word" ""'],
])('%j is shown as %s', (args, shown) => {
  expect(commandText('x', args)).toBe(shown);
});
