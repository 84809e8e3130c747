/** Running the program as a user does: the executable, its environment, its output. */
import { spawn } from 'node:child_process';
import { accessSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Of the project. */
export const root = fileURLToPath(new URL('../..', import.meta.url));

/** What starts the program from source. */
export const startScript = join(root, 'bin/holdfast');

/** Where the program of the tests lies: the bundle that a run of vitest has made (test/support/global-setup.ts), or the source. */
export const installation = process.env.HOLDFAST_TEST_BUNDLE ?? root;

/** `bin/holdfast`, or another build of it named by `HOLDFAST_TEST_PROGRAM` (the single executable, an older release). */
export const program = process.env.HOLDFAST_TEST_PROGRAM ?? join(installation, 'bin/holdfast');

/** Variables for a Node.js that is started often: it keeps compiled code, which makes its start half as dear. */
export const keepsCompiledCode = {
  NODE_COMPILE_CACHE: join(root, 'node_modules/.cache/holdfast-for-tests'),
} as const;

/** The words that the first line of the start script stands for, with another shell in the place of `/bin/sh`. */
export function startLineWith(shell: string): string[] {
  const script = readFileSync(startScript, 'utf8');
  const [, file = '', option = '', rest = ''] = /^#!(\S+) (-S) (.+) \/bin\/sh\n/.exec(script) ?? [];
  return [file, option, `${rest} ${shell}`];
}

/** The program with other timers and with failpoints; see test/fixtures/main-for-tests.ts. */
export const programForTests = join(installation, 'test/fixtures/holdfast-for-tests.sh');

/** Name of the script that `programForTests` starts. */
export const scriptForTests = installation === root ? 'main-for-tests.ts' : 'main-for-tests.js';

/**
 * What to start for a script that tests start hundreds of times: it is in the bundle, whose start takes a third.
 * @param file a path from the root of the project that test/support/bundled-program.ts lists
 */
export function bundledScript(file: string): string {
  const found =
    installation === root ? join(root, file) : join(installation, 'test/scripts', `${basename(file, '.ts')}.js`);
  accessSync(found);
  return found;
}

export interface RunResult {
  /** `null` when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** `undefined` removes a variable. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Our environment without what would steer the program, git or a shell, and with a home folder of its own. */
export function cleanEnvironment(home: string, changes: Environment = {}): NodeJS.ProcessEnv {
  const steering = /^(CLAUDE_|CLAUSTRUM_|HOLDFAST_|GIT_|XDG_|VITEST|NODE_)/;
  const kept = Object.entries(process.env).filter(([name]) => !steering.test(name));
  const environment: NodeJS.ProcessEnv = Object.fromEntries(kept);
  Object.assign(environment, {
    HOME: home,
    LC_ALL: 'C',
    SHELL: '/bin/sh',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_CONFIG_NOSYSTEM: '1',
  });
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined) {
      delete environment[name];
    } else {
      environment[name] = value;
    }
  }
  return environment;
}

/** Runs one mode or verb to its end. Not for `-serve`, whose daemon would keep our pipes open: see `startDaemon`. */
export function runHoldfast(
  args: readonly string[],
  options: {
    readonly env: NodeJS.ProcessEnv;
    readonly input?: string | Buffer;
    readonly cwd?: string;
    readonly program?: string;
  },
): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(options.program ?? program, args, { env: options.env, cwd: options.cwd });
    const output = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
    child.stdout.on('data', (bytes: Buffer) => output.stdout.push(bytes));
    child.stderr.on('data', (bytes: Buffer) => output.stderr.push(bytes));
    child.on('error', reject);
    child.on('close', (code, signal) => {
      const text = (name: 'stdout' | 'stderr') => Buffer.concat(output[name]).toString();
      resolve({ code, signal, stdout: text('stdout'), stderr: text('stderr') });
    });
    // A program that ends without reading its input is no failure of the test.
    child.stdin.on('error', () => {});
    child.stdin.end(options.input ?? '');
  });
}
