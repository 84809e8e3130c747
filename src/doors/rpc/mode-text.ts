/** The member `mode` of `files.stat` (spec files.md §3). */
import type { FileKind, FileStatus } from '../../../platform/files.ts';

const kindLetters: Record<FileKind, string> = {
  file: '',
  directory: 'd',
  link: 'L',
  fifo: 'p',
  socket: 'S',
  blockDevice: 'D',
  characterDevice: 'D',
  other: '',
};

/** Kind letters, then nine permission characters. The text of `ls` is another one. */
export function modeText({ kind, permissions }: Pick<FileStatus, 'kind' | 'permissions'>): string {
  let letters = kindLetters[kind];
  if (permissions & 0o4000) {
    letters += 'u';
  }
  if (permissions & 0o2000) {
    letters += 'g';
  }
  if (kind === 'characterDevice') {
    letters += 'c';
  }
  if (permissions & 0o1000) {
    letters += 't';
  }
  if (kind === 'other') {
    letters += '?';
  }
  let positions = '';
  for (let bit = 8; bit >= 0; bit--) {
    positions += permissions & (1 << bit) ? 'rwx'.charAt((8 - bit) % 3) : '-';
  }
  return `${letters === '' ? '-' : letters}${positions}`;
}
