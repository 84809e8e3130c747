/** The engine inside this process keeps what every engine promises. */
import { loadPlatform } from '../../platform/load.ts';
import { createCounters } from '../../src/base/counters.ts';
import { createLog } from '../../src/base/log.ts';
import { timings } from '../../src/base/timings.ts';
import { FairShare } from '../../src/engine/local/fair-share.ts';
import { LocalEngine } from '../../src/engine/local/local-engine.ts';
import { sessionEngineContract } from './session-engine.contract.ts';

const platform = await loadPlatform();

sessionEngineContract(({ profile, timings: changes, slowReader, shellPath }) => {
  let known = shellPath === undefined;
  shellPath?.then(() => {
    known = true;
  });
  return new LocalEngine({
    ...{ platform, profile, slowReader, share: new FairShare(), keepChildren: false, markedFor: undefined },
    ...{ log: createLog({ level: 'error' }), counters: createCounters(), timings: { ...timings, ...changes } },
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
