/** The home folder of the user. Part of `ClientPlatform`. */

export interface Home {
  /** `HOME` (Windows: `USERPROFILE`), read at each call; `undefined` when unset or empty. */
  home(): string | undefined;
  /** That variable as a message names it: `$HOME`, `%userprofile%` (spec modes.md §4, install.md §1). */
  readonly homeVariable: string;
}
