/** `--exec`: a command of the user's for each request, with the request on its standard input. */
import { printable } from '../../base/printable.ts';
import { runCommand } from '../../base/run-command.ts';
import { complainOf, harmlessJson } from '../answer.ts';
import type { VerbContext } from '../verbs.ts';

const mostOutputBytes = 1024 * 1024;

export class CommandForEach {
  readonly #words: readonly string[] | undefined;
  readonly #context: VerbContext;
  #last: Promise<void> = Promise.resolve();

  /** @param words program and arguments; `undefined`: nothing is run */
  constructor(words: readonly string[] | undefined, context: VerbContext) {
    this.#words = words;
    this.#context = context;
  }

  /** Runs it once, after those that were added before. */
  add(row: object): void {
    const words = this.#words;
    if (words !== undefined) {
      this.#last = this.#last.then(() => this.#run(words, `${harmlessJson(row)}\n`));
    }
  }

  ended(): Promise<void> {
    return this.#last;
  }

  /** What it prints goes to stderr: stdout is ours. */
  async #run([command = '', ...args]: readonly string[], input: string): Promise<void> {
    const { environment, platform } = this.#context;
    const { failure, combined } = await runCommand((await platform()).processes, {
      command,
      args,
      cwd: undefined,
      env: Object.entries(environment).flatMap(([name, value]) =>
        value === undefined ? [] : [[name, value] as const],
      ),
      input: Buffer.from(input),
      maxOutputBytes: mostOutputBytes,
    });
    for (const line of combined
      .toString()
      .split('\n')
      .filter((each) => each !== '')) {
      this.#context.complain(`${printable(line)}\n`);
    }
    if (failure !== undefined) {
      complainOf(this.#context, 'attention', `--exec ${command}: ${failure}`);
    }
  }
}
