/** Rows of the verbs that look at all daemons of a host at once, and clear what they leave. */
import type { CommandRow, ExitRows } from './row.ts';
import { daemonOptions, jsonOption, plainExits } from './shared-rows.ts';

const allDaemonsExits: ExitRows = {
  ...plainExits,
  3: 'no daemon runs here',
  5: 'one of several daemons does not answer; the others are shown',
};

export const operatorsCommands = {
  ps: {
    summary: 'one row a session, over all daemons of this user',
    arguments: [],
    options: [
      ...daemonOptions,
      { flags: '-a, --all', help: 'ended sessions too' },
      { flags: '--tree', help: 'the processes below each session' },
      { flags: '--watch [duration]', help: 'again and again, every 2s unless told', value: 'milliseconds' },
      jsonOption,
    ],
    notes:
      'CPU% and MEM are those of everything below a session and of what it has left outside its group ("+2 strays"); strays are found where children are marked (-mark-children, -durable). CPU% counts from the start of the session, with --watch from look to look.',
    examples: [
      { line: 'holdfast ps --all', what: 'also sessions that have ended and can still be read' },
      { line: "holdfast ps --json | jq -r '.[] | select(.attached | not) | .id'", what: 'sessions without a client' },
    ],
    exits: allDaemonsExits,
    load: async () => (await import('../ps.ts')).ps,
  },
} satisfies Readonly<Record<string, CommandRow>>;
