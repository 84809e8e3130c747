/** How long one spawn keeps the event loop of a process with 200 MB of memory in use. */
import { performance } from 'node:perf_hooks';
import { loadPlatform } from '../platform/load.ts';
import { roundsOr } from './support/processes.ts';
import { absolute, report, spread } from './support/report.ts';

const heap = Array.from({ length: 200 }, (_, index) => Buffer.alloc(1 << 20, index));
const { processes } = await loadPlatform();
// Nothing else keeps this process alive while it waits for the end of a child whose pipes are closed.
const alive = setInterval(() => {}, 60_000);
const spawnsPerRound = 200;
const medians: number[] = [];

function spawnOne(): Promise<number> {
  return new Promise((resolve) => {
    let took = 0;
    let left = 3;
    const oneLess = (): void => {
      if (--left > 0) {
        return;
      }
      child.closeInput();
      child.collect();
      resolve(took);
    };
    const begin = performance.now();
    const child = processes.spawn({
      command: '/bin/true',
      args: [],
      cwd: undefined,
      env: [],
      maxChunkBytes: 32_768,
      onOutput: () => true,
      onOutputEnd: oneLess,
      onEnd: oneLess,
    });
    took = performance.now() - begin;
  });
}

for (let round = 0; round <= roundsOr(5); round++) {
  const took: number[] = [];
  while (took.length < spawnsPerRound) {
    took.push(await spawnOne());
  }
  if (round > 0) {
    medians.push(spread(took).median);
  }
}
clearInterval(alive);
if (heap.length !== 200) {
  throw new Error('the memory was to be in use');
}

report([
  absolute({
    area: 'stall',
    what: 'event loop stalled by one spawn, 200 MB in use, p50',
    unit: 'ms',
    target: { atMost: 0.7 },
    ours: medians,
  }),
]);
