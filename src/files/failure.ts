/** Why a file is not read although the system would give it. A system call that fails is a `SystemCallError` instead. */

export type FilesFailureKind = 'isFolder' | 'notRegularFile' | 'overLimit';

/** The kind says it all: whoever serves the request finds the words for it. */
export class FilesFailure extends Error {
  override readonly name = 'FilesFailure';
  readonly kind: FilesFailureKind;

  constructor(kind: FilesFailureKind) {
    super(kind);
    this.kind = kind;
  }
}
