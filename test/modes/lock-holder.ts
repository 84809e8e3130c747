/** A process that holds a run directory's lock with a record of the test's choice (test/fixtures/hold-lock.ts). */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readlinkSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestDaemon } from '../support/daemon.ts';
import { type ProcessFacts, processFacts } from '../support/processes.ts';

/** Boot and pid namespace as a record names them. */
export const node = `${readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()}/${readlinkSync('/proc/self/ns/pid')}`;
export const holderScript = fileURLToPath(new URL('../fixtures/hold-lock.ts', import.meta.url));

export interface LockHolder {
  readonly process: ProcessFacts;
  /** Names of the signals it got. */
  signals(): string[];
}

export interface HolderOptions {
  /** How its command line looks after the runtime; default: the fixture alone. */
  readonly words?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Default: the daemon's own. */
  readonly runDir?: string;
}

/** @param record text; `$PID` and `$THREAD` stand for the holder's own */
export async function holdLock(daemon: TestDaemon, record: string, options: HolderOptions = {}): Promise<LockHolder> {
  const { words = [holderScript], runDir = daemon.runDir } = options;
  mkdirSync(runDir, { recursive: true, mode: 0o700 });
  const signals = join(daemon.dir, 'signals');
  const { pid } = await untilSays('held', process.execPath, words, {
    ...daemon.env,
    HOLD_LOCK: join(runDir, 'daemon.lock'),
    HOLD_RECORD: record,
    HOLD_SIGNALS: signals,
    ...options.env,
  });
  return {
    process: processFacts(pid as number) as ProcessFacts,
    signals: () => (existsSync(signals) ? readFileSync(signals, 'utf8').trim().split('\n') : []),
  };
}

/** Starts a program and resolves when its output holds `text`. It ends with the daemon's test. */
export async function untilSays(
  text: string,
  file: string,
  words: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<Pick<ChildProcess, 'pid'> & { readonly said: string }> {
  const { pid, stdout } = spawn(file, words, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  for await (const chunk of stdout) {
    said += String(chunk);
    if (said.includes(text)) {
      break;
    }
  }
  return { pid, said };
}

/** The fixture under the name of our script: a command line that begins with it is that of a daemon. */
export function ownScript(daemon: TestDaemon, name = 'main.ts'): string {
  const script = join(daemon.dir, name);
  symlinkSync(holderScript, script);
  return script;
}
