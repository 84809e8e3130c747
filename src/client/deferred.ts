/** A promise with its ends in hand: `Promise.withResolvers`, which Node.js 20 does not have. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T | PromiseLike<T>): void;
  reject(error: unknown): void;
}

/** @param watched `false`: nobody needs to look at a rejection; whoever awaits the promise still gets it */
export function defer<T>(watched = true): Deferred<T> {
  let resolve!: Deferred<T>['resolve'];
  let reject!: Deferred<T>['reject'];
  const promise = new Promise<T>((onValue, onError) => {
    resolve = onValue;
    reject = onError;
  });
  if (!watched) {
    promise.catch(() => {});
  }
  return { promise, resolve, reject };
}
