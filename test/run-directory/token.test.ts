/** The text of a token and the files it is read from (spec wire.md §8). */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { loadPlatform } from '../../platform/load.ts';
import { maxTokenBytes, readTokenFile, tokenOf } from '../../src/run-directory/token.ts';

const platform = await loadPlatform();
const directory = mkdtempSync('/tmp/hf-');
afterAll(() => rmSync(directory, { recursive: true }));

describe('the token', () => {
  test.each([
    ['the whole text when there is no line end', 'tok', 'tok'],
    ['what stands before the line end', 'tok\n', 'tok'],
    ['the first line of several', 'tok\nmore\n', 'tok'],
    ['free of one carriage return before the line end', 'tok\r\n', 'tok'],
    ['free of one carriage return at the end', 'tok\r', 'tok'],
    ['free of one carriage return only', 'tok\r\r\n', 'tok\r'],
    ['kept with all its other white space', ' \ttok \t\n', ' \ttok \t'],
    ['white space alone, if that is what there is', ' \n', ' '],
  ])('is %s', (_, content, expected) => {
    expect(tokenOf(Buffer.from(content), '--token-file').toString()).toBe(expected);
  });

  test('is taken byte by byte, whatever the bytes are', () => {
    const bytes = Buffer.from([0xff, 0x00, 0x80, 0x0d, 0x41]);
    expect(tokenOf(Buffer.concat([bytes, Buffer.from('\n')]), '--token-fd')).toEqual(bytes);
  });

  test.each(['', '\n', '\r\n', '\r', '\ntok\n'])('must not be empty, as in %j', (content) => {
    for (const source of ['--token-file', '--token-fd'] as const) {
      expect(() => tokenOf(Buffer.from(content), source)).toThrow(`claustrum: read ${source}: token is empty`);
    }
  });

  test('must fit into a request line, and the limit is named', () => {
    const longest = Buffer.alloc(maxTokenBytes - 1, 'x');
    expect(tokenOf(longest, '--token-file')).toEqual(longest);
    expect(() => tokenOf(Buffer.alloc(maxTokenBytes, 'x'), '--token-file')).toThrow(
      'claustrum: read --token-file: token is longer than 524288 bytes',
    );
  });
});

describe('a token file', () => {
  test('is read', () => {
    const path = join(directory, 'token');
    writeFileSync(path, 'tok\nrest');
    expect(readTokenFile(path, platform)).toEqual({ token: Buffer.from('tok'), isDevice: false });
  });

  test('that is missing is named with the reason', () => {
    const path = join(directory, 'none');
    expect(() => readTokenFile(path, platform)).toThrow(
      `claustrum: read --token-file: open ${path}: no such file or directory`,
    );
  });

  test('that is a folder is named with the reason', () => {
    const path = join(directory, 'folder');
    mkdirSync(path);
    expect(() => readTokenFile(path, platform)).toThrow(`claustrum: read --token-file: read ${path}: is a directory`);
  });

  test('that is larger than any token is not read to its end', () => {
    expect(() => readTokenFile('/dev/zero', platform)).toThrow('token is longer than 524288 bytes');
  });
});
