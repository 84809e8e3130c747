/** Memory of an idle daemon and an idle bridge once they had time to give back what they do not need. */
import { setTimeout as sleep } from 'node:timers/promises';
import { loadPlatform } from '../platform/load.ts';
import { startDaemon } from '../test/support/daemon.ts';
import { program } from '../test/support/holdfast.ts';
import { memoryOf, roundsOr } from './support/processes.ts';
import { absolute, report } from './support/report.ts';

const area = 'memory';
/** Longer than the product waits before it counts as idle. */
const idleMs = 8_000;
const { processes } = await loadPlatform();
const samples = { daemon: [] as Memory[], bridge: [] as Memory[] };
type Memory = ReturnType<typeof memoryOf>;

for (let round = 0; round < roundsOr(3); round++) {
  await using daemon = await startDaemon();
  const answered = Promise.withResolvers<void>();
  // Not by child_process, which would give it socket pairs: sshd and shells give pipes.
  const bridge = processes.spawn({
    command: program,
    args: ['-bridge', '-socket', daemon.socket],
    cwd: undefined,
    env: Object.entries(daemon.env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const])),
    maxChunkBytes: 32_768,
    onOutput: () => {
      answered.resolve();
      return true;
    },
    onOutputEnd: () => {},
    onEnd: () => bridge.collect(),
  });
  bridge.writeInput(
    Buffer.from(`{"jsonrpc":"2.0","id":1,"method":"server.ping","auth":"${daemon.token}"}\n`),
    () => {},
  );
  await answered.promise;
  await sleep(idleMs);
  samples.daemon.push(memoryOf(daemon.pid()));
  samples.bridge.push(memoryOf(bridge.pid));
  bridge.signal('TERM', 'child');
}

/** A bridge stands beside each connection, so it is to need the least. */
const mostPrivate = { daemon: 14, bridge: 12 } as const;

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
      target: { atMost: mostPrivate[name] },
      ours: samples[name].map((memory) => memory.private),
    }),
  ]),
);
