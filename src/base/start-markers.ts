/** Internal variables between launcher and detached daemon; no child of the daemon sees one (spec modes.md §4). */
import { sessionMarkVariable } from '../../platform/child-markers.ts';
import type { ProcessIdentity } from '../../platform/processes.ts';
import type { Variable } from '../../platform/started-with.ts';

/** Set for the detached daemon, so that it does not detach again. */
export const daemonChildVariable = 'CLAUSTRUM_DAEMON_CHILD';
/** Number of the inherited descriptor with the token. */
export const tokenPipeVariable = 'CLAUSTRUM_TOKEN_PIPE';
/** Number of the inherited descriptor for the start report. */
export const statusPipeVariable = 'HOLDFAST_STATUS_PIPE';
/** A host may export its token under this name. It is not ours, and no process that we start may see it. */
export const ambientTokenVariable = 'CLAUDE_RPC_TOKEN';
/**
 * Tells children that they run under the daemon. A host may export it too, so the daemon does not take it as a sign of
 * its launcher.
 */
export const underDaemonVariable = 'CLAUDE_SSH_DAEMON_CHILD';

/** Asks the daemon to serve only callers outside a sandbox (spec generation-n2.md §7). */
export const peerCheckVariable = 'CLAUDE_SSH_PEER_CHECK';

/**
 * The first word of a keeper, which its daemon starts and a user never does, and the variable in which that daemon says who it
 * is.
 */
export const keeperWord = 'keeper';
export const keeperVariable = 'HOLDFAST_KEEPER';
const socketWord = '-socket';

/** The command line of a keeper. @param socketPath of its daemon */
export function keeperWords(socketPath: string): string[] {
  return [keeperWord, socketWord, socketPath];
}

/** The socket path of the daemon that has started us as its keeper; `undefined`: we are none. */
export function socketOfKeeper(words: readonly string[], environment: NodeJS.ProcessEnv): string | undefined {
  const [first, second, socketPath] = words;
  const isKeeper = first === keeperWord && second === socketWord && environment[keeperVariable] !== undefined;
  return isKeeper ? socketPath : undefined;
}

/** Number of the inherited descriptor with the cookie of a keeper. */
export const keeperCookieVariable = 'HOLDFAST_KEEPER_COOKIE';

const markerVariables = [
  ...[daemonChildVariable, statusPipeVariable, tokenPipeVariable, ambientTokenVariable],
  ...[keeperVariable, keeperCookieVariable],
  // A daemon that is started inside a session is nothing that the session has left.
  sessionMarkVariable,
];

/** What a user happens to have under such a name would be taken for a word of the launcher's. */
export function withoutMarkers(variables: readonly Variable[]): Variable[] {
  return variables.filter(([name]) => !markerVariables.includes(name));
}

/** What the launcher reads from the status pipe. */
export const readyReport = 'ready';
export const failedReport = 'failed';

/** Reads the launcher's variables and deletes them at once, so that no descendant sees one. */
export function takeMarkers(environment: NodeJS.ProcessEnv): {
  readonly statusDescriptor: string | undefined;
  readonly tokenDescriptor: string | undefined;
} {
  const taken = {
    statusDescriptor: environment[statusPipeVariable],
    tokenDescriptor: environment[tokenPipeVariable],
  };
  for (const name of markerVariables) {
    delete environment[name];
  }
  environment[underDaemonVariable] = '1';
  return taken;
}

/** `unavailable`: it was asked for, and this build has none, so every caller is served. */
export type PeerCheck = 'off' | 'unavailable';

/** Reads what was asked for and deletes it, so that no descendant sees it. Only the exact text `1` asks. */
export function takePeerCheck(environment: NodeJS.ProcessEnv): PeerCheck {
  const asked = environment[peerCheckVariable] === '1';
  delete environment[peerCheckVariable];
  return asked ? 'unavailable' : 'off';
}

/** What a daemon says of itself to the keeper that it starts. */
export function starterText({ pid, start }: Pick<ProcessIdentity, 'pid' | 'start'>): string {
  return `${pid} ${start}`;
}

/** The same for a keeper. */
export function takeKeeperMarkers(environment: NodeJS.ProcessEnv): {
  readonly status: string | undefined;
  readonly cookie: string | undefined;
  readonly starter: Pick<ProcessIdentity, 'pid' | 'start'>;
} {
  const [pid, start = ''] = (environment[keeperVariable] ?? '').split(' ');
  const taken = {
    status: environment[statusPipeVariable],
    cookie: environment[keeperCookieVariable],
    starter: { pid: Number(pid), start },
  };
  for (const name of markerVariables) {
    delete environment[name];
  }
  return taken;
}
