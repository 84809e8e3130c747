/**
 * The single executable has no script before it that takes variables away from our runtime, so where one of them stands in
 * the environment the program begins once more without it. Our children get it all the same (src/base/own-process.ts).
 */
import { loadPlatform } from '../../platform/load.ts';
import { ownCommand } from '../base/own-process.ts';
import { ambientTokenVariable } from '../base/start-markers.ts';
import { channelVariables } from '../base/steering-variables.ts';
import { parseFlags } from '../config/flags.ts';

/** @returns the exit code, where the system cannot put a program in the place of another */
export async function startAgain(words: readonly string[]): Promise<number> {
  const { host, startedWith } = await loadPlatform();
  const gone: ReadonlySet<string> = new Set([...channelVariables, ambientTokenVariable]);
  const variables = startedWith.environment().filter(([name]) => !gone.has(name));
  const flags = parseFlags(words);
  const tokenFd = flags.outcome === 'parsed' ? flags.given['token-fd'] : undefined;
  return host.become({
    ...ownCommand(startedWith.lastWords(words.length), variables),
    argv0: process.argv0,
    descriptors: tokenFd === undefined ? [] : [Number(tokenFd)],
  });
}
