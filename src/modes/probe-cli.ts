/** `-probe-cli <path>`: does this CLI run here? Nothing printed means yes (spec modes.md §12, generation-n2.md §6). */

import { stat } from 'node:fs/promises';
import { HostError } from '../../platform/errors.ts';
import type { Platform } from '../../platform/platform.ts';
import { childEnvironment } from '../base/child-environment.ts';
import { ownVariables } from '../base/own-process.ts';
import { writeWhole } from '../base/standard-output.ts';
import type { Settings } from '../config/settings.ts';
import {
  type ManagedLauncher,
  type ManagedRun,
  runManaged,
  unresponsiveThrough,
} from '../install/managed-launcher/managed-run.ts';
import { launcherGateVariable, resolveLauncher } from '../install/managed-launcher/resolve.ts';
import { installTimings } from '../install/timings.ts';
import { runVersion, type VersionRunOutcome } from '../install/version-run.ts';
import { notForTheCli } from './install.ts';
import type { Mode } from './mode.ts';

const words: Record<VersionRunOutcome, string> = { passed: '', failed: '__CLI_BAD__\n', stopped: '__CLI_HUNG__\n' };
const launcherWord = '__CLI_LAUNCHER__\n';

export const runProbeCli: Mode = async ({ settings, environment, platform: load }) => {
  const platform = await load();
  const asksForLauncher = settings.profile.install.launcher === 'resolve' && environment[launcherGateVariable] === '1';
  const launcher = asksForLauncher
    ? await resolveLauncher(settings.probedCli, { ...platform, environment })
    : ({ status: 'none' } as const);
  if (launcher.status === 'none') {
    await probeDirectly(settings, platform);
  } else {
    await probeThrough(launcher, settings.probedCli, platform);
  }
  return 0;
};

async function probeDirectly({ probedCli, profile }: Settings, platform: Platform): Promise<void> {
  // Windows would look for a file with `.exe` behind the name, and run another one than it was asked about.
  const found = await stat(probedCli).catch(() => undefined);
  if (found?.isFile() !== true) {
    writeWhole(1, words.failed);
    return;
  }
  const outcome = await runVersion(probedCli, {
    platform,
    env: childEnvironment(ownVariables(platform.startedWith), notForTheCli(profile), platform.host),
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
}

async function probeThrough(launcher: ManagedLauncher, cli: string, platform: Platform): Promise<void> {
  const context = { platform, own: ownVariables(platform.startedWith), timings: installTimings };
  const run = await runManaged(launcher, cli, 'cached', context);
  if (run.outcome === 'passed') {
    return;
  }
  writeWhole(1, run.outcome === 'stopped' ? words.stopped : launcherWord);
  writeWhole(2, explanation(run, cli));
}

function explanation({ outcome, facts, stderr }: ManagedRun, cli: string): Buffer {
  const argv0 = facts.launcher?.[0] ?? '';
  if (outcome === 'stopped') {
    return Buffer.from(`claude-ssh: ${unresponsiveThrough(argv0)}\n`);
  }
  if (outcome === 'notRun') {
    const why =
      facts.launcherStatus === 'unreadable'
        ? `managed settings unreadable: ${facts.launcherPath}: ${facts.launcherReason}`
        : `managed launcher unusable: ${facts.launcherReason}`;
    return Buffer.from(`claude-ssh: ${cli} was not run: ${why}\n`);
  }
  const printed =
    stderr.length === 0 ? [] : [Buffer.from("claude-ssh: the managed launcher's run printed:\n"), stderr, newline];
  const verdict = `claude-ssh: ${cli} --version through the managed launcher ${argv0} did not succeed: ${facts.launcherReason}\n`;
  return Buffer.concat([...printed, Buffer.from(verdict)]);
}

const newline = Buffer.from('\n');
