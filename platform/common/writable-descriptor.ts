import { close as closeDescriptor, futimes as setTimes, write as writeDescriptor } from 'node:fs';
import { promisify } from 'node:util';
import type { WritableFile } from '../files.ts';
import type { Paths } from '../paths.ts';
import { as } from './file-error.ts';

const close = promisify(closeDescriptor);
const write = promisify(writeDescriptor);
const futimes = promisify(setTimes);

/** A file that is open for writing. */
export class WritableDescriptor implements WritableFile {
  readonly #paths: Paths;
  readonly #descriptor: number;
  readonly #path: string;
  #open = true;

  /**
   * @param descriptor owned from here on
   * @param path for messages
   */
  constructor(paths: Paths, descriptor: number, path: string) {
    this.#paths = paths;
    this.#descriptor = descriptor;
    this.#path = path;
  }

  async write(bytes: Buffer): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await as(this.#paths, 'write', this.#path, () =>
        write(this.#descriptor, bytes, done, bytes.length - done, null),
      );
      done += bytesWritten;
    }
  }

  async setTime(seconds: number): Promise<void> {
    await as(this.#paths, 'futimes', this.#path, () => futimes(this.#descriptor, seconds, seconds));
  }

  /** Network file systems and quotas report a failed write here. @throws SystemCallError `close <path>: <reason>` */
  async close(): Promise<void> {
    if (!this.#open) {
      return;
    }
    this.#open = false;
    await as(this.#paths, 'close', this.#path, () => close(this.#descriptor));
  }
}
