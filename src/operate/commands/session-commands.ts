/** Rows of the verbs about sessions. */
import type { CommandRow } from './row.ts';
import { daemonOptions, sessionArgument, sessionExits, sessionOptions } from './shared-rows.ts';

export const sessionCommands = {
  run: {
    summary: 'run a program under a daemon, here or on another host, as if it were a child of this process',
    usage: '[options] -- command [args…]',
    arguments: [
      { name: '[command]', help: 'a path, or a name that is looked for on the PATH of the daemon; no shell' },
      { name: '[args...]', help: 'its arguments' },
    ],
    options: [
      ...daemonOptions,
      { flags: '--id <id>', help: 'name of the session (default: a new one)', completion: 'session' },
      {
        flags: '--resume',
        help: 'take over the session of that id from its first kept frame; start the command when there is none',
      },
      { flags: '--from-seq <n>', help: 'with --resume: from the frame behind this one', value: 'frameNumber' },
      { flags: '--cwd <folder>', help: 'working folder of the command, there', completion: 'file' },
      { flags: '--env <K=V>', help: 'set a variable for the command (repeatable)', value: 'variable' },
      {
        flags: '--wire-profile <name>',
        help: 'for a daemon that has to be started: S, current, next, latest',
        completion: ['S', 'current', 'next', 'latest'],
      },
      { flags: '--durable', help: 'for a daemon that has to be started: sessions outlive it' },
      { flags: '--keep', help: 'when holdfast run is ended, leave the command running' },
      { flags: '--quiet', help: 'no word about a broken connection' },
    ],
    notes:
      'Standard input, output and error of the command are those of holdfast run, and so is its exit code. A connection that breaks is made anew; neither side notices.',
    examples: [
      { line: 'holdfast run -- make test', what: 'here; a daemon is started when there is none' },
      { line: 'holdfast run --host box --id build --keep -- make', what: 'there, under a name, and it outlives us' },
      { line: 'holdfast run --host box --id build --resume', what: 'take it over again' },
    ],
    exits: {
      0: 'that of the command, as every code up to 124',
      125: 'it could not be started, the daemon not be reached, or holdfast run does not know a word',
      126: 'it cannot be run',
      127: 'it is not found',
      128: '128+n when signal n ended it',
      255: 'nobody can tell how it ended',
    },
    passesThrough: true,
    // Codes below 125 are those of the program (spec client.md §5).
    usageCode: 125,
    load: async () => (await import('../run/run.ts')).run,
  },
  attach: {
    summary: 'look at a session live, or take it over',
    arguments: [sessionArgument],
    options: [
      ...sessionOptions,
      { flags: '--take', help: 'become its receiver; whoever was that until now is cut off from it' },
      { flags: '--input', help: 'with --take: what you type goes to the program' },
    ],
    notes: 'INT (Ctrl+C) ends the look; the session goes on.',
    examples: [
      { line: 'holdfast attach build', what: 'look on; whoever has the session notices nothing' },
      { line: 'holdfast attach --take --input build', what: 'take it and type into it' },
    ],
    exits: sessionExits,
    load: async () => (await import('../attach.ts')).attach,
  },
  logs: {
    summary: 'print what a session has written',
    arguments: [sessionArgument],
    options: [...sessionOptions, { flags: '-f, --follow', help: 'go on until the session ends' }],
    examples: [
      { line: 'holdfast logs build', what: 'what the daemon still keeps of it' },
      { line: 'holdfast logs -f --events agent', what: 'an agent that prints JSON lines, made readable' },
    ],
    exits: sessionExits,
    load: async () => (await import('../logs.ts')).logs,
  },
} satisfies Readonly<Record<string, CommandRow>>;
