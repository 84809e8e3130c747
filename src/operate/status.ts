/** `holdfast status`: one line about the daemon (spec operators.md). */
import { printable } from '../base/printable.ts';
import { connect, type DaemonDescription, HoldfastError, type Host } from '../client/index.ts';
import { defaultSocketPath } from '../run-directory/names.ts';
import { type DaemonWords, targetOptions } from './daemon-options.ts';
import type { VerbContext } from './verbs.ts';

const exitFailed = 1;
const exitNone = 3;

interface StatusWords extends DaemonWords {
  readonly json?: boolean;
}

export async function status(_: readonly string[], words: StatusWords, context: VerbContext): Promise<number> {
  const { user } = await context.clientPlatform();
  const address = words.socket ?? (words.host === undefined ? defaultSocketPath(user.home() ?? '') : 'rpc.sock');
  const shown = words.host === undefined ? address : `${words.host}:${address}`;
  let host: Host | undefined;
  try {
    host = await connect({ ...targetOptions(words, context, undefined), retry: { giveUpMs: 0 } });
    if (!host.daemon.hasExtensions) {
      const row = { socket: shown, version: host.daemon.version };
      context.print(
        words.json === true ? `${JSON.stringify([row])}\n` : `${printable(shown)}  version ${printable(row.version)}\n`,
      );
      return 0;
    }
    // The list waits for a keeper that is still starting, which the description does not.
    const sessions = await host.sessions().catch(unlessRefused);
    const description = await host.describe();
    if (sessions instanceof HoldfastError) {
      const row = { socket: shown, ...description };
      const line = `${lineOf(shown, description)}  sessions unknown: ${printable(sessions.message)}`;
      context.print(words.json === true ? `${JSON.stringify([row])}\n` : `${line}\n`);
      return exitFailed;
    }
    const running = sessions.filter(({ state }) => state !== 'exited').length;
    const row = { socket: shown, ...description, running, ended: sessions.length - running };
    const line = `${lineOf(shown, description)}  ${row.running} running, ${row.ended} ended  ${keptBy(description)}`;
    context.print(words.json === true ? `${JSON.stringify([row])}\n` : `${line}\n`);
    return 0;
  } catch (error) {
    if (!(error instanceof HoldfastError)) {
      throw error;
    }
    if (error.kind === 'refused') {
      context.print(words.json === true ? '[]\n' : '');
      context.complain(`holdfast status: ${printable(error.message)}\n`);
      return exitNone;
    }
    context.complain(`holdfast status: ${printable(error.message)}\n`);
    return exitFailed;
  } finally {
    await host?.close();
  }
}

/** A daemon whose keeper cannot be reached answers, but cannot list its sessions. */
function unlessRefused(error: unknown): HoldfastError {
  if (error instanceof HoldfastError && error.kind === 'rpc') {
    return error;
  }
  throw error;
}

function lineOf(shown: string, { pid, version, profile }: DaemonDescription): string {
  return `${printable(shown)}  pid ${pid}  version ${printable(version)}  profile ${printable(profile)}`;
}

function keptBy({ durable, keeper }: DaemonDescription): string {
  if (keeper === undefined) {
    return durable ? 'durable, the keeper has just gone' : 'not durable';
  }
  return `keeper ${keeper.pid}`;
}
