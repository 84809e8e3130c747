/** A daemon that can harm nothing: requests made at random name files at random, and some methods delete what they are given. */
import { fileURLToPath } from 'node:url';
import { type DaemonOptions, startDaemon, type TestDaemon } from '../../support/daemon.ts';
import { connectTo } from '../../support/host.ts';

const script = fileURLToPath(new URL('../../fixtures/read-only-world.sh', import.meta.url));

/**
 * Starts a daemon for which everything but its own private folder is read-only. Needs root.
 * @throws when the walls do not hold
 */
export async function startHarmlessDaemon(options: DaemonOptions): Promise<TestDaemon> {
  const daemon = await startDaemon({ ...options, through: ['unshare', '--mount', '--propagation', 'private', script] });
  try {
    await using client = await connectTo(daemon);
    const probe = `! touch ${daemon.dir}.probe && ! touch /dev/probe && touch ${daemon.dir}/probe`;
    const job = await client.spawn({ command: 'sh', args: ['-c', probe] });
    if ((await job.exit).code !== 0) {
      throw new Error(`the daemon of ${daemon.dir} can write elsewhere, or not even there`);
    }
    return daemon;
  } catch (error) {
    await daemon[Symbol.asyncDispose]();
    throw error;
  }
}
