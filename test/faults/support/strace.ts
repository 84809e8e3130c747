/** Makes the n-th system call of a running process fail, without a special build of it (strace's fault injection). */
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { waitUntil } from '../../support/wait.ts';

export class Injection implements AsyncDisposable {
  readonly #strace: ChildProcess;
  readonly #output: string;
  readonly #ended: Promise<unknown>;

  private constructor(strace: ChildProcess, output: string) {
    this.#strace = strace;
    this.#output = output;
    this.#ended = new Promise((resolve) => strace.on('exit', resolve));
  }

  /**
   * From now on each thread's n-th call fails, once; every one with `'1+'`. Children are left alone.
   * @param output file of the test for what strace says
   */
  static async start(pid: number, call: string, error: string, nth: number | '1+', output: string): Promise<Injection> {
    // Not -f, which would follow into the children.
    const threads = readdirSync(`/proc/${pid}/task`).flatMap((thread) => ['-p', thread]);
    const strace = spawn(
      'strace',
      [...threads, '-o', output, '-e', `trace=${call}`, '-e', `inject=${call}:error=${error}:when=${nth}`],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    let told = '';
    strace.stderr.on('data', (text) => {
      told += text;
    });
    await waitUntil(() => {
      if (strace.exitCode !== null) {
        throw new Error(`strace: ${told}`);
      }
      return told.split('attached').length > threads.length / 2;
    }, 'strace to attach');
    return new Injection(strace, output);
  }

  /** Whether the call has failed by now. */
  get hasStruck(): boolean {
    return readFileSync(this.#output, 'latin1').includes('(INJECTED)');
  }

  /** Lets the process go on untraced. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#strace.kill('SIGINT');
    await this.#ended;
  }
}
