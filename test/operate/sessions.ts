/** Sessions for the tests of the verbs, and the verbs as a user runs them. */
import type { Host, Session } from '../../src/client/index.ts';
import { type DaemonOptions, startDaemon, type TestDaemon } from '../support/daemon.ts';
import type { RunResult } from '../support/holdfast.ts';
import { connectTo } from '../support/host.ts';
import { type ProcessFacts, processFacts } from '../support/processes.ts';
import { expectSchema } from '../support/schemas.ts';
import { waitUntil } from '../support/wait.ts';

/** A verb about this daemon alone: other tests run beside. */
export function verb(daemon: TestDaemon, name: string, ...words: readonly string[]): Promise<RunResult> {
  return daemon.run([name, '--socket', daemon.socket, ...words]);
}

/** The same in JSON, which must be as its schema says. */
// biome-ignore lint/suspicious/noExplicitAny: a test states the shape it expects right where it looks at it.
export async function verbJson(daemon: TestDaemon, name: string, ...words: readonly string[]): Promise<any> {
  const { stdout, stderr } = await verb(daemon, name, '--json', ...words);
  if (stdout === '') {
    throw new Error(`holdfast ${name} printed nothing: ${stderr}`);
  }
  return expectSchema(name, stdout);
}

export interface Held extends AsyncDisposable {
  readonly daemon: TestDaemon;
  readonly host: Host;
}

/** A daemon with a client that starts sessions on it. */
export async function startHeld(options: DaemonOptions = {}): Promise<Held> {
  const daemon = await startDaemon(options);
  const host = await connectTo(daemon, { retry: { giveUpMs: 0 } });
  return {
    daemon,
    host,
    async [Symbol.asyncDispose]() {
      await host.close();
      await daemon[Symbol.asyncDispose]();
    },
  };
}

/** Starts a shell and waits for its first line, a pid for instance. */
export async function spawnShell(
  host: Host,
  id: string,
  script: string,
): Promise<{ readonly session: Session; readonly firstLine: string }> {
  const session = await host.spawn({ id, command: 'sh', args: ['-c', script] });
  let text = '';
  for await (const event of session.events) {
    if (event.type === 'stdout') {
      text += Buffer.from(event.data).toString();
    }
    if (text.includes('\n') || event.type === 'exit') {
      break;
    }
  }
  return { session, firstLine: text.split('\n')[0] ?? '' };
}

/** A session that leaves a process in a session of its own. @returns the one that is left */
export async function spawnLeaver(host: Host, id: string, left = 'exec sleep 3600'): Promise<ProcessFacts> {
  const script = `setsid sh -c 'echo $$; exec >/dev/null 2>&1 </dev/null; ${left}' & sleep 3600`;
  const { firstLine } = await spawnShell(host, id, script);
  const found = processFacts(Number(firstLine));
  if (found === undefined) {
    throw new Error(`${id} left nothing: ${firstLine}`);
  }
  return found;
}

/** Resolves when the daemon tells that the session has ended. */
export async function untilEndedSession(host: Host, id: string): Promise<void> {
  await waitUntil(
    async () => (await host.sessions()).some((each) => each.id === id && each.state === 'exited'),
    `session ${id} to end`,
  );
}
