/** Starts the daemon in the background with a token that the next client finds in `daemon.token`. */
import type { Platform } from '../../platform/platform.ts';
import { ownCommand, ownVariables } from '../base/own-process.ts';
import { runCommand } from '../base/run-command.ts';

/** For the daemon alone, which removes it as it reads it. */
const tokenFileForStart = 'service.token';
/** A start that hangs has told so long before (spec modes.md §6). */
const startMs = 120_000;
/** A daemon that could open no log keeps our pipe; what it had to say has come by then. */
const outputGraceMs = 1_000;
const maxOutputBytes = 65_536;

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
      const {
        file: command,
        args,
        env,
      } = ownCommand(['-serve', '-token-file', file.path, ...flags], ownVariables(platform.startedWith));
      const { failure, stderr } = await runCommand(platform.processes, {
        ...{ command, args, env, cwd: undefined },
        ...{ timeoutMs: startMs, outputGraceMs, outputHolders: 'leave', maxOutputBytes },
      });
      return failure === undefined ? undefined : stderr.toString('utf8').trim() || failure;
    } finally {
      // One that could not start has not removed it.
      file.remove();
    }
  } finally {
    directory.close();
  }
}
