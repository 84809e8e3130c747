/** A child writes 1 GiB to a client that reads slowly: how much the daemon grows beyond what it held before. */

import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { startDaemon } from '../test/support/daemon.ts';
import { findByArguments } from '../test/support/processes.ts';
import { waitUntil } from '../test/support/wait.ts';
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
  // Compiling the code takes memory for a moment, and the heap gets its size: both once in the life of a daemon.
  await read('warm', '300000000', '0');
  const before = memoryOf(pid).private;
  let most = before;
  const words = [noise, '1073741824', '65536'];
  const end = read('slow', '1073741824', '800');
  // The reader is dropped long before its child has written everything.
  await waitUntil(() => findByArguments(words).length > 0 || undefined, 'the child');
  while (findByArguments(words).length > 0) {
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
