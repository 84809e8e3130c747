/** A whole 16 MiB window replayed to a fresh client, against the live stream to the same client; bytes on the wire. */
import { startDaemon } from '../test/support/daemon.ts';
import { interleave, roundsOr, run } from './support/processes.ts';
import { against, report } from './support/report.ts';
import { needed } from './support/yardsticks.ts';

const client = needed('stream_client');
const live = [needed('noise'), '600000000', '65536'];
/** Each of them alone takes a few milliseconds. */
const replays = 10;
await using daemon = await startDaemon();
const { socket, token } = daemon;
let processes = 0;

async function clientRun(processId: string, words: readonly (string | number)[]) {
  const { seconds = 0, wireBytes = 0 } = await run(client, [socket, token, processId, ...words]);
  return wireBytes / 1e6 / seconds;
}

const windowId = 'window';
await clientRun(windowId, ['spawn', 0, needed('noise'), '20000000', '65536']);
const samples = await interleave(roundsOr(5), {
  live: async () => {
    for (;;) {
      // A client that stood still for a whole window was dropped: measured again.
      const mbs = await clientRun(`live${++processes}`, ['spawn', 0, ...live]).catch(() => undefined);
      if (mbs !== undefined) {
        return { mbs };
      }
    }
  },
  replay: async () => {
    let best = 0;
    let sum = 0;
    for (let index = 0; index < replays; index++) {
      const mbs = await clientRun(windowId, ['reattach', 0]);
      best = Math.max(best, mbs);
      sum += mbs;
    }
    return { mbs: sum / replays, best };
  },
});

report(
  against(
    'the live stream',
    (samples.live ?? []).map(({ mbs = 0 }) => mbs),
    {
      area: 'replay',
      what: 'replay of a full window to a fresh client',
      unit: 'MB/s on the wire',
      target: { atLeast: 1.5 },
      ours: (samples.replay ?? []).map(({ mbs = 0 }) => mbs),
    },
  ),
);
