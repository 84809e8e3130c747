/** What is wrong with an archive. The message is the contract's text without its prefix (spec files.md §7.2, read failures). */
export class ArchiveError extends Error {
  override readonly name = 'ArchiveError';
}

export const unexpectedEnd = () => new ArchiveError('unexpected EOF');
export const invalidTarHeader = () => new ArchiveError('archive/tar: invalid tar header');
