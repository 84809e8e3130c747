/** One file of the runtime's executable and everything the program is made of. */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { entitlementsOf, signAdHoc } from './mac-signature.ts';
import type { Target } from './targets.ts';

/** What bin/holdfast gives to the runtime, and a configuration of OpenSSL that the environment cannot replace. */
export function runtimeOptions({ os }: Target): readonly string[] {
  return [
    '--max-semi-space-size=2',
    '--v8-pool-size=1',
    '--disable-sigusr1',
    '--disable-warning=ExperimentalWarning',
    '--disable-warning=DeprecationWarning',
    `--openssl-config=${os === 'win32' ? 'nul' : '/dev/null'}`,
  ];
}

export interface Parts {
  /** Executable of Node.js for the target. */
  readonly runtime: string;
  /** One of the same version that runs here, and the words before its own: it makes the form in which Node.js reads the parts. */
  readonly maker: readonly string[];
  readonly main: string;
  /** Files by the names under which the program asks for them. */
  readonly assets: Readonly<Record<string, string>>;
}

/** @param folder for files that are needed meanwhile */
export async function makeExecutable(target: Target, parts: Parts, folder: string, result: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const [main, runtime, blob, file] = ['main.js', 'runtime', 'parts', 'executable'].map((name) =>
    join(folder, name),
  ) as [string, string, string, string];
  writeFileSync(main, parts.main);
  const configuration = {
    // Node.js keeps this path inside, so it must not tell where the executable was made.
    main: basename(main),
    disableExperimentalSEAWarning: true,
    execArgv: runtimeOptions(target),
    // Not `env`, the default: NODE_OPTIONS could load code into us.
    execArgvExtension: 'none',
    assets: parts.assets,
  };
  const official = readFileSync(parts.runtime);
  if (target.os === 'darwin') {
    const entitlements = entitlementsOf(official);
    writeFileSync(runtime, withoutEarlyVariables(official), { mode: 0o755 });
    // postject leaves the list of pointers that dyld sets with one segment too few, and dyld refuses such a program.
    make(parts.maker, '--build-sea', { ...configuration, executable: runtime, output: file }, folder);
    writeFileSync(file, signAdHoc(readFileSync(file), 'holdfast', entitlements));
  } else {
    make(parts.maker, '--experimental-sea-config', { ...configuration, output: blob }, folder);
    writeFileSync(file, withoutEarlyVariables(official), { mode: 0o755 });
    await inject(file, readFileSync(blob));
  }
  rmSync(result, { force: true });
  renameSync(file, result);
}

/** Runs the maker in `folder` with a configuration that its documentation calls the one of a single executable application. */
function make([maker = '', ...words]: readonly string[], option: string, configuration: object, folder: string): void {
  const file = join(folder, 'parts.json');
  writeFileSync(file, JSON.stringify(configuration));
  // What it says goes to a file: Wine takes no pipe of ours.
  const said = join(folder, 'said');
  const output = openSync(said, 'w');
  const { status, error } = spawnSync(maker, [...words, option, file], {
    cwd: folder,
    stdio: ['ignore', output, output],
  });
  closeSync(output);
  if (status !== 0) {
    throw new Error(`${maker}: ${error?.message ?? readFileSync(said, 'utf8')}`);
  }
}

async function inject(file: string, blob: Buffer): Promise<void> {
  const postject = createRequire(import.meta.url)('postject') as {
    inject(file: string, resource: string, data: Buffer, options: object): Promise<void>;
  };
  await quietly(() =>
    postject.inject(file, 'NODE_SEA_BLOB', blob, { sentinelFuse: 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2' }),
  );
}

/**
 * Variables that the runtime obeys before it runs a line of ours: one makes it refuse to start, the other makes it print.
 * All other ones are seen to by src/modes/start-again.ts.
 */
const earlyVariables = ['NODE_REPL_EXTERNAL_MODULE', 'NODE_DEBUG_NATIVE'] as const;

/** The runtime with another first letter in the names of those variables, so that nobody sets them. */
function withoutEarlyVariables(runtime: Buffer): Buffer {
  for (const name of earlyVariables) {
    const text = Buffer.from(`\0${name}\0`);
    let at = runtime.indexOf(text);
    if (at < 0) {
      throw new Error(`the runtime has no variable ${name} any more: take it out of this list`);
    }
    for (; at >= 0; at = runtime.indexOf(text, at)) {
      runtime.write('H', at + 1, 'latin1');
    }
  }
  return runtime;
}

/** The library complains of sections without a name, which the executables of Node.js have; its errors are thrown. */
async function quietly(work: () => Promise<void>): Promise<void> {
  const { log, error, warn } = console;
  Object.assign(console, { log() {}, error() {}, warn() {} });
  try {
    await work();
  } finally {
    Object.assign(console, { log, error, warn });
  }
}
