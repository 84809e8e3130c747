/** server.ping while the child of another connection floods. */
import { startDaemon } from '../test/support/daemon.ts';
import { endFlood, floodingChild, pingDuringFlood } from './support/flood.ts';
import { interleave, roundsOr, startServer } from './support/processes.ts';
import { against, report } from './support/report.ts';
import { yardstick } from './support/yardsticks.ts';

await using daemon = await startDaemon();
await using goStd = await startServer(yardstick('go_std'), ({ socket }) => [socket, ...floodingChild]);

const samples = await interleave(roundsOr(5), {
  holdfast: () => pingDuringFlood(daemon, (id) => endFlood(daemon, id)),
  ...(goStd && { goStd: () => pingDuringFlood(goStd) }),
});

report(
  against(
    'go_std',
    samples.goStd?.map(({ p50 = 0 }) => p50),
    {
      area: 'flood-ping',
      what: 'server.ping while another child floods, p50',
      unit: 'us',
      target: { atMost: 3 },
      ours: (samples.holdfast ?? []).map(({ p50 = 0 }) => p50),
    },
  ),
);
