/** How long the mesh door waits for what, in milliseconds (spec mesh.md §3, §7, §8, §9.1). Tests shorten them. */
export const meshTimings = {
  /** The drain worker looks for due rows at least this often. */
  drainTickMs: 500,
  /** The pause after a row's first failed attempt is twice this; each is twice the one before, up to `retryMaxMs`. */
  retryBaseMs: 500,
  retryMaxMs: 30_000,
  /** A row that was in flight when the process died is due so long after the start. */
  recoveredDelayMs: 500,
  /** A pending row older than this is given up. */
  maxAgeMs: 168 * 3_600_000,
  /** Messages stay in the inbox so long. */
  inboxKeptMs: 30 * 24 * 3_600_000,
  /** How often old messages of the inbox, and rows too old to send, are looked for. */
  housekeepingMs: 3_600_000,
};

export type MeshTimings = typeof meshTimings;
