/** Sessions and hosts that a command line may name: found quickly, or not at all. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { printable } from '../../base/printable.ts';
import { commandText } from '../command-text.ts';
import { reachDaemons } from '../daemons.ts';
import type { VerbContext } from '../verbs.ts';
import type { Living, Suggestion } from './suggest.ts';

/** Whoever presses a key waits no longer. */
const patienceMs = 1_000;

export function livingOf(context: VerbContext): Living {
  return {
    async sessions(socket) {
      return (await inTime(sessionsOf(socket, context))) ?? [];
    },
    async hosts() {
      const { user } = await context.clientPlatform();
      const home = user.home();
      return home === undefined
        ? []
        : hostsOf(textOf(join(home, '.ssh/config')), textOf(join(home, '.ssh/known_hosts')));
    },
  };
}

async function sessionsOf(socket: string | undefined, context: VerbContext): Promise<readonly Suggestion[]> {
  const daemons = await reachDaemons(socket === undefined ? {} : { socket }, context);
  const found = daemons.reached.flatMap(({ sessions }) =>
    // An id that no shell could show as it is cannot be typed either.
    sessions
      .filter(({ id }) => printable(id) === id)
      .map(({ id, command, args }) => ({ value: id, help: commandText(command, args) })),
  );
  await daemons[Symbol.asyncDispose]();
  return found;
}

async function inTime<T>(work: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, patienceMs, undefined);
  });
  try {
    return await Promise.race([work.catch(() => undefined), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Names of ssh_config(5) without patterns, and of known_hosts where they are not hashed. */
export function hostsOf(configuration: string, knownHosts: string): readonly Suggestion[] {
  const configured = [...configuration.matchAll(/^\s*Host(?:\s+|\s*=\s*)(.+)$/gim)].flatMap(([, names = '']) =>
    names.trim().split(/\s+/),
  );
  const known = knownHosts
    .split('\n')
    .filter((line) => line !== '' && !/^[#|@]/.test(line))
    .flatMap((line) => (line.split(' ', 1)[0] ?? '').split(','));
  const names = [...configured, ...known].filter((name) => /^[\w.-]+$/.test(name));
  return [...new Set(names)].map((value) => ({ value, help: '' }));
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
