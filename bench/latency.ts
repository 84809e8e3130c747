/** Delay of small output: a child writes 17 bytes every millisecond with its clock in them. */
import { startDaemon } from '../test/support/daemon.ts';
import { interleave, roundsOr, run, startServer } from './support/processes.ts';
import { against, report } from './support/report.ts';
import { needed, yardstick } from './support/yardsticks.ts';

const count = '1500';
const client = needed('delay_client');
const child = [needed('timestamps'), count];
await using daemon = await startDaemon();
await using goStd = await startServer(yardstick('go_std'), ({ socket }) => [socket, ...child]);
let processes = 0;
const sampleOf = (server: { readonly socket: string; readonly token: string }) => () =>
  run(client, [server.socket, server.token, `p${++processes}`, ...child]);
const samples = await interleave(roundsOr(5), {
  holdfast: sampleOf(daemon),
  ...(goStd && { goStd: sampleOf(goStd) }),
});

report(
  against(
    'go_std',
    samples.goStd?.map(({ p50 = 0 }) => p50),
    {
      area: 'latency',
      what: 'delay of a 17-byte output, p50',
      unit: 'us',
      target: { atMost: 0.8 },
      ours: (samples.holdfast ?? []).map(({ p50 = 0 }) => p50),
    },
  ),
);
