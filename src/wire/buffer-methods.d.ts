/** Methods every Node `Buffer` has, which `@types/node` leaves out: the encodings without the dispatch on their names. */
declare global {
  interface Buffer {
    base64Slice(start: number, end: number): string;
    latin1Slice(start: number, end: number): string;
    utf8Slice(start: number, end: number): string;
    /** @returns bytes written */
    latin1Write(text: string, offset: number): number;
  }
}

export {};
