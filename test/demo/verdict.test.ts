import { expect, test } from 'vitest';
import { compare, type ProgramCount, type Received } from './verdict.ts';

const program: ProgramCount = {
  stdout: { bytes: 1_234_567, sha256: 'a'.repeat(64) },
  stderr: { bytes: 0, sha256: 'b'.repeat(64) },
  exitCode: 0,
};
const received: Received = {
  stdout: { bytes: 1_234_567, sha256: 'a'.repeat(64) },
  stderr: { bytes: 0, sha256: 'b'.repeat(64) },
  exitCode: 0,
  frames: 40,
  lastSeq: 40,
  duplicates: 0,
  gaps: [],
  framesBeforeCut: 12,
};

const failing = (changes: Partial<Received>): string[] =>
  compare(program, { ...received, ...changes })
    .filter(({ holds }) => !holds)
    .map(({ what }) => what);

test('a complete stream passes the verdict', () => {
  expect(failing({})).toEqual([]);
});

test.each<[string, Partial<Received>, string[]]>([
  ['a byte too few', { stdout: { ...program.stdout, bytes: 1_234_566 } }, ['stdout bytes']],
  ['another content', { stderr: { ...program.stderr, sha256: 'c'.repeat(64) } }, ['stderr SHA-256']],
  ['another exit code', { exitCode: -1 }, ['exit code']],
  ['no exit frame', { exitCode: undefined }, ['exit code']],
  ['a lost frame', { frames: 39, gaps: [{ after: 12, before: 14 }] }, ['frames', 'gaps']],
  ['a doubled frame', { frames: 41, duplicates: 1 }, ['frames', 'duplicates']],
  ['a cut after the end', { framesBeforeCut: 40 }, ['cut in the middle']],
  ['a cut before the start', { framesBeforeCut: 0 }, ['cut in the middle']],
])('the demo fails after %s', (_, changes, failed) => {
  expect(failing(changes)).toEqual(failed);
});
