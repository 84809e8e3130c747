/** The engine inside this process keeps what every engine promises. */
import { loadPlatform } from '../../platform/load.ts';
import { createCounters } from '../../src/base/counters.ts';
import { createLog } from '../../src/base/log.ts';
import { MemoryBudget } from '../../src/base/memory-budget.ts';
import { timings } from '../../src/base/timings.ts';
import { FairShare } from '../../src/engine/local/fair-share.ts';
import { LocalEngine } from '../../src/engine/local/local-engine.ts';
import { sessionEngineContract } from './session-engine.contract.ts';

const platform = await loadPlatform();

sessionEngineContract(({ profile, timings: changes, slowReader, shellPath, memoryBudget }) => {
  const log = createLog({ level: 'error' });
  const counters = createCounters();
  let known = shellPath === undefined;
  shellPath?.then(() => {
    known = true;
  });
  return new LocalEngine({
    ...{ platform, profile, slowReader, share: new FairShare(), keepChildren: false, markedFor: undefined },
    ...{ log, counters, timings: { ...timings, ...changes } },
    budget: new MemoryBudget({ limitBytes: memoryBudget, log, counters }),
    shellPath: {
      get known() {
        return known;
      },
      value: undefined,
      wait: () => shellPath ?? Promise.resolve(),
    },
    shellAgent: undefined,
  });
});
