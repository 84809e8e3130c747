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
  /** To a broker: until the connection stands, and until `hello_ack`. */
  connectMs: 10_000,
  helloAckMs: 5_000,
  /** From a broken connection to the next attempt: the first pause, doubled each time, and the longest. */
  reconnectMs: 1_000,
  reconnectMaxMs: 30_000,
  /** A socket with no frame and no ping for so long is given up. */
  silenceMs: 75_000,
  /** A `send` is answered within this time, and a `list_peers`. */
  ackMs: 15_000,
  peersMs: 5_000,
  /** A list of peers in which a name was found serves the next names for so long. */
  peersKeptMs: 2_000,
  /** At the stop: how long the broker may take to answer our close frame. */
  brokerCloseMs: 500,
  /** A sign of life to those who listen to events. */
  keepaliveMs: 15_000,
  /** At the stop: answers that are on their way may go out for so long. */
  lastAnswersMs: 500,
  /** `down`: how often, and how many times, it is looked whether the daemon is gone. */
  downPollMs: 100,
  downPolls: 50,
  /** A verb waits so long for an answer of the daemon. */
  answerMs: 3_000,
};

export type MeshTimings = typeof meshTimings;
