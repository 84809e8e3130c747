/** server.ping with full request handling: many in flight, and one at a time with both ends on one core. */
import { startDaemon } from '../test/support/daemon.ts';
import { type Figures, interleave, roundsOr, run, startServer } from './support/processes.ts';
import { against, report } from './support/report.ts';
import { needed, yardstick } from './support/yardsticks.ts';

const area = 'rpc';
const client = needed('ping_client');
const goRpc = yardstick('go_rpc');

interface Place {
  readonly socket: string;
  readonly token: string;
}

async function measured(pings: number, inFlight: number, core: number | undefined) {
  const through = core === undefined ? [] : ['taskset', '-c', String(core)];
  await using daemon = await startDaemon({ through });
  await using go = await startServer(goRpc, ({ socket, token }) => [socket, token], core === undefined ? {} : { core });
  const [command = client, ...words] = [...through, client];
  const sampleOf =
    ({ socket, token }: Place) =>
    (): Promise<Figures> =>
      run(command, [...words, socket, token, pings, inFlight]);
  return await interleave(roundsOr(5), { holdfast: sampleOf(daemon), ...(go && { go: sampleOf(go) }) });
}

const many = await measured(400_000, 64, undefined);
const single = await measured(20_000, 1, 0);

report([
  ...against(
    'go_rpc',
    many.go?.map(({ rate = 0 }) => rate),
    {
      area,
      what: 'server.ping, 64 in flight',
      unit: '/s',
      target: { atLeast: 2 },
      ours: (many.holdfast ?? []).map(({ rate = 0 }) => rate),
    },
  ),
  ...against(
    'go_rpc',
    single.go?.map(({ p50 = 0 }) => p50),
    {
      area,
      what: 'server.ping, one in flight on one core, p50',
      unit: 'us',
      target: { atMost: 1.2 },
      ours: (single.holdfast ?? []).map(({ p50 = 0 }) => p50),
    },
  ),
]);
