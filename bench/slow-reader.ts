/** A child writes 1 GiB to a client that reads slowly: how much the daemon grows beyond what it held before. */

import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { startDaemon } from '../test/support/daemon.ts';
import { ended, memoryOf, roundsOr } from './support/processes.ts';
import { absolute, report } from './support/report.ts';
import { needed } from './support/yardsticks.ts';

/** The replay window, which is meant to be held, in MB. */
const windowMB = 16.777216;
const client = needed('stream_client');
const noise = needed('noise');
const growth: number[] = [];

for (let round = 0; round < roundsOr(3); round++) {
  await using daemon = await startDaemon();
  const { pid, socket, token } = { pid: daemon.pid(), socket: daemon.socket, token: daemon.token };
  const read = (processId: string, bytes: string, pause: string) =>
    ended(spawn(client, [socket, token, processId, 'spawn', pause, noise, bytes, '65536'], { stdio: 'ignore' }));
  // The code is compiled and the heap has its usual size before the look at it.
  await read('warm', '1000000', '0');
  const before = memoryOf(pid).private;
  let ready = false;
  let most = before;
  const end = read('slow', '1073741824', '800').then(() => {
    ready = true;
  });
  while (!ready) {
    most = Math.max(most, memoryOf(pid).private);
    await sleep(10);
  }
  await end;
  growth.push(most - before);
}

report([
  absolute({
    area: 'slow-reader',
    what: 'slow reader of 1 GiB, growth of the daemon (window: 16.8)',
    unit: 'MB',
    target: { atMost: windowMB + 2 },
    ours: growth,
  }),
]);
