/** Shapes the reader (json-reader.ts), the params schemas (params.ts) and the writer (json-writer.ts) share. */

/** A JSON value kept as the bytes it was sent in; already checked to be strict JSON. Number spelling survives. */
export interface JsonSlice {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

/** Text that is already JSON in the wire's exact spelling and is copied as it is. */
export class JsonText {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

export type ResultValue = string | number | bigint | boolean | JsonText | ResultObject | readonly ResultValue[];

/** Keys are written in insertion order, which is contract; keys whose value is `undefined` are left out. */
export interface ResultObject {
  readonly [key: string]: ResultValue | undefined;
}
