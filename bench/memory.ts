/** Memory of an idle daemon and an idle bridge once they had time to give back what they do not need. */
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { startDaemon } from '../test/support/daemon.ts';
import { program } from '../test/support/holdfast.ts';
import { memoryOf, roundsOr } from './support/processes.ts';
import { absolute, report } from './support/report.ts';

const area = 'memory';
/** Longer than the product waits before it counts as idle. */
const idleMs = 8_000;
const samples = { daemon: [] as Memory[], bridge: [] as Memory[] };
type Memory = ReturnType<typeof memoryOf>;

for (let round = 0; round < roundsOr(3); round++) {
  await using daemon = await startDaemon();
  const bridge = spawn(program, ['-bridge', '-socket', daemon.socket], { stdio: ['pipe', 'pipe', 'inherit'] });
  const answered = new Promise((resolve) => bridge.stdout.once('data', resolve));
  bridge.stdin.write(`{"jsonrpc":"2.0","id":1,"method":"server.ping","auth":"${daemon.token}"}\n`);
  await answered;
  await sleep(idleMs);
  samples.daemon.push(memoryOf(daemon.pid()));
  samples.bridge.push(memoryOf(bridge.pid ?? 0));
  bridge.kill();
}

report(
  (['daemon', 'bridge'] as const).flatMap((name) => [
    absolute({
      area,
      what: `idle ${name}, resident memory`,
      unit: 'MB',
      target: { atMost: 30 },
      ours: samples[name].map(({ resident }) => resident),
    }),
    absolute({
      area,
      what: `idle ${name}, private memory`,
      unit: 'MB',
      target: { atMost: 12 },
      ours: samples[name].map((memory) => memory.private),
    }),
  ]),
);
