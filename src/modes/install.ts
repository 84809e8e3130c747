/** `-install`: the CLI is put in place, and one line of facts says how that went (spec install.md). */

import type { Platform } from '../../platform/platform.ts';
import { childEnvironment } from '../base/child-environment.ts';
import { ownVariables } from '../base/own-process.ts';
import { writeWhole } from '../base/standard-output.ts';
import { cliPathOf } from '../install/cli-path.ts';
import { factsLine } from '../install/facts.ts';
import { type InstallOutcome, install, KeepCountRefused } from '../install/install.ts';
import { probeLibc } from '../install/libc.ts';
import { launcherGateVariable, resolveLauncher } from '../install/managed-launcher/resolve.ts';
import { installTimings } from '../install/timings.ts';
import { usualDecoder } from '../install/zstd.ts';
import { defaultCliFolder } from '../run-directory/names.ts';
import type { Profile } from '../wire/profile.ts';
import type { Mode, ModeContext } from './mode.ts';

const exitNoHome = 1;
const exitNoFolder = 2;
const exitBadKeepCount = 2;

export const runInstall: Mode = async (context) => {
  const platform = await context.platform();
  const { profile, cliVersion, cliDirectory } = context.settings;

  const home = platform.host.home();
  const needsDefaultFolder = cliVersion !== undefined && cliDirectory === undefined;
  if (home === undefined && (needsDefaultFolder || profile.install.nextPaths)) {
    writeWhole(2, `claustrum: cannot resolve home directory: ${platform.host.homeVariable} is not defined\n`);
    return needsDefaultFolder ? exitNoFolder : exitNoHome;
  }
  const folder = platform.paths.clean(cliDirectory ?? defaultCliFolder(home ?? ''));
  const suffix = profile.install.nextPaths ? platform.paths.programSuffix : '';
  const cliPath = cliVersion === undefined ? '' : cliPathOf(folder, `${cliVersion}${suffix}`, platform.paths);

  const facts = new FactsPrinter(context, platform);
  // The caller waits for the line of facts in any case, also after a failure that nobody foresaw.
  process.prependListener('uncaughtException', (error) => {
    facts.print({ cliPath, cliWasPresent: false, cliError: `holdfast: ${error.message}` });
    process.exit(0);
  });
  const own = ownVariables(platform.startedWith);
  const env = childEnvironment(own, notForTheCli(profile), platform.host);
  // The user's programs may switch the verification of certificates off; our downloads are always verified.
  delete context.environment.NODE_TLS_REJECT_UNAUTHORIZED;
  facts.libc = await probeLibc({ platform, env, timings: installTimings });
  try {
    facts.print(cliVersion === undefined ? { cliPath, cliWasPresent: false } : await outcome(cliVersion));
  } catch (error) {
    if (!(error instanceof KeepCountRefused)) {
      throw error;
    }
    writeWhole(2, `claustrum: ${error.message}\n`);
    return exitBadKeepCount;
  }
  return 0;

  function outcome(version: string): Promise<InstallOutcome> {
    const { environment } = context;
    const asksForLauncher = profile.install.launcher === 'resolve' && environment[launcherGateVariable] === '1';
    const { cliUrl, cliChecksum, cliZst, cliKeep, maxCliBytes, cliDownloadTimeoutMs } = context.settings;
    return install(
      { version, folder, cliPath, cliUrl, cliChecksum, cliZst, cliKeep, maxCliBytes, cliDownloadTimeoutMs },
      {
        platform,
        rules: profile.install,
        timings: installTimings,
        environment,
        childEnv: env,
        own,
        resolveLauncher: asksForLauncher ? () => resolveLauncher(cliPath, { ...platform, environment }) : undefined,
        decoder: usualDecoder,
        print: (line) => writeWhole(1, `${line}\n`),
        warn: (text) => context.log.warn('Install', text),
      },
    ).catch((error: Error) => {
      if (error instanceof KeepCountRefused) {
        throw error;
      }
      return { cliPath, cliWasPresent: false, cliError: error.message };
    });
  }
};

/** Where launchers are resolved, a CLI that is run directly keeps the gate variable (spec generation-n2.md §6). */
export function notForTheCli({ process: { strippedVariables }, install: { launcher } }: Profile): readonly string[] {
  return launcher === 'resolve' ? strippedVariables.filter((name) => name !== launcherGateVariable) : strippedVariables;
}

/** Prints the one line, once. */
class FactsPrinter {
  libc = '';
  readonly #context: ModeContext;
  readonly #platform: Platform;
  #isPrinted = false;

  constructor(context: ModeContext, platform: Platform) {
    this.#context = context;
    this.#platform = platform;
  }

  print(outcome: InstallOutcome): void {
    if (this.#isPrinted) {
      return;
    }
    this.#isPrinted = true;
    const { settings, environment } = this.#context;
    const isTold = settings.profile.install.launcher === 'none' && environment[launcherGateVariable] === '1';
    const launcher = isTold && outcome.cliPath !== '' ? ({ launcherStatus: 'none' } as const) : {};
    writeWhole(1, `${factsLine({ ...outcome, ...launcher, libc: this.libc }, this.#platform)}\n`);
  }
}
