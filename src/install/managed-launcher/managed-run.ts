/** A version run of the CLI on a host whose policy names a launcher, or cannot be used (spec generation-n2.md §6). */
import type { Platform } from '../../../platform/platform.ts';
import type { Variable } from '../../../platform/started-with.ts';
import { childEnvironment } from '../../base/child-environment.ts';
import { wrapperVariable } from '../../base/launcher-argv.ts';
import { peerCheckVariable } from '../../base/start-markers.ts';
import { decodeUtf8 } from '../../wire/utf8.ts';
import type { LauncherFacts } from '../facts.ts';
import type { InstallTimings } from '../timings.ts';
import { type LauncherRun, runThroughLauncher } from './launcher-run.ts';
import { type LauncherResolution, launcherGateVariable, settingsFolderVariable } from './resolve.ts';

/** A policy that is there: the CLI must not be started without its launcher. */
export type ManagedLauncher = Exclude<LauncherResolution, { readonly status: 'none' }>;

export interface ManagedRun {
  /** What became of it; `notRun`: the policy cannot be used. */
  readonly outcome: LauncherRun['outcome'] | 'notRun';
  readonly facts: LauncherFacts;
  readonly stderr: Buffer;
}

export interface ManagedRunContext {
  readonly platform: Platform;
  /** Our own environment. */
  readonly own: readonly Variable[];
  readonly timings: InstallTimings;
}

const hiddenFromLaunchers = [launcherGateVariable, settingsFolderVariable, wrapperVariable, peerCheckVariable];

/** @param which a CLI that was there already, or one that was installed just now: their bounds differ */
export async function runManaged(
  launcher: ManagedLauncher,
  cli: string,
  which: 'cached' | 'first',
  { platform, own, timings }: ManagedRunContext,
): Promise<ManagedRun> {
  if (launcher.status !== 'usable') {
    return { outcome: 'notRun', facts: policyFacts(launcher), stderr: Buffer.alloc(0) };
  }
  const { outcome, reason, stderr } = await runThroughLauncher(launcher.argv, cli, {
    platform,
    env: childEnvironment(own, hiddenFromLaunchers, platform.host),
    boundMs: which === 'cached' ? timings.cachedLauncherRunMs : timings.firstLauncherRunMs,
    outputMs: timings.launcherOutputMs,
  });
  const facts = policyFacts(launcher);
  if (outcome === 'passed') {
    return { outcome, facts, stderr };
  }
  return {
    outcome,
    facts: {
      ...facts,
      launcherStatus: outcome === 'failed' ? 'probe_failed' : 'unresponsive',
      launcherReason: reason,
      launcherStderr: stderr.length === 0 ? undefined : decodeUtf8(stderr, 0, stderr.length, 'replacement'),
    },
    stderr,
  };
}

/** What the facts line says of a policy as such. */
export function policyFacts(resolution: LauncherResolution): LauncherFacts {
  switch (resolution.status) {
    case 'none':
      return { launcherStatus: 'none' };
    case 'usable':
      return { launcherStatus: 'usable', launcher: resolution.argv, launcherSource: resolution.source };
    case 'unusable':
      return {
        launcherStatus: 'unusable',
        launcherSource: resolution.source,
        launcherReason: resolution.reason,
      };
    case 'unreadable':
      return { launcherStatus: 'unreadable', launcherPath: resolution.path, launcherReason: resolution.reason };
  }
}

/** Contract text. Its numbers are fixed by the specification and do not follow `timings`. */
export function unresponsiveThrough(argv0: string): string {
  return `cli unresponsive: the installed Claude Code binary was started through the host's managed launcher ${argv0} and the run did not answer --version within 33s (123s for a first run), so it was stopped; the launcher or the host is not letting it finish`;
}
