/** In the order in which they win over each other when several are asked for (spec modes.md §2). */
export const modeNames = ['version', 'install', 'probe-cli', 'serve', 'bridge', 'stop'] as const;
export type ModeName = (typeof modeNames)[number];
