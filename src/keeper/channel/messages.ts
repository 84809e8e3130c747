/**
 * What daemon and keeper say to each other (docs/keeper.md). A message is a type, a number whose meaning the type says, a JSON
 * value and some bytes; any of the last two may be missing.
 */

/** Versions of the channel that this release speaks: its own, and the one before where there was one. */
export const channelVersions: VersionRange = [1, 2];

/** From this version on frames may lie in memory that the daemon reads, and a keeper that ends says so. */
export const sharedMemoryVersion = 2;
export const farewellVersion = 2;

/** From the oldest to the newest. */
export type VersionRange = readonly [oldest: number, newest: number];

/** The newest version that both speak; `undefined`: there is none. */
export function commonVersion(one: VersionRange, other: VersionRange): number | undefined {
  const newest = Math.min(one[1], other[1]);
  return newest >= Math.max(one[0], other[0]) ? newest : undefined;
}

/** The number of each type on the channel. Numbers are never used again for something else. */
export const messageTypes = {
  // Each proves to the other that it knows the cookie.
  hello: 1,
  challenge: 2,
  proof: 3,
  welcome: 4,
  refused: 5,

  // From the daemon. What the number means stands behind each.
  settings: 16, // 0
  shellPath: 17, // 0
  agent: 18, // the question
  call: 19, // the call
  taken: 20, // the stream
  stopLive: 21, // the stream
  leave: 22, // the stream
  progress: 23, // the stream
  retire: 24, // 0
  abandon: 25, // the call
  mapped: 26, // 0; from version 2 on
  freed: 27, // 0; from version 2 on
  settled: 28, // 0; from version 2 on

  // From the keeper.
  state: 32, // 0
  result: 33, // the call
  failure: 34, // the call
  attached: 35, // the stream
  frames: 36, // the stream
  mark: 37, // the stream
  gap: 38, // the stream
  behind: 39, // the stream
  promised: 40, // the stream
  replaced: 41, // the stream
  over: 42, // the stream
  done: 43, // the stream
  event: 44, // 0
  counters: 45, // 0
  log: 46, // 0
  askProgress: 47, // the stream
  askAgent: 48, // the question
  memory: 49, // 0; from version 2 on
  shared: 50, // the stream; from version 2 on
  farewell: 51, // 0; from version 2 on
} as const;

export type MessageName = keyof typeof messageTypes;

const names = new Map<number, MessageName>(
  Object.entries(messageTypes).map(([name, number]) => [number, name as MessageName]),
);

/** `undefined`: no type of this version. */
export function messageNamed(type: number): MessageName | undefined {
  return names.get(type);
}
