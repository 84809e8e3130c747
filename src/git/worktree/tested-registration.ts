/**
 * The registration of a new worktree, held open from the tests of it to the end of its making: whoever puts another folder in
 * its place meanwhile has that folder left alone (register entry D24).
 */
import { constants } from 'node:fs';
import { type FileHandle, lstat, open } from 'node:fs/promises';

export class TestedRegistration implements AsyncDisposable {
  readonly entry: string;
  readonly #handle: FileHandle;

  private constructor(entry: string, handle: FileHandle) {
    this.entry = entry;
    this.#handle = handle;
  }

  /** @throws Node's error */
  static async hold(entry: string): Promise<TestedRegistration> {
    return new TestedRegistration(entry, await open(entry, constants.O_RDONLY | constants.O_DIRECTORY));
  }

  /** Why the folder may not be touched; `undefined`: it is the one that was tested. Its number is taken while we hold it. */
  async fault(): Promise<string | undefined> {
    const [ours, now] = await Promise.all([
      this.#handle.stat({ bigint: true }),
      lstat(this.entry, { bigint: true }).catch(() => undefined),
    ]);
    // A missing one is the business of whoever looks for it.
    return now === undefined || (now.dev === ours.dev && now.ino === ours.ino)
      ? undefined
      : `the registration ${this.entry} is not the folder that was tested after the add`;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#handle.close();
  }
}
