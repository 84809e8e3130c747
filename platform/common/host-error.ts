import { HostError } from '../errors.ts';
import type { Paths } from '../paths.ts';

/**
 * Runs `work`; its failure becomes a HostError `<attempted>: <reason>`. One that is a HostError already has better words.
 * @param attempted operation and path, for example `mkdir /home/me/.holdfast`
 */
export function orHostError<T>(attempted: string, paths: Paths, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof HostError
      ? error
      : new HostError(`${attempted}: ${paths.reason(error)}`, '', { cause: error });
  }
}
