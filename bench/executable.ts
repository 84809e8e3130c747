/** The single executable against `bin/holdfast`, in the same rounds: how long a start takes, and what an idle process has. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadPlatform } from '../platform/load.ts';
import { prepareDaemon } from '../test/support/daemon.ts';
import { program } from '../test/support/holdfast.ts';
import { interleave, memoryOf, roundsOr, run } from './support/processes.ts';
import { absolute, against, report } from './support/report.ts';
import { needed } from './support/yardsticks.ts';

const area = 'executable';
const executable = join(import.meta.dirname, `../dist/holdfast-${process.platform}-${process.arch}`);
if (!existsSync(executable)) {
  execFileSync(process.execPath, [join(import.meta.dirname, '../build/executables.ts')], { stdio: 'inherit' });
}

const client = needed('start_time');
const starts = async (words: readonly string[]) =>
  interleave(roundsOr(25), {
    executable: () => run(client, [executable, ...words]),
    source: () => run(client, [program, ...words]),
  });
const [version, config] = [await starts(['-version']), await starts(['config'])];

/** Longer than the product waits before it counts as idle. */
const idleMs = 8_000;
const { processes } = await loadPlatform();
type Memory = { readonly daemon: number; readonly bridge: number };

/**
 * Memory of a daemon and of a bridge to it that is their own, in MB. Clean pages are left out: this benchmark runs on the runtime
 * of `bin/holdfast` and shares them with it, and of an executable that was just written the kernel maps 2 MB at each touch.
 */
async function idle(file: string): Promise<Memory> {
  await using daemon = await prepareDaemon();
  daemon.program = file;
  await daemon.start();
  const answered = Promise.withResolvers<void>();
  const bridge = processes.spawn({
    command: file,
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
  const found = { daemon: memoryOf(daemon.pid()).own, bridge: memoryOf(bridge.pid).own };
  bridge.signal('TERM', 'child');
  return found;
}

const memory = { executable: [] as Memory[], source: [] as Memory[] };
// What is compiled for the first time stays larger until the next start.
await idle(program);
for (let round = 0; round < roundsOr(3); round++) {
  memory.executable.push(await idle(executable));
  memory.source.push(await idle(program));
}

const milliseconds = (samples: readonly { readonly ms?: number }[] = []) => samples.map(({ ms = 0 }) => ms);
report([
  ...[
    ['`-version`', version],
    ['`config`, which needs the native binding', config],
  ].flatMap(([what, samples]) => {
    const { executable: ours, source } = samples as typeof version;
    const target = { atMost: 1 };
    const measured = { area, what: `executable: ${what}`, unit: 'ms', target, ours: milliseconds(ours) };
    return against('`bin/holdfast`', milliseconds(source), measured);
  }),
  ...(['daemon', 'bridge'] as const).flatMap((which) =>
    against(
      '`bin/holdfast`',
      memory.source.map((each) => each[which]),
      {
        area,
        what: `executable: idle ${which}, own memory`,
        unit: 'MB',
        target: { atMost: 1 },
        ours: memory.executable.map((each) => each[which]),
      },
    ),
  ),
  absolute({
    area,
    what: 'executable: idle daemon, own memory by itself',
    unit: 'MB',
    target: { atMost: 14 },
    ours: memory.executable.map(({ daemon }) => daemon),
  }),
]);
