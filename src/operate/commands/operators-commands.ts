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
  reconcile: {
    summary: 'compare what should run with what runs, and end what nobody holds',
    arguments: [],
    options: [
      ...daemonOptions,
      {
        flags: '--expect <file>',
        help: 'JSON lines or a list of {"pid","startTime"[,"id"][,"host"]}, as a control plane has stored them; - for standard input',
        value: 'path',
        completion: 'file',
      },
      { flags: '--kill', help: 'end the orphans: TERM, a grace, KILL, with all that is below them' },
      { flags: '--grace <duration>', help: 'from TERM to KILL, 5s unless told', value: 'milliseconds' },
      { flags: '--adopt', help: 'print how to reach what lives' },
      { flags: '-y, --yes', help: 'with --kill: do not ask' },
      jsonOption,
    ],
    notes:
      'Verdicts: live (a daemon or keeper holds it), orphan (ours, nobody holds it), exited, recycled (the pid is another process now), foreign (not ours), unknown (cannot be told; the row says why). Only orphans are ever ended, each after its pid and start were read again. Without marks (-mark-children, -durable, profile next) an orphan leaves no trace but in --expect.',
    examples: [
      { line: 'holdfast reconcile', what: 'look, and change nothing' },
      { line: 'holdfast reconcile --expect stored.jsonl --kill --yes', what: 'after a crash, with what was stored' },
    ],
    exits: {
      ...plainExits,
      0: 'nothing is orphaned, and everything could be told',
      4: 'refused: without --yes nobody could be asked, or the answer was no',
      5: 'an orphan or something unknown is left',
    },
    load: async () => (await import('../reconcile/reconcile.ts')).reconcile,
  },
  why: {
    summary: 'tell when a process was started, who asked for its end, and how it ended',
    arguments: [{ name: '<id or pid>', help: 'of the session', completion: 'session' }],
    options: [...daemonOptions, jsonOption],
    notes:
      'From the daemon, else from its log, also when it is gone. A daemon begins a new log at each start; profile next keeps the one before.',
    examples: [{ line: 'holdfast why build', what: 'who ended it, with the last lines of its error output' }],
    exits: {
      ...plainExits,
      3: 'nobody here has heard of it',
      4: 'several daemons have had one of that id; all are told, --socket chooses',
    },
    load: async () => (await import('../why/why.ts')).why,
  },
  release: {
    summary: 'end sessions and forget them, with what they have left behind',
    usage: '[options] <id...> | --all | --ended | --keeper',
    arguments: [{ name: '[ids...]', help: 'of the sessions', completion: 'session' }],
    options: [
      ...daemonOptions,
      { flags: '--all', help: 'every session' },
      { flags: '--ended', help: 'every session that has ended' },
      { flags: '--keeper', help: 'the keeper of durable sessions, with all of them' },
      { flags: '--tree', help: 'also what they have left outside their groups (see ps)' },
      { flags: '--timeout <duration>', help: 'from TERM to KILL of a session, 5s unless told', value: 'milliseconds' },
      { flags: '--dry-run', help: 'show what would be done' },
      { flags: '-y, --yes', help: 'do not ask' },
      jsonOption,
    ],
    notes:
      'A running session gets TERM, and after a grace its whole group KILL; then it is forgotten with its output. What it has left in groups of its own is ended with --tree, each process only after its identity was read again.',
    examples: [
      { line: 'holdfast release --tree --yes build', what: 'end the session build and all it has left' },
      { line: 'holdfast release --ended', what: 'forget what has ended; asks first' },
    ],
    exits: {
      ...plainExits,
      3: 'nothing of that kind is here',
      4: 'refused: without --yes nobody could be asked, the answer was no, the id is not unique, or an identity did not match',
      5: 'done in part; each row says what came of it',
    },
    load: async () => (await import('../release.ts')).release,
  },
} satisfies Readonly<Record<string, CommandRow>>;
