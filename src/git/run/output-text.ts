/** Texts of git's output (spec git.md §2.1, §2.3). */
import type { CommandResult } from '../../base/run-command.ts';
import { decodeBytes } from '../../wire/utf8.ts';

/** White space as the contract trims it. */
const spaceAtEnds =
  /^[\t\n\v\f\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+|[\t\n\v\f\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+$/g;

export function trimSpace(text: string): string {
  return text.replace(spaceAtEnds, '');
}

/** Standard output without the newline at its end; for single values such as a path or a ref. */
export function lineOf(result: CommandResult): string {
  return decodeBytes(result.stdout).replace(/\r?\n$/, '');
}

/** Standard output as lines; what follows the last newline counts if there is anything. */
export function linesOf(output: Buffer): string[] {
  const lines = decodeBytes(output).split('\n');
  if (lines.at(-1) === '') {
    lines.pop();
  }
  return lines;
}

/** Both outputs, trimmed. */
export function combinedText(result: CommandResult): string {
  return trimSpace(decodeBytes(result.combined));
}

/** The text rule: at most 512 bytes of standard error on one line, or the failure where it said nothing. */
export function ruledText(result: CommandResult): string {
  const text = decodeBytes(result.stderr.subarray(0, 512))
    // A byte that is not UTF-8 travels as a lone surrogate.
    .replace(/(?<![\ud800-\udbff])[\udc80-\udcff]/g, '')
    .replace(/[^\p{L}\p{M}\p{N}\p{P}\p{S}]/gu, ' ')
    .replace(/^ +| +$/g, '');
  return text === '' ? (result.failure ?? '') : text;
}

/** A path's last component. */
export function lastComponent(path: string): string {
  return (
    path
      .replace(/[/\\]+$/, '')
      .split('/')
      .at(-1) || path
  );
}

/** At most `most` bytes, less a character that the cut went through. */
export function cutBytes(bytes: Buffer, most: number): Buffer {
  if (bytes.length <= most) {
    return bytes;
  }
  let end = most;
  // A continuation byte right behind the cut means that its character began before it.
  while (end > most - 3 && end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) {
    end--;
  }
  return bytes.subarray(0, ((bytes[end] ?? 0) & 0xc0) === 0x80 ? most : end);
}
