/** The one line `-install` ends with (spec install.md §2). */
import type { Platform } from '../../platform/platform.ts';
import { version } from '../base/version.ts';
import { encodeResult } from '../wire/json-writer.ts';

export const factsMark = '__INSTALL_RESULT__';

/** How a download went. Present whenever a download was tried. */
export interface FetchFigures {
  bytes: number;
  ms: number;
  /** Longest wait for the next bytes of the body. */
  longestPauseMs: number;
}

export interface Facts extends Partial<LauncherFacts> {
  /** `glibc` or `musl`; empty off Linux. */
  readonly libc: string;
  /** Empty without `-cli-version`, and when its folder cannot be made. */
  readonly cliPath: string;
  readonly cliWasPresent: boolean;
  readonly cliError?: string | undefined;
  readonly cliUnresponsive?: true | undefined;
  readonly fetch?: FetchFigures | undefined;
}

/** What the facts line says about the managed launcher (spec generation-n2.md §6), in the order of the keys. */
export interface LauncherFacts {
  readonly launcherStatus: 'none' | 'usable' | 'unusable' | 'unreadable' | 'probe_failed' | 'unresponsive';
  readonly launcher?: readonly string[] | undefined;
  /** The settings file that names it. */
  readonly launcherSource?: string | undefined;
  /** The settings file, or folder, that cannot be read. */
  readonly launcherPath?: string | undefined;
  readonly launcherReason?: string | undefined;
  readonly launcherStderr?: string | undefined;
}

/** The line without its end. The order of the keys is contract. */
export function factsLine(facts: Facts, { os, arch }: Pick<Platform, 'os' | 'arch'>): string {
  const json = encodeResult({
    serverVersion: version,
    os,
    arch,
    libc: facts.libc,
    cliPath: facts.cliPath,
    cliWasPresent: facts.cliWasPresent,
    cliError: facts.cliError,
    cliUnresponsive: facts.cliUnresponsive,
    fetch: facts.fetch === undefined ? undefined : { ...facts.fetch },
    launcherStatus: facts.launcherStatus,
    launcher: facts.launcher,
    launcherSource: facts.launcherSource,
    launcherPath: facts.launcherPath,
    launcherReason: facts.launcherReason,
    launcherStderr: facts.launcherStderr,
  });
  return `${factsMark}${json}`;
}
