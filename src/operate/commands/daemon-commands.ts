/** Rows of the verbs about daemons, settings and this program itself. */
import type { CommandRow } from './row.ts';
import { daemonExits, daemonOptions, flagsArgument, jsonOption, plainExits, usageExit } from './shared-rows.ts';

const agentOption = { flags: '--agent', help: 'the polling agent (docs/agent.md) in the place of the daemon' } as const;
const dryRun = (help: string) => ({ flags: '--dry-run', help });

export const daemonCommands = {
  status: {
    summary: 'one line about the daemon: address, pid, version, sessions',
    arguments: [],
    options: [...daemonOptions, jsonOption],
    examples: [{ line: 'holdfast status --host box', what: 'is there a daemon on that host, and what has it?' }],
    exits: daemonExits,
    load: async () => (await import('../status.ts')).status,
  },
  token: {
    summary: 'print the token of the daemon at a socket',
    arguments: [],
    options: [
      {
        flags: '--socket <path>',
        help: 'socket of the daemon (default: ~/.claude/remote/rpc.sock)',
        value: 'path',
        completion: 'file',
      },
      jsonOption,
    ],
    notes: 'Whoever has the token may do all that the daemon can: keep it out of logs and scripts.',
    examples: [{ line: 'ssh box holdfast token', what: 'how a client behind ssh gets it' }],
    exits: { ...plainExits, 3: 'no daemon has left its token there' },
    load: async () => (await import('../token.ts')).token,
  },
  doctor: {
    summary: 'look for what is wrong with this host: run directory, limits, login, disk, programs, launcher, daemon',
    arguments: [],
    options: [
      ...daemonOptions,
      jsonOption,
      { flags: '--fix', help: 'do what the lines offer: remove stale files, take rights from others; asks each time' },
      { flags: '--yes', help: 'with --fix: do not ask' },
    ],
    notes:
      'One line a check: state, what was seen, and below it what to do. Nothing is changed without --fix, no program of the user is started, and nothing is waited for.',
    examples: [
      { line: 'holdfast doctor', what: 'what is wrong here?' },
      { line: 'holdfast doctor --host box --json', what: 'over there, for a program' },
    ],
    exits: {
      0: 'nothing is wrong',
      1: 'something is',
      ...usageExit,
      3: 'the host cannot be reached',
      5: 'with --fix: something is left',
    },
    load: async () => (await import('../doctor/doctor.ts')).doctor,
  },
  config: {
    summary: 'show the settings in force, where each comes from, and every timer',
    usage: '[--json] [-- <flags of holdfast>]',
    arguments: [flagsArgument],
    options: [jsonOption],
    notes: 'Shows what a start would use; a running daemon may have been started with other flags.',
    examples: [
      { line: 'holdfast config -- -wire-profile next', what: 'what holdfast -serve would use with this flag' },
    ],
    exits: { ...plainExits, 3: 'check: there is no such file' },
    subcommands: {
      check: {
        summary: 'tell what is wrong with a configuration file: keys, values, lines that say nothing',
        arguments: [
          { name: '<file>', help: 'e.g. holdfast.conf, before it is put beside the program', completion: 'file' },
        ],
        options: [jsonOption],
        examples: [{ line: 'holdfast config check holdfast.conf', what: 'before it is put beside the program' }],
        exits: { 0: 'nothing is wrong', 1: 'something is', ...usageExit, 3: 'there is no such file' },
        load: async () => (await import('../config-check.ts')).configCheck,
      },
    },
    load: async () => (await import('../config.ts')).config,
  },
  licenses: {
    summary: 'the licences of everything inside the single executable',
    arguments: [],
    options: [{ flags: '--sbom', help: 'the list of its parts instead, as CycloneDX JSON' }],
    examples: [{ line: 'holdfast licenses --sbom', what: 'which packages, in which versions?' }],
    exits: plainExits,
    load: async () => (await import('../licenses.ts')).licenses,
  },
  service: {
    summary: 'start the daemon with the session of this user: install, remove, status',
    arguments: [],
    options: [],
    examples: [{ line: 'holdfast service install --dry-run', what: 'show what would be written and run' }],
    exits: { ...plainExits, 3: 'it is not installed, or does not run' },
    subcommands: {
      install: {
        summary: 'write the definition, and start the daemon now and with this user’s session',
        arguments: [flagsArgument],
        options: [
          dryRun('show what would be written and run'),
          agentOption,
          {
            flags: '--config <file>',
            help: 'with --agent: its settings (default: config.json here)',
            value: 'path',
            completion: 'file',
          },
          { flags: '--print', help: 'print the definition alone: a unit, a property list, or the XML of a logon task' },
          jsonOption,
        ],
        examples: [{ line: 'holdfast service install -- -durable', what: 'with flags for holdfast -serve' }],
        exits: plainExits,
        load: async () => (await import('../service.ts')).install,
      },
      remove: {
        summary: 'stop the daemon and remove the definition',
        arguments: [],
        options: [dryRun('show what would be run and removed'), agentOption, jsonOption],
        examples: [{ line: 'holdfast service remove', what: 'stop it, and start it no more' }],
        exits: plainExits,
        load: async () => (await import('../service.ts')).remove,
      },
      status: {
        summary: 'tell whether it is installed and runs',
        arguments: [],
        options: [agentOption, jsonOption],
        examples: [{ line: 'holdfast service status', what: 'installed? running?' }],
        exits: { ...plainExits, 3: 'it is not installed, or does not run' },
        load: async () => (await import('../service.ts')).status,
      },
      start: {
        summary: 'what the definition runs: starts the daemon with a token of its own',
        arguments: [flagsArgument],
        options: [],
        examples: [{ line: 'holdfast service start', what: 'as the service manager does it' }],
        exits: plainExits,
        load: async () => (await import('../service.ts')).start,
      },
    },
  },
  completion: {
    summary: 'print the script by which a shell completes verbs, options, session ids and hosts',
    arguments: [
      { name: '<shell>', help: 'bash, zsh, fish or powershell', completion: ['bash', 'zsh', 'fish', 'powershell'] },
      { name: '[words...]', help: 'what the script asks: the words of a line that is being typed, after --' },
    ],
    options: [],
    examples: [
      { line: 'source <(holdfast completion bash)', what: 'in ~/.bashrc; the same with zsh in ~/.zshrc' },
      { line: 'holdfast completion fish | source', what: 'in ~/.config/fish/config.fish' },
      { line: 'holdfast completion powershell | Out-String | Invoke-Expression', what: 'in $PROFILE' },
    ],
    exits: { 0: 'done; also when there is nothing to suggest', ...usageExit },
    passesThrough: true,
    load: async () => (await import('../completion/completion.ts')).completion,
  },
} satisfies Readonly<Record<string, CommandRow>>;
