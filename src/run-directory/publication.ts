/** What clients find a daemon by: its socket (on Windows its pipe) and the file with its token. */
import type { Platform } from '../../platform/platform.ts';
import type { RunDirectory } from '../../platform/run-directories.ts';
import type { Listener, ListenerEvents } from '../../platform/transport.ts';
import { failpoint } from '../base/failpoints.ts';
import type { Log } from '../base/log.ts';
import { tokenFileName } from './names.ts';

export interface PublicationOptions {
  readonly platform: Platform;
  readonly directory: RunDirectory;
  readonly socketPath: string;
  /** The token as it is published; `undefined`: whoever handed it over by a descriptor keeps it to himself. */
  readonly publishedToken: Buffer | undefined;
  readonly log: Log;
}

export class Publication implements AsyncDisposable {
  readonly #options: PublicationOptions;
  /** Ends with what is published, in this order. */
  readonly #removals: (() => void)[] = [];

  constructor(options: PublicationOptions) {
    this.#options = options;
  }

  /**
   * Binds and publishes, and lets no other start or end of this run directory in between: of many starts at once, the
   * daemon that is left must find its own token.
   * @param onBound clients can connect; what they find is not complete yet
   * @throws HostError whose message is the contract's bind failure
   */
  publish(events: ListenerEvents, onBound: () => void): Promise<Listener> {
    const { platform, directory, socketPath } = this.#options;
    return directory.exclusively(async () => {
      const listener = await platform.transport.listen(socketPath, events);
      this.#removals.push(
        () => listener.close(),
        () => listener.unpublish(),
      );
      failpoint('daemon.listen.after');
      onBound();
      for (const name of platform.transport.foreignNames) {
        directory.removeLeftover(name);
      }
      this.#publishToken();
      return listener;
    });
  }

  #publishToken(): void {
    const { platform, directory, publishedToken, log } = this.#options;
    if (publishedToken === undefined) {
      directory.removeLeftover(tokenFileName);
      return;
    }
    try {
      failpoint('daemon.token.write');
      const file = directory.publish(tokenFileName, publishedToken);
      this.#removals.push(() => file.remove());
    } catch (error) {
      log.warn('daemon', `failed to persist token: ${platform.paths.reason(error)}`);
    }
  }

  /** Removes what is still ours. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#options.directory.exclusively(() => {
      failpoint('publication.remove.before');
      const errors: unknown[] = [];
      for (const remove of this.#removals) {
        try {
          remove();
        } catch (error) {
          errors.push(error);
        }
      }
      if (errors.length > 0) {
        throw errors.length === 1 ? errors[0] : new AggregateError(errors, 'several files could not be removed');
      }
    });
  }
}
