/** What `files.*` uses of the daemon. */
import type { Platform } from '../../platform/platform.ts';
import type { Profile } from '../wire/profile.ts';

export interface FilesServices {
  readonly platform: Pick<Platform, 'files' | 'host' | 'paths'>;
  readonly profile: Pick<Profile, 'files'>;
  readonly settings: FilesSettings;
}

/** Operator options (spec modes.md §3). */
export interface FilesSettings {
  /** `-max-extract-bytes`: most bytes of file content one archive may unpack to; 0: no limit. */
  readonly maxExtractBytes: number;
  /** `-files-read-regular-only`. */
  readonly filesReadRegularOnly: boolean;
}
