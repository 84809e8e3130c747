/** Rows of the verbs that bring this program to a host and make it newer there. */
import type { CommandRow } from './row.ts';
import { daemonOptions, flagsArgument, jsonOption, plainExits, usageExit } from './shared-rows.ts';

const [, sshCommandOption, socketOption] = daemonOptions as Required<Pick<typeof daemonOptions, 0 | 1 | 2>> &
  typeof daemonOptions;

const endSessionsOption = {
  flags: '--end-sessions',
  help: 'replace a daemon that is not durable also while sessions run, which end with it',
} as const;

export const installCommands = {
  deploy: {
    summary: 'bring this program to another host as one file, and start or replace its daemon',
    usage: '[options] <ssh destination> [-- flags of holdfast -serve]',
    arguments: [
      { name: '<ssh destination>', help: 'e.g. user@box, through your own ssh', completion: 'host' },
      flagsArgument,
    ],
    options: [
      {
        flags: '--from <path>',
        help: 'executable, or a folder with those of npm run build (default: this file where it fits, else its folder; from source: dist)',
        value: 'path',
        completion: 'file',
      },
      { flags: '--to <folder>', help: 'where to put it there (default: where ssh commands look)', value: 'path' },
      { flags: '--dry-run', help: 'look at the host and tell what would be done' },
      endSessionsOption,
      sshCommandOption,
      socketOption,
      jsonOption,
    ],
    notes:
      'The host needs neither Node.js nor the internet. A copy that was cut goes on where it stopped; the file is verified there (SHA-256), tried, and then gets its name in one step. Sessions of a durable daemon go on. Done again, it does nothing.',
    examples: [
      { line: 'holdfast deploy user@box -- -durable', what: 'sessions there outlive their daemon' },
      { line: 'holdfast deploy --from dist --dry-run box', what: 'what would be done?' },
    ],
    exits: {
      ...plainExits,
      3: 'the host cannot be reached',
      5: 'the program is there; the daemon was left as it is, and the line says why',
    },
    load: async () => (await import('../deploy/deploy.ts')).deploy,
  },
  upgrade: {
    summary: 'put another executable in the place of this one, and replace the daemon by one of it',
    usage: '[options] [-- flags of holdfast -serve]',
    arguments: [flagsArgument],
    options: [
      {
        flags: '--from <file>',
        help: 'the new executable (default: this one, as it is now)',
        value: 'path',
        completion: 'file',
      },
      { flags: '--sha256 <hex>', help: 'do nothing unless that file has this hash (SHA256SUMS)' },
      { flags: '--check', help: 'tell what would be done' },
      { flags: '--start', help: 'start a daemon where none runs' },
      { flags: '--restart', help: 'replace a daemon that runs this program already' },
      endSessionsOption,
      socketOption,
      jsonOption,
    ],
    notes:
      'The daemon keeps its token and its flags; those behind -- come after them. A durable daemon is replaced without the end of a session, and its clients reconnect; another one only when no session runs. Nothing is downloaded.',
    examples: [
      { line: 'holdfast upgrade --check', what: 'does the daemon run an older program than this?' },
      { line: 'holdfast upgrade --from ./holdfast-linux-x64', what: 'from a file that was copied here' },
    ],
    exits: { ...plainExits, ...usageExit, 5: 'the daemon was left as it is, and the line says why' },
    load: async () => (await import('../deploy/upgrade.ts')).upgrade,
  },
} satisfies Readonly<Record<string, CommandRow>>;
