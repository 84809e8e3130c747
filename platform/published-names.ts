/** The names under which a daemon can be found in its run directory, and in those of others (spec platform.md §3). */

/** The socket in every run directory of the usual layout; a user may name another one with `-socket`. */
export const socketName = 'rpc.sock';
/** On Windows: the file beside the socket path that holds the name of the pipe, verbatim and without a newline. */
export const pipeFileName = 'rpc.pipe';

/** The record of the keeper of durable sessions, in the run directory, and what the runtime says when a keeper dies. */
export const keeperRecordName = 'keeper.json';
export const keeperLogName = 'keeper.log';
/** Its socket, and on Windows the file with the name of its pipe. */
export const keeperSocketName = 'keeper.sock';
export const keeperPipeFileName = 'keeper.pipe';
