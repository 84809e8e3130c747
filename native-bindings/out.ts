/** Where a function writes one value it gives back: an array of one, read after the call. */
export type Out<T> = [T];
