/** Rows of the verbs about sessions. */
import type { CommandRow } from './row.ts';
import {
  daemonOptions,
  jsonOption,
  plainExits,
  sessionArgument,
  sessionExits,
  sessionOptions,
  usageExit,
} from './shared-rows.ts';

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
  top: {
    summary: 'the sessions of all daemons, live: rates, memory, window, a bar for each look',
    arguments: [],
    options: [
      ...daemonOptions,
      { flags: '--interval <duration>', help: 'from one look to the next (default: 2s)', value: 'milliseconds' },
      { flags: '--once', help: 'one look, as a table; so it is without a terminal, too' },
      { flags: '--json', help: 'one look, for programs: what holdfast ps --json tells' },
    ],
    notes:
      'Keys: up and down choose, s changes the order (CPU, memory, rate, window, age, id), / filters by id and command, l shows the log of the chosen session (INT leads back), x ends and forgets it after a question, q quits.',
    examples: [
      { line: 'holdfast top', what: 'q quits' },
      { line: 'holdfast top --once --host box', what: 'one look at another host' },
    ],
    exits: {
      0: 'done',
      1: 'failed; the reason is on stderr',
      ...usageExit,
      3: 'no daemon runs',
      5: 'some daemons do not answer',
    },
    load: async () => (await import('../top/top.ts')).top,
  },
  attention: {
    summary: 'which agents wait for a permission that nobody has given',
    arguments: [],
    options: [
      ...daemonOptions,
      { flags: '--watch', help: 'go on, and tell each new request once' },
      {
        flags: '--exec <command>',
        help: 'run it for each request, with the request as JSON on its standard input; no shell',
        value: 'shellWords',
      },
      { flags: '--json', help: 'for programs; with --watch one object a line' },
    ],
    notes:
      'It is read from the output of the agents: a control_request can_use_tool, for which no control_response was typed since. Nobody’s stream is touched.',
    examples: [
      { line: 'holdfast attention', what: 'who waits, since when, for which tool?' },
      { line: 'holdfast attention --watch --exec "notify-send Holdfast"', what: 'tell me of each new one' },
    ],
    exits: {
      0: 'done, whether somebody waits or not',
      1: 'failed; the reason is on stderr',
      ...usageExit,
      3: 'no daemon runs',
      5: 'some daemons do not answer',
    },
    load: async () => (await import('../attention/attention.ts')).attention,
  },
  answer: {
    summary: 'answer a request that waits: allow or deny',
    arguments: [
      sessionArgument,
      { name: '<request>', help: 'as holdfast attention shows it' },
      { name: '<answer>', help: 'allow or deny', completion: ['allow', 'deny'] },
    ],
    options: [...daemonOptions, { flags: '--message <text>', help: 'with deny: what the agent is told' }, jsonOption],
    notes: 'An answer is typed once: when somebody else has answered meanwhile, nothing is typed.',
    examples: [
      { line: 'holdfast answer agent 8fb99eb1 allow', what: 'the tool is used as the agent has asked' },
      { line: 'holdfast answer agent 8fb99eb1 deny --message "not on this host"', what: 'the agent is told why' },
    ],
    exits: {
      ...plainExits,
      3: 'no daemon runs, or there is no such session or request',
      4: 'refused: it was answered, taken back, or its turn is over',
    },
    load: async () => (await import('../attention/answer-request.ts')).answer,
  },
} satisfies Readonly<Record<string, CommandRow>>;
