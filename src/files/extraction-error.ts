/** Why an extraction failed, in the contract's words (spec files.md §7.2). */
export class ExtractionError extends Error {
  override readonly name = 'ExtractionError';
}
