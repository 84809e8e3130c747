/**
 * Everything a user can set: one row per flag and configuration key (spec modes.md §3).
 * The command line (src/config/flags.ts), the configuration files and the usage text are read off this table.
 */
import type { Profile } from '../wire/profile.ts';
import { defaultProfile } from '../wire/profiles.ts';
import {
  address,
  bool,
  commit,
  duration,
  int,
  profile,
  type SlowReader,
  slowReader,
  string,
  type ValueKind,
} from './option-values.ts';

/** The mode an option belongs to; `select` picks the mode itself. Options of other modes are accepted and ignored. */
export type OptionMode = 'select' | 'all' | 'serve' | 'install' | 'version';

export interface Option<T> {
  readonly kind: ValueKind<T>;
  /** `undefined` where the default depends on something else (home folder, profile). */
  readonly initial: T | undefined;
  readonly mode: OptionMode;
  readonly help: string;
  /** Whether it is a flag, a key of the configuration files, or both. The name is the same in both. */
  readonly flag: boolean;
  readonly inFile: boolean;
  /** A limit: 0 switches it off, and a negative number on the command line counts as 0. */
  readonly bound: boolean;
  /** Accepted for older clients; sets nothing, and whoever gives it is told so. */
  readonly withoutEffect?: string;
}

type Extra<T> = Partial<Omit<Option<T>, 'kind' | 'initial' | 'mode' | 'help'>>;

function option<T>(
  kind: ValueKind<T>,
  initial: T | undefined,
  mode: OptionMode,
  help: string,
  extra: Extra<T> = {},
): Option<T> {
  return { kind, initial, mode, help, flag: true, inFile: false, bound: false, ...extra };
}

const key = { inFile: true };
const boundKey = { inFile: true, bound: true };

export const options = {
  serve: option(bool, false, 'select', 'start the daemon in the background'),
  bridge: option(bool, false, 'select', 'relay standard input and output to the daemon'),
  stop: option(bool, false, 'select', 'ask the daemon to end'),
  install: option(bool, false, 'select', 'make sure the agent CLI is present and print one line of facts'),
  version: option(bool, false, 'select', 'print the version'),
  'probe-cli': option(string, '', 'select', 'run <text> --version and classify the outcome (from profile next on)'),

  'wire-profile': option<Profile>(profile, defaultProfile, 'all', 'generation of the wire contract to serve', key),
  socket: option(string, undefined, 'all', 'socket path (default ~/.claude/remote/rpc.sock)'),

  'token-file': option(string, '', 'serve', 'file with the token; read once, then removed'),
  'token-fd': option(int, -1, 'serve', 'open descriptor to read the token from, 0 = standard input'),
  durable: option(bool, false, 'serve', 'sessions outlive the daemon: its crash, its end and its upgrade', key),
  'unseen-retention': option(
    duration,
    undefined,
    'serve',
    'how long an ended process is kept whose exit no client has seen, 0 = not (default 15m; with durable 24h)',
    boundKey,
  ),
  'metrics-addr': option(
    address,
    '',
    'serve',
    'serve Prometheus counters over HTTP; use a loopback address, or unix:<path>, which only this user can reach',
    key,
  ),
  'keep-children': option(bool, false, 'serve', 'leave child processes running when the daemon ends', key),
  'listen-pipe': option(bool, false, 'serve', 'Windows: serve the named pipe (always on)', key),
  'wire-log': option(string, '', 'serve', 'append every frame to this file, secrets redacted', key),
  'wire-log-max-string': option(int, 512, 'serve', 'longest string in the wire log, 0 = whole', boundKey),
  'wire-log-max-bytes': option(
    int,
    1024 * 1024 * 1024,
    'serve',
    'the wire log starts over at this size and keeps one older file, 0 = no limit',
    boundKey,
  ),
  'log-max-bytes': option(
    int,
    64 * 1024 * 1024,
    'serve',
    'the log starts over at this size and keeps one older file, 0 = no limit',
    boundKey,
  ),
  'slow-reader': option<SlowReader>(
    slowReader,
    'pace',
    'serve',
    'pace: a process waits for a client that reads slowly; drop: such a client is disconnected',
    key,
  ),
  'memory-budget': option(
    int,
    undefined,
    'serve',
    'bytes held for all clients together, 0 = no limit (default: a quarter of the memory, at most 1 GiB)',
    boundKey,
  ),
  'spool-bytes': option(
    int,
    0,
    'serve',
    'output of a process beyond 16 MiB is kept on disk, up to so many bytes, 0 = not',
    boundKey,
  ),
  'max-sessions': option(int, 0, 'serve', 'processes that may run at once, 0 = no limit', boundKey),
  'detached-ttl': option(
    duration,
    0,
    'serve',
    'a process without client and without output for so long is ended, 0 = never',
    boundKey,
  ),
  'mark-children': option(
    bool,
    undefined,
    'serve',
    'children carry HOLDFAST_SESSION, by which what they leave behind is found (default: with durable)',
    key,
  ),
  'reap-tree': option(
    bool,
    false,
    'serve',
    'what an ended process has left outside its group is ended too; children are marked for it',
    key,
  ),
  'max-extract-bytes': option(int, 0, 'serve', 'largest total of files.extract_tar, 0 = no limit', boundKey),
  'git-timeout': option(
    duration,
    undefined,
    'serve',
    'limit of one git call, 0 = none (default: 1m in profile S)',
    boundKey,
  ),
  'files-read-regular-only': option(bool, false, 'serve', 'files.read refuses everything but regular files', key),

  'cli-dir': option(string, '', 'install', 'folder of the CLI versions (default ~/.claude/remote/ccd-cli)'),
  'cli-version': option(string, '', 'install', 'version to install'),
  'cli-url': option(string, '', 'install', 'address of the compressed CLI'),
  'cli-checksum': option(string, '', 'install', 'SHA-256 of the compressed CLI, hexadecimal'),
  'cli-zst': option(string, '', 'install', 'local file with the compressed CLI'),
  'cli-keep': option(int, 3, 'install', 'versions to keep'),
  'max-cli-bytes': option(int, 0, 'install', 'largest CLI, 0 = no limit', boundKey),
  'cli-download-timeout': option(duration, 0, 'install', 'limit of the whole download, 0 = none', boundKey),
  'cli-probe-timeout': option(duration, 0, 'install', 'no effect any more', {
    inFile: true,
    withoutEffect: 'the bounds of the version run are fixed',
  }),
  'libc-probe-timeout': option(duration, 0, 'install', 'no effect any more', {
    inFile: true,
    withoutEffect: 'the bound of the libc probe is fixed',
  }),

  'run-directories': option(
    string,
    '',
    'all',
    'more run directories whose daemons ps, reconcile and their like look at, separated as in PATH',
    { flag: false, inFile: true },
  ),
  'version-override': option(commit, '', 'version', 'commit that -version names', { flag: false, inFile: true }),
} as const;

export type OptionName = keyof typeof options;

type ValueOf<O> = O extends Option<infer T> ? T : never;

/** The value type of every option by its name. */
export type OptionValues = { readonly [Name in OptionName]: ValueOf<(typeof options)[Name]> };

export const optionNames = Object.keys(options) as OptionName[];

/** The row of a name that may not be one: `toString` and its like are no options. */
export function optionNamed(name: string): OptionName | undefined {
  return Object.hasOwn(options, name) ? (name as OptionName) : undefined;
}
