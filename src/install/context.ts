/** What an installation works with. */
import type { Platform } from '../../platform/platform.ts';
import type { InstallSettings } from '../config/settings.ts';
import type { InstallRules } from '../wire/profile.ts';
import type { InstallTimings } from './timings.ts';
import type { FrameDecoder } from './zstd.ts';

export interface InstallRequest extends Omit<InstallSettings, 'cliDirectory' | 'cliVersion'> {
  /** As given, without `.exe`. */
  readonly version: string;
  /** Cleaned. */
  readonly folder: string;
  readonly cliPath: string;
}

export interface InstallContext {
  readonly platform: Platform;
  readonly rules: InstallRules;
  readonly timings: InstallTimings;
  /** Our own, where the proxies are named. */
  readonly environment: NodeJS.ProcessEnv;
  /** Of the version run. */
  readonly childEnv: ReadonlyArray<readonly [name: string, value: string]>;
  readonly decoder: FrameDecoder;
  /** Writes one line to stdout. */
  print(line: string): void;
  /** Logs one line. */
  warn(text: string): void;
}
