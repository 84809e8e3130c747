/** `-probe-cli <path>`: does this CLI run here? Nothing printed means yes (spec modes.md §12). */

import { HostError } from '../../platform/errors.ts';
import { childEnvironment } from '../base/child-environment.ts';
import { ownVariables } from '../base/own-process.ts';
import { writeWhole } from '../base/standard-output.ts';
import { installTimings } from '../install/timings.ts';
import { runVersion, type VersionRunOutcome } from '../install/version-run.ts';
import type { Mode } from './mode.ts';

const words: Record<VersionRunOutcome, string> = { passed: '', failed: '__CLI_BAD__\n', stopped: '__CLI_HUNG__\n' };

/**
 * The environment may ask for a managed launcher; how one is found is not specified, so the CLI is run directly
 * (spec install.md §9).
 */
export const runProbeCli: Mode = async ({ settings, platform: load }) => {
  const platform = await load();
  const outcome = await runVersion(settings.probedCli, {
    platform,
    env: childEnvironment(
      ownVariables(platform.startedWith),
      settings.profile.process.strippedVariables,
      platform.host,
    ),
    boundMs: installTimings.cachedRunMs,
    killedMs: installTimings.killedRunMs,
    onNotStarted({ message, cause }) {
      // The host's fault, not that of the file: the word on stdout would blame the wrong one alone.
      if (cause instanceof HostError) {
        writeWhole(2, `holdfast: ${message}; ${cause.remedy}\n`);
      }
    },
  });
  writeWhole(1, words[outcome]);
  return 0;
};
