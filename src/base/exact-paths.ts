/**
 * Paths that are not UTF-8. POSIX allows them, but Node's text of a command line, an environment or a working directory has
 * U+FFFD in place of such bytes, and that is the name of another file. So they are refused before anything is made there.
 */
import type { StartedWith } from '../../platform/started-with.ts';
import { goQuote } from './printable.ts';

/** What a mode or verb may make paths of. */
export interface PathSources {
  /** The command line after the program's name. */
  readonly words: readonly string[];
  /** Names of the environment variables that are paths and are used. */
  readonly variables: readonly string[];
  /** Whether the working directory becomes part of a path. */
  readonly workingDirectory: boolean;
}

/**
 * @returns one line that says what is not UTF-8 and what to do; `undefined`: every path means the file it names
 */
export async function inexactPath(
  { words, variables, workingDirectory }: PathSources,
  load: () => Promise<{ readonly startedWith: StartedWith }>,
): Promise<string | undefined> {
  const usesDirectory = workingDirectory && isSuspicious(currentDirectory());
  const suspiciousWords = words.some(isSuspicious);
  const suspiciousVariables = variables.filter((name) => isSuspicious(process.env[name]));
  if (!usesDirectory && !suspiciousWords && suspiciousVariables.length === 0) {
    return undefined;
  }
  const { startedWith } = await load();
  const badWord = startedWith.lastWords(words.length).find((word) => !word.isWellFormed());
  if (badWord !== undefined) {
    return refusal(`the argument ${goQuote(badWord)}`, 'use a path that is UTF-8');
  }
  for (const [name, value] of startedWith.environment()) {
    if (suspiciousVariables.includes(name) && !value.isWellFormed()) {
      return refusal(`$${name}, ${goQuote(value)},`, `set ${name} to a path that is UTF-8`);
    }
  }
  const directory = usesDirectory ? startedWith.workingDirectory() : undefined;
  return directory === undefined || directory.isWellFormed()
    ? undefined
    : refusal(`the working directory ${goQuote(directory)}`, 'start from a folder whose path is UTF-8');
}

function refusal(what: string, remedy: string): string {
  return `holdfast: ${what} is not UTF-8, and another file would be used in its place; ${remedy}`;
}

/** Only text with U+FFFD may have lost something on its way; a user can also have meant that very character. */
function isSuspicious(text: string | undefined): boolean {
  return text?.includes('\ufffd') ?? false;
}

/** The working directory; `undefined` when it has been deleted: nothing can be made below it then. */
export function currentDirectory(): string | undefined {
  try {
    return process.cwd();
  } catch {
    return undefined;
  }
}
