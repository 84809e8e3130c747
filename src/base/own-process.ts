/**
 * Our own runtime and the user's environment. Variables that inject code into a Node process are meant for the user's
 * programs, not for the daemon: `bin/holdfast` holds them back from our runtime, and here they come back for children.
 */

/**
 * Variables of Node and its OpenSSL that load code or files, or write diagnostics (threat 8). `bin/holdfast` and
 * `bin/holdfast.cmd` have the same list. The runtime reads `NODE_EXTRA_CA_CERTS` at every start and complains of a bad one
 * on stderr; only a download wants it, and reads it itself (src/install/certificates.ts).
 */
export const heldVariables = [
  'NODE_OPTIONS',
  'NODE_PATH',
  'NODE_REPL_EXTERNAL_MODULE',
  'NODE_COMPILE_CACHE',
  'NODE_DEBUG',
  'NODE_DEBUG_NATIVE',
  'NODE_ICU_DATA',
  'NODE_PRESERVE_SYMLINKS',
  'NODE_PRESERVE_SYMLINKS_MAIN',
  'NODE_REDIRECT_WARNINGS',
  'NODE_V8_COVERAGE',
  'NODE_EXTRA_CA_CERTS',
  'OPENSSL_CONF',
  'OPENSSL_MODULES',
  'OPENSSL_ENGINES',
] as const;

const heldPrefix = 'HOLDFAST_HELD_';
const programNameVariable = 'HOLDFAST_PROGRAM';

const compileCacheVariable = 'NODE_COMPILE_CACHE';
/** Where `bin/holdfast` told our runtime to keep compiled code; `undefined` after any other start. */
let compileCache: string | undefined;

/** Gives the user's values back to `environment`. Runs before anything that could start a child. */
export function restoreHeldVariables(environment: NodeJS.ProcessEnv): void {
  compileCache = environment[compileCacheVariable];
  delete environment[compileCacheVariable];
  for (const name of heldVariables) {
    const held = environment[heldPrefix + name];
    if (held === undefined) {
      continue;
    }
    environment[name] = held;
    delete environment[heldPrefix + name];
  }
}

/** Our name as the user typed it, taken out of `environment`, where `bin/holdfast` left it. */
export function takeProgramName(environment: NodeJS.ProcessEnv): string {
  const name = environment[programNameVariable];
  delete environment[programNameVariable];
  return name === undefined || name === '' ? 'holdfast' : name;
}

/** How to start ourselves again, in another mode or in the background. */
export interface OwnCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: ReadonlyArray<readonly [name: string, value: string]>;
}

/** The running program with other words, on the same runtime, with the same variables held back from it. */
export function ownCommand(words: readonly string[], environment: NodeJS.ProcessEnv): OwnCommand {
  const held: ReadonlySet<string> = new Set(heldVariables);
  const env = Object.entries(environment).flatMap(([name, value]): [string, string][] =>
    value === undefined ? [] : [[held.has(name) ? heldPrefix + name : name, value]],
  );
  if (compileCache !== undefined) {
    env.push([compileCacheVariable, compileCache]);
  }
  return { file: process.execPath, args: [...process.execArgv, process.argv[1] ?? '', ...words], env };
}
