/** What a mode is, and what it is given. */
import type { ClientPlatform, Platform } from '../../platform/platform.ts';
import type { Log } from '../base/log.ts';
import type { OptionValues } from '../config/options.ts';
import type { Settings } from '../config/settings.ts';

export interface ModeContext {
  readonly settings: Settings;
  /** The flags that occurred on the command line, with their values. */
  readonly flags: Partial<OptionValues>;
  /** The words of the command line as they came, for starting ourselves again. */
  readonly arguments: readonly string[];
  /** The environment the user started us with; what was held back from our own runtime is in it again. */
  readonly environment: NodeJS.ProcessEnv;
  /** Our name as the user typed it. */
  readonly programName: string;
  /** Folder of the executable: the configuration files lie there. */
  readonly executableDirectory: string;
  /** On stderr. The warnings of `settings` for this mode are written already, except for `serve`: there the daemon logs them. */
  readonly log: Log;
  /** Loads the adapter on first use; later calls return the same one. */
  platform(): Promise<Platform>;
  /** The same for the small part that a client of the daemon needs. */
  clientPlatform(): Promise<ClientPlatform>;
}

/** Runs to its end and resolves to the exit code. Whatever it throws becomes one line on stderr and exit code 1. */
export type Mode = (context: ModeContext) => Promise<number>;
