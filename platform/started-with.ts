/**
 * What this process was started with, byte for byte (raw-text.ts). Node's own `process.env` and `process.argv` replace bytes
 * that are not UTF-8, and what is written there would name another file. Part of `Platform`.
 */

/** One variable of an environment. */
export type Variable = readonly [name: string, value: string];

/** Value of an entry without `=`, which the OS allows and passes on. No bytes of an environment read like this. */
export const noValue = '\udc00';

/** An entry as it stands in the environment block. */
export function environmentEntry([name, value]: Variable): string {
  return value === noValue ? name : `${name}=${value}`;
}

/** A list of variables and one more behind it, which stands alone where the list is shared by many children. */
export function wholeEnvironment(of: {
  readonly env: readonly Variable[];
  readonly lastVariable?: Variable | undefined;
}): readonly Variable[] {
  return of.lastVariable === undefined ? of.env : [...of.env, of.lastVariable];
}

export interface StartedWith {
  /** In its order, with every entry, also one that comes twice. Where the OS does not show it: `process.env`. */
  environment(): readonly Variable[];
  /**
   * The same of the start script, which waits for us. A shell passes on only what it can keep in a variable, so the script's
   * own environment has more than ours.
   * @param pid as the script has given it
   * @returns `undefined` when our parent is another process, or does not show its environment
   */
  environmentOfScript(pid: string): readonly Variable[] | undefined;
  /** The last `count` words of the command line. */
  lastWords(count: number): readonly string[];
  /** The working directory; `undefined` when it has been deleted or cannot be told. */
  workingDirectory(): string | undefined;
}
