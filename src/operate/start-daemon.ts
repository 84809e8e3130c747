/** Starts the daemon in the background with a token that the next client finds in `daemon.token`. */
import type { Platform } from '../../platform/platform.ts';
import { messageOf } from '../base/error-texts.ts';
import { type OwnCommand, ownCommand, ownVariables } from '../base/own-process.ts';

/** For the daemon alone, which removes it as it reads it. */
const tokenFileForStart = 'service.token';
/** A start that hangs has told so long before (spec modes.md §6). */
const startMs = 120_000;
/** A daemon that could open no log keeps our pipe; what it had to say has come by then. */
const outputGraceMs = 1_000;
const mostOfStderr = 65_536;

/**
 * Whoever serves the socket by now gives way (spec modes.md §7).
 * @param folder of the socket; made when it is not there
 * @param flags of `-serve`, without one for the token
 * @returns what went wrong, as `-serve` has told it; `undefined` when the daemon accepts connections
 */
export async function startDaemonWithToken(
  platform: Platform,
  folder: string,
  token: string,
  flags: readonly string[],
): Promise<string | undefined> {
  platform.runDirectories.create(folder);
  const directory = platform.runDirectories.open(folder);
  try {
    const secret = Buffer.from(token);
    const file = await directory.exclusively(() => directory.publish(tokenFileForStart, secret));
    try {
      return await launch(
        ownCommand(['-serve', '-token-file', file.path, ...flags], ownVariables(platform.startedWith)),
      );
    } finally {
      // One that could not start has not removed it.
      file.remove();
    }
  } finally {
    directory.close();
  }
}

/**
 * Runs the launcher as no child of ours in the sense of `Processes`: on Windows those live in a job that ends with us, and the
 * daemon would be in it. `detached` keeps it out of Node's own job of that kind.
 */
function launch({ file, args, env }: OwnCommand): Promise<string | undefined> {
  const { spawn } = process.getBuiltinModule('node:child_process');
  const child = spawn(file, args, {
    ...{ stdio: ['ignore', 'ignore', 'pipe'], env: Object.fromEntries(env) },
    ...{ detached: true, windowsHide: true, timeout: startMs, killSignal: 'SIGKILL' },
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(0, mostOfStderr);
  });
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(messageOf(error)));
    child.once('exit', (code, signal) => {
      const told = (): void => {
        child.stderr.destroy();
        const how = signal === null ? `exit status ${code}` : `ended by ${signal}`;
        resolve(code === 0 ? undefined : stderr.trim() || how);
      };
      const grace = setTimeout(told, outputGraceMs);
      child.once('close', () => {
        clearTimeout(grace);
        told();
      });
    });
  });
}
