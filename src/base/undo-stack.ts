/** The language's `AsyncDisposableStack` where the runtime has it; Node.js 22 has not, and gets the part that is used here. */

export interface UndoStack extends AsyncDisposable {
  /** Undoes what `value` is when the stack is disposed of. */
  use<T extends AsyncDisposable | Disposable | null | undefined>(value: T): T;
  defer(undo: () => PromiseLike<void> | void): void;
  /** Undoes everything, the latest first. A step that fails does not skip the others; their errors come together. */
  disposeAsync(): Promise<void>;
}

class OwnStack implements UndoStack {
  #steps: (() => PromiseLike<void> | void)[] = [];

  use<T extends AsyncDisposable | Disposable | null | undefined>(value: T): T {
    if (value !== null && value !== undefined) {
      this.defer(() =>
        Symbol.asyncDispose in value ? value[Symbol.asyncDispose]() : (value as Disposable)[Symbol.dispose](),
      );
    }
    return value;
  }

  defer(undo: () => PromiseLike<void> | void): void {
    this.#steps.push(undo);
  }

  async disposeAsync(): Promise<void> {
    const steps = this.#steps.reverse();
    this.#steps = [];
    const errors: unknown[] = [];
    for (const undo of steps) {
      try {
        await undo();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) {
      throw errors.reduce((suppressed, error) =>
        Object.assign(new Error('another step of the end failed too'), { name: suppressedName, error, suppressed }),
      );
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.disposeAsync();
  }
}

const suppressedName = 'SuppressedError';

/** @param own the one written here, whatever the runtime has; for its test */
export function createUndoStack(own = typeof globalThis.AsyncDisposableStack === 'undefined'): UndoStack {
  return own ? new OwnStack() : new AsyncDisposableStack();
}

/** What the steps of a stack have thrown, in the order in which they did. */
export function failuresOf(thrown: unknown): readonly unknown[] {
  if (thrown instanceof Error && thrown.name === suppressedName) {
    const { error, suppressed } = thrown as SuppressedError;
    return [...failuresOf(suppressed), error];
  }
  return [thrown];
}
