/** A real browser without a window, for what a web page can do to a port of this machine. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { installed, type Need, probe } from './needs.ts';
import { removeFolder } from './remove-folder.ts';
import { waitUntil } from './wait.ts';

const program = 'chromium-headless-shell';
/** Everything is loopback, and root has no sandbox. */
const words = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run'];

export function browser(): Need {
  return (
    installed(program, program) ??
    probe('a browser', [program, ...words, '--dump-dom', 'data:text/html,<title>it runs</title>'])
  );
}

/** A page that stays open until the end of its scope. */
export class OpenPage implements AsyncDisposable {
  readonly #profile = mkdtempSync('/tmp/hfb-');
  readonly #process: ChildProcess;
  #said = '';

  /** @param hosts names that all lead to 127.0.0.1 */
  constructor(url: string, hosts: readonly string[]) {
    const rules = hosts.map((host) => `MAP ${host} 127.0.0.1`).join(',');
    const args = [...words, `--user-data-dir=${join(this.#profile, 'p')}`, `--host-resolver-rules=${rules}`];
    // The pipe keeps the page open; nobody speaks over it.
    this.#process = spawn(program, [...args, '--remote-debugging-pipe', url], {
      stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'],
    });
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#said = `${this.#said}${text}`.slice(-4000);
    });
  }

  /** What it complained of, for the message of a test that fails. */
  get said(): string {
    return this.#said;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { exitCode, signalCode } = this.#process;
    if (exitCode === null && signalCode === null) {
      this.#process.kill('SIGTERM');
      const hasEnded = () => this.#process.exitCode !== null || this.#process.signalCode !== null;
      await waitUntil(hasEnded, 'the browser to end');
    }
    await removeFolder(this.#profile);
  }
}
