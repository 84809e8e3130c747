/** `--exec`: a command of the user's for each request, with the request on its standard input. */
import { spawn } from 'node:child_process';
import { messageOf } from '../../base/error-texts.ts';
import { complainOf, harmlessJson } from '../answer.ts';
import type { VerbContext } from '../verbs.ts';

export class CommandForEach {
  readonly #command: string | undefined;
  readonly #context: VerbContext;
  #last: Promise<void> = Promise.resolve();

  /** @param command for the shell of the system; `undefined`: nothing is run */
  constructor(command: string | undefined, context: VerbContext) {
    this.#command = command;
    this.#context = context;
  }

  /** Runs it once, after those that were added before. */
  add(row: object): void {
    const command = this.#command;
    if (command !== undefined) {
      this.#last = this.#last.then(() => this.#run(command, `${harmlessJson(row)}\n`));
    }
  }

  ended(): Promise<void> {
    return this.#last;
  }

  #run(command: string, input: string): Promise<void> {
    return new Promise((resolve) => {
      const child = spawn(command, {
        shell: true,
        stdio: ['pipe', 'inherit', 'inherit'],
        env: this.#context.environment,
        windowsHide: true,
      });
      // A command that does not read its input is fine.
      child.stdin.on('error', () => {});
      child.stdin.end(input);
      child.once('error', (error) => {
        complainOf(this.#context, 'attention', `--exec cannot be run: ${messageOf(error)}`);
        resolve();
      });
      child.once('close', (code, signal) => {
        if (code !== 0) {
          complainOf(this.#context, 'attention', `--exec ended with ${signal ?? `exit code ${code}`}`);
        }
        resolve();
      });
    });
  }
}
