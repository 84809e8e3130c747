/** What an installation is asked for, and what it works with. */
import type { Platform } from '../../platform/platform.ts';
import type { Variable } from '../../platform/started-with.ts';
import type { InstallRules } from '../wire/profile.ts';
import type { LauncherResolution } from './managed-launcher/resolve.ts';
import type { InstallTimings } from './timings.ts';
import type { FrameDecoder } from './zstd.ts';

export interface InstallRequest {
  /** As given, without `.exe`. */
  readonly version: string;
  /** The folder of the versions, cleaned. */
  readonly folder: string;
  /** Where the version belongs. */
  readonly cliPath: string;
  readonly cliUrl: string | undefined;
  readonly cliChecksum: string | undefined;
  /** A local file with the compressed CLI; it is preferred to `cliUrl`. */
  readonly cliZst: string | undefined;
  /** How many versions the prune leaves; negative: no prune, or a refusal (profile row `install.negativeKeep`). */
  readonly cliKeep: number;
  /** 0: no limit. */
  readonly maxCliBytes: number;
  /** Limit of the whole download, fit for a timer; 0: none. */
  readonly cliDownloadTimeoutMs: number;
}

export interface InstallContext {
  readonly platform: Platform;
  readonly rules: InstallRules;
  readonly timings: InstallTimings;
  /** The environment that names the proxies, our own. */
  readonly environment: NodeJS.ProcessEnv;
  /** The environment of the version run, without a launcher. */
  readonly childEnv: readonly Variable[];
  /** Our own environment, of which a launcher's is made. */
  readonly own: readonly Variable[];
  /** The policy of this host; `undefined`: nobody asked for it, and the CLI is run directly. */
  resolveLauncher: (() => Promise<LauncherResolution>) | undefined;
  readonly decoder: FrameDecoder;
  /** Writes one line to stdout. */
  print(line: string): void;
  /** Logs one line. */
  warn(text: string): void;
}
