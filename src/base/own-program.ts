/**
 * The files we are started from: `bin/holdfast` of an installation, or the single executable, which is everything in one
 * file. Whoever starts the program again, looks for what lies beside it or recognizes another process of it asks here.
 * Part of the shortest start, so nothing is imported.
 */

/** Set by the bundler option `define` in a build of the single executable; see build/executable. */
declare const HOLDFAST_EXECUTABLE: true | undefined;

/** Whether we run from the single executable. */
export const isExecutable: boolean = typeof HOLDFAST_EXECUTABLE !== 'undefined';

/** Folder of the program as the user knows it, links resolved; the configuration files lie there. */
export function programFolder(): string {
  return isExecutable
    ? process.getBuiltinModule('node:path').dirname(process.execPath)
    : `${import.meta.dirname}/../../bin`;
}

/** What a user or a service starts. */
export function programFile(): string {
  return isExecutable ? process.execPath : process.getBuiltinModule('node:path').join(programFolder(), 'holdfast');
}

/** How the running program is started again, on the same runtime: the file, and the words before those of a mode or verb. */
export function ownStart(): { readonly file: string; readonly words: readonly string[] } {
  // The executable has the options of its runtime inside.
  const words = isExecutable ? [] : [...process.execArgv, process.argv[1] ?? ''];
  return { file: process.execPath, words };
}

/** The name by which the user called us; `undefined` where the start script has to tell. */
export function calledName(): string | undefined {
  return isExecutable ? process.argv0 : undefined;
}

/** Names by which users know a part of the program, and the word that asks for that part. */
const otherNames: Readonly<Record<string, string>> = {
  'claudios-agent': 'agent',
  claudemesh: 'claudemesh',
};
/** How the program starts itself, which a copy under one of those names does too. */
const ownModes = /^(?:--?(?:serve|bridge|stop)(?:=|$)|keeper$)/;

/**
 * The words after the program's name, with the one in front that its name stands for. An installation has start scripts
 * for that; the single executable is given the name by a link or a copy.
 */
export function ownWords(): readonly string[] {
  const words = process.argv.slice(2);
  if (!isExecutable || ownModes.test(words[0] ?? '')) {
    return words;
  }
  const name = process
    .getBuiltinModule('node:path')
    .basename(process.argv0)
    .replace(/\.exe$/i, '');
  const word = otherNames[name];
  return word === undefined ? words : [word, ...words];
}

/** What the program is called when it is started from source, from the package, and as one file. */
const scripts = /^main\.[jt]s$/;
const runtimes = /^node(?:\.exe)?$/;
const executables = /^holdfast(?:[-.][^/\\]*)?$/;

/**
 * The command line of one of us, taken apart: our executable, or our runtime, its options and our script; then what
 * follows. `undefined` for any other program, whatever stands among its arguments.
 */
export function ownCommandLine(
  words: readonly string[],
): { readonly program: string; readonly flags: readonly string[] } | undefined {
  const { basename } = process.getBuiltinModule('node:path');
  const [program = '', ...rest] = words;
  const own = ownStart();
  const ownScript = own.words.at(-1);
  const name = basename(program);
  if (executables.test(name) || (ownScript === undefined && name === basename(own.file))) {
    return { program, flags: rest };
  }
  if (!runtimes.test(name) && name !== basename(process.execPath)) {
    return undefined;
  }
  const at = rest.findIndex((word) => !word.startsWith('-'));
  const script = rest[at] ?? '';
  const isOurs =
    scripts.test(basename(script)) || (ownScript !== undefined && basename(script) === basename(ownScript));
  return isOurs ? { program: script, flags: rest.slice(at + 1) } : undefined;
}
