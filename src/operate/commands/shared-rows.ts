/** Rows that several verbs have in common. */
import type { ArgumentRow, ExitRows, OptionRow } from './row.ts';

export const jsonOption: OptionRow = { flags: '--json', help: 'for programs' };

/** Which daemon a verb means (spec operators.md, client.md §5). */
export const daemonOptions: readonly OptionRow[] = [
  {
    flags: '--host <ssh destination>',
    help: 'the daemon of that host, through your own ssh (default: this machine)',
    completion: 'host',
  },
  {
    flags: '--ssh-command <words>',
    help: 'what to run for ssh, e.g. "ssh -p 2222"',
    value: 'shellWords',
  },
  {
    flags: '--socket <path>',
    help: 'socket of the daemon, there (default: ~/.claude/remote/rpc.sock)',
    value: 'path',
    completion: 'file',
  },
];

export const sessionArgument: ArgumentRow = {
  name: '<id>',
  help: 'of the session, as holdfast.sessions and the client name it',
  completion: 'session',
};

/** How `attach` and `logs` show a session. */
export const sessionOptions: readonly OptionRow[] = [
  ...daemonOptions,
  { flags: '--from-seq <n>', help: 'begin behind this frame', value: 'frameNumber' },
  { flags: '--stdout', help: 'only the standard output' },
  { flags: '--stderr', help: 'only the error output' },
  { flags: '--raw', help: 'bytes as they are, also to a terminal' },
  { flags: '--json', help: 'one object a frame' },
  { flags: '--events', help: 'agents that print JSON lines: one readable line an event' },
];

export const flagsArgument: ArgumentRow = { name: '[flags...]', help: 'as holdfast -serve takes them, after --' };

export const usageExit: ExitRows = { 2: 'words that the verb does not know' };
export const plainExits: ExitRows = { 0: 'done', 1: 'failed; the reason is on stderr', ...usageExit };
export const daemonExits: ExitRows = { ...plainExits, 3: 'nobody answers at the socket' };
export const sessionExits: ExitRows = { ...plainExits, 3: 'nobody answers at the socket, or there is no such session' };
