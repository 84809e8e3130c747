/** A listener of another user, which a client could take for its daemon. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { becoming } from './as-user.ts';
import { waitUntil } from './wait.ts';

const script = fileURLToPath(new URL('../fixtures/listen-for-secrets.ts', import.meta.url));

/** Disposing of it a second time does nothing. */
export interface ForeignListener extends AsyncDisposable {
  readonly socket: string;
  /** What clients have sent. */
  received(): string;
  /** Resolves when so many have come and gone. */
  untilClosed(count: number): Promise<unknown>;
}

/** Needs `otherUsers()` of as-user.ts. @param uid 0 for root's own. */
export async function listenAs(uid: number): Promise<ForeignListener> {
  const folder = mkdtempSync('/tmp/hf-');
  chownSync(folder, uid, uid);
  chmodSync(folder, 0o755);
  const socket = join(folder, 's');
  const [first = '', ...words] = [...becoming(uid), process.execPath, script, socket];
  const listener = spawn(first, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(listener, 'close');
  let told = '';
  listener.stdout.on('data', (chunk) => {
    told += String(chunk);
  });
  const lines = () => told.split('\n').slice(0, -1);
  const closed = () => lines().filter((line) => line === 'closed').length;
  await waitUntil(() => lines().includes('ready'), 'the listener of another user');
  return {
    socket,
    untilClosed: (count) => waitUntil(() => closed() >= count, `${count} client(s) of the listener to be gone`),
    received: () =>
      lines()
        .filter((line) => line.startsWith('got '))
        .map((line) => Buffer.from(line.slice(4), 'base64').toString('latin1'))
        .join(''),
    async [Symbol.asyncDispose]() {
      listener.kill('SIGKILL');
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
