/**
 * Our own runtime and the user's environment. Variables that inject code into a Node process are meant for the user's
 * programs, not for the daemon: `bin/holdfast` holds them back from our runtime, and here they come back for children.
 */
import type { Host } from '../../platform/host.ts';
import { noValue, type StartedWith, type Variable } from '../../platform/started-with.ts';
import { calledName, isExecutable, ownStart } from './own-program.ts';
import { ambientTokenVariable } from './start-markers.ts';
import { channelVariables, heldVariables } from './steering-variables.ts';

const heldPrefix = 'HOLDFAST_HELD_';
const programNameVariable = 'HOLDFAST_PROGRAM';
/** Process id of the start script, where it waits for us so that its own environment can be read. */
const scriptVariable = 'HOLDFAST_SCRIPT';
/** The user's PWD, which the first line of the start script sets aside for the script's shell; empty when there is none. */
const givenDirectoryVariable = 'HOLDFAST_PWD';
/**
 * With one arena of its memory glibc uses again what helper threads of the runtime have freed: up to a megabyte less in an idle
 * daemon (docs/performance.md "Memory"). The second variable says that the first is ours.
 */
const arenasVariable = 'MALLOC_ARENA_MAX';
const ownArenasVariable = 'HOLDFAST_ARENAS';
const allHeld: readonly string[] = [...heldVariables, arenasVariable];

/** What the start script says to us, what it takes away for good, and the token that no mode reads (spec modes.md §4). */
const keptFromPrograms: ReadonlySet<string> = new Set([
  programNameVariable,
  scriptVariable,
  givenDirectoryVariable,
  ownArenasVariable,
  ...channelVariables,
  ambientTokenVariable,
]);

const compileCacheVariable = 'NODE_COMPILE_CACHE';
/** Where `bin/holdfast` told our runtime to keep compiled code; `undefined` after any other start. */
let compileCache: string | undefined;
let script: string | undefined;
let hasOwnArenas = false;

/** Gives the user's values back to `environment`. Runs before anything that could start a child. */
export function restoreHeldVariables(environment: NodeJS.ProcessEnv): void {
  compileCache = environment[compileCacheVariable];
  delete environment[compileCacheVariable];
  script = isExecutable ? undefined : environment[scriptVariable];
  delete environment[scriptVariable];
  hasOwnArenas = environment[ownArenasVariable] !== undefined;
  if (hasOwnArenas) {
    delete environment[ownArenasVariable];
    delete environment[arenasVariable];
  }
  for (const name of allHeld) {
    const held = environment[heldPrefix + name];
    if (held === undefined) {
      continue;
    }
    environment[name] = held;
    delete environment[heldPrefix + name];
  }
}

/** Our name as the user typed it; a start script has left it in `environment`, where it is taken out. */
export function takeProgramName(environment: NodeJS.ProcessEnv): string {
  const name = calledName() ?? environment[programNameVariable];
  delete environment[programNameVariable];
  return name === undefined || name === '' ? 'holdfast' : name;
}

/**
 * The user's environment, for the programs we start: every entry in its order and with its bytes (platform/raw-text.ts), as
 * the start script was given it, and without what is between the script and us.
 * @param environment what has become of it since we started
 */
export function ownVariables(started: StartedWith, environment: NodeJS.ProcessEnv = process.env): Variable[] {
  const given = script === undefined ? undefined : started.environmentOfScript(script);
  if (given === undefined) {
    return upToDate(started.environment(), environment);
  }
  // Nothing else is held back from the script itself: a variable that looks so is the rest of another start.
  return withGivenDirectory(given).filter(([name]) => !keptFromPrograms.has(name) && heldName(name) === undefined);
}

/** The environment of the script with the PWD that was there before its first line, in its place. */
function withGivenDirectory(ofScript: readonly Variable[]): readonly Variable[] {
  const directory = ofScript.find(([name]) => name === givenDirectoryVariable)?.[1];
  // The first one, which is what `env` has changed.
  const at = ofScript.findIndex(([name]) => name === 'PWD');
  if (directory === undefined || at < 0) {
    return ofScript;
  }
  return directory === '' ? ofScript.toSpliced(at, 1) : ofScript.with(at, ['PWD', directory]);
}

/** What we were started with, with the changes that were made in Node's text of it. */
function upToDate(given: readonly Variable[], environment: NodeJS.ProcessEnv): Variable[] {
  const variables: Variable[] = [];
  const seen = new Set<string>();
  for (const [givenName, value] of given) {
    const name = heldName(givenName) ?? givenName;
    const isOurs =
      (givenName === compileCacheVariable && value === compileCache) || (givenName === arenasVariable && hasOwnArenas);
    if (keptFromPrograms.has(name) || isOurs) {
      continue;
    }
    // Node's text does not have such an entry under a name that it could be found by, so it cannot have been changed there.
    if (name === '' || value === noValue || !name.isWellFormed()) {
      variables.push([name, value]);
      continue;
    }
    const now = environment[name];
    if (now === undefined) {
      continue;
    }
    // Of several entries with one name Node shows the first.
    const isUnchanged = seen.has(name) || now === value || (now.includes('\ufffd') && !value.isWellFormed());
    seen.add(name);
    variables.push([name, isUnchanged ? value : now]);
  }
  for (const [name, value] of Object.entries(environment)) {
    if (value !== undefined && name !== '' && !seen.has(name) && !keptFromPrograms.has(name)) {
      variables.push([name, value]);
    }
  }
  return variables;
}

/** When somebody ends the start script that waits for us, we are meant. */
export function endWithScript(host: Pick<Host, 'endWithParent'>): void {
  if (script !== undefined) {
    host.endWithParent(Number(script));
  }
}

/** The name of a variable that the script has held back from our runtime; `undefined` for any other. */
function heldName(name: string): string | undefined {
  const rest = name.startsWith(heldPrefix) ? name.slice(heldPrefix.length) : undefined;
  return allHeld.find((each) => each === rest);
}

/** How to start ourselves again, in another mode or in the background. */
export interface OwnCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: readonly Variable[];
}

/**
 * The running program with other words, on the same runtime, with the same variables held back from it and those we start ourselves with.
 * @param variables from `ownVariables`
 */
export function ownCommand(words: readonly string[], variables: readonly Variable[]): OwnCommand {
  const held: ReadonlySet<string> = new Set(allHeld);
  const env = variables.map(([name, value]): Variable => [held.has(name) ? heldPrefix + name : name, value]);
  env.push([arenasVariable, '1'], [ownArenasVariable, '1']);
  if (compileCache !== undefined) {
    env.push([compileCacheVariable, compileCache]);
  }
  const { file, words: first } = ownStart();
  return { file, args: [...first, ...words], env };
}
