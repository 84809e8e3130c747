/** In a file of its own, because `-version` looks for them before anything else is loaded (src/main.ts). */

/** The earlier one wins, key by key (spec modes.md §3 "Precedence"). */
export const configurationFileNames = ['holdfast.conf', 'claustrum.conf'] as const;
export type ConfigurationFileName = (typeof configurationFileNames)[number];
