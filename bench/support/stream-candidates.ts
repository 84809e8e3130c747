/** The product and the two yardsticks of the stream path, each with the same child and the same client. */
import { startDaemon } from '../../test/support/daemon.ts';
import { cpuSeconds, type Figures, run, type Server, startServer } from './processes.ts';
import { needed, yardstick } from './yardsticks.ts';

const maxAttempts = 20;

export interface Streaming {
  /** What the child writes in all, and at a time. */
  readonly bytes: number;
  readonly writeBytes: number;
}

export type Sample = () => Promise<Figures>;

export interface StreamCandidates extends AsyncDisposable {
  /** One whole stream; figures `mbs` (10^6 bytes of child output a second), `cpu` (seconds a GB), `wireBytes`. */
  readonly samples: { readonly holdfast: Sample; readonly goStd?: Sample; readonly floor?: Sample };
}

export async function streamCandidates({ bytes, writeBytes }: Streaming): Promise<StreamCandidates> {
  await using owned = new AsyncDisposableStack();
  const client = needed('stream_client');
  const child = [needed('noise'), String(bytes), String(writeBytes)];
  const serverOf = (file: string | undefined) => startServer(file, ({ socket }) => [socket, ...child]);
  const goStd = owned.use(await serverOf(yardstick('go_std')));
  const floor = owned.use(await serverOf(yardstick('stream_floor')));
  const daemon = owned.use(await startDaemon());
  let count = 0;

  const sampleOf =
    ({ pid, socket, token }: Pick<Server, 'pid' | 'socket' | 'token'>): Sample =>
    async () => {
      for (let attempt = 1; ; attempt++) {
        const before = cpuSeconds(pid);
        try {
          const { seconds = 0, wireBytes = 0 } = await run(client, [
            socket,
            token,
            `p${++count}`,
            'spawn',
            0,
            ...child,
          ]);
          if (wireBytes < (bytes * 4) / 3) {
            throw new Error(`only ${wireBytes} bytes came`);
          }
          return { mbs: bytes / 1e6 / seconds, cpu: (cpuSeconds(pid) - before) / (bytes / 1e9), wireBytes };
        } catch (error) {
          // A machine so busy that the client stood still for a whole window: the daemon has dropped it, as it should.
          if (attempt === maxAttempts) {
            throw error;
          }
          console.error(`measured again: ${(error as Error).message}`);
        }
      }
    };
  const kept = owned.move();
  return {
    samples: {
      holdfast: sampleOf({ pid: daemon.pid(), socket: daemon.socket, token: daemon.token }),
      ...(goStd && { goStd: sampleOf(goStd) }),
      ...(floor && { floor: sampleOf(floor) }),
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}
