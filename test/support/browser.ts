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
      // A group of their own: the program is a script, and the browser has helpers.
      detached: true,
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
    await waitUntil(() => !this.#end(), 'the browser and its helpers to end');
    await removeFolder(this.#profile);
  }

  /** @returns whether one of them is left */
  #end(): boolean {
    const { pid } = this.#process;
    try {
      return pid !== undefined && process.kill(-pid, 'SIGKILL');
    } catch {
      return false;
    }
  }
}
