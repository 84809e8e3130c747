/** Texts from git's output (spec git.md §2.1, §2.3). */
import type { CommandResult } from '../../base/run-command.ts';
import { decodeBytes } from '../../wire/utf8.ts';

/** Runs of the characters that the contract counts as white space, at both ends. */
const spaceAtEnds =
  /^[\t\n\v\f\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+|[\t\n\v\f\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+$/g;

export function trimSpace(text: string): string {
  return text.replace(spaceAtEnds, '');
}

/** Standard output without the newline at its end; for single values such as a path or a ref. */
export function lineOf(result: CommandResult): string {
  return decodeBytes(result.stdout).replace(/\r?\n$/, '');
}

/** Standard output as lines. Bytes after the last newline are a line too. */
export function linesOf(output: Buffer): string[] {
  const lines = decodeBytes(output).split('\n');
  if (lines.at(-1) === '') {
    lines.pop();
  }
  return lines;
}

/** The parts of an output that has a NUL byte after each (`-z`). */
export function* nulParts(output: Buffer): Generator<Buffer> {
  for (let at = 0; at < output.length; ) {
    const end = output.indexOf(0, at);
    if (end < 0) {
      return;
    }
    yield output.subarray(at, end);
    at = end + 1;
  }
}

/** Both outputs, trimmed. */
export function combinedText(result: CommandResult): string {
  return trimSpace(decodeBytes(result.combined));
}

/** The text rule: at most 512 bytes of standard error on one line, or the failure when standard error is empty. */
export function ruledText(result: CommandResult): string {
  const text = decodeBytes(result.stderr.subarray(0, 512))
    // `decodeBytes` turns a byte that is not UTF-8 into a lone surrogate.
    .replace(/(?<![\ud800-\udbff])[\udc80-\udcff]/g, '')
    .replace(/[^\p{L}\p{M}\p{N}\p{P}\p{S}]/gu, ' ')
    .replace(/^ +| +$/g, '');
  return text === '' ? (result.failure ?? '') : text;
}

/** The first `most` bytes, without a last character that would be cut in two. */
export function cutBytes(bytes: Buffer, most: number): Buffer {
  if (bytes.length <= most) {
    return bytes;
  }
  let end = most;
  // A continuation byte right behind the cut belongs to a character that began before the cut.
  while (end > most - 3 && end > 0 && isContinuation(bytes, end)) {
    end--;
  }
  return bytes.subarray(0, isContinuation(bytes, end) ? most : end);
}

function isContinuation(bytes: Buffer, at: number): boolean {
  return (bytes.readUInt8(at) & 0xc0) === 0x80;
}

/**
 * The name of a ref as people write it: of a branch, a tag or a remote branch without the folders before it. git's own short
 * forms depend on which other refs there are.
 */
export function shortRef(ref: string): string {
  return ref.replace(/^refs\/(?:heads\/|tags\/|remotes\/)?/, '');
}
