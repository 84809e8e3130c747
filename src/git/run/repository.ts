/** A repository as one request sees it: where git works, and what its calls pin. */
import type { CommandResult } from '../../base/run-command.ts';
import { CallPins } from './call-pins.ts';
import { CannotPin } from './configuration-pins.ts';
import { GitFailure } from './failures.ts';
import type { GitCall, GitProgram } from './git-program.ts';

export interface CallOptions extends Omit<GitCall, 'args' | 'directory' | 'pins' | 'commonDirectory'> {
  /** Elsewhere than in the repository's directory. */
  readonly directory?: string;
  /** Works on this git directory (`--git-dir`) instead of the one git finds. */
  readonly gitDirectory?: string;
  readonly commonDirectory?: string;
  /** Whether the call may start hooks, filters or other programs that a configuration names. */
  readonly mayRunPrograms?: boolean;
}

export class Repository {
  readonly program: GitProgram;
  /** As the client sent it, after tilde; `''`: the daemon's own working directory. */
  readonly directory: string;
  readonly pins: CallPins;
  /** Where refs and configuration are, once the trust check has found it (spec git.md §9). */
  readonly #commonDirectory: string | undefined;

  constructor(program: GitProgram, directory: string, commonDirectory?: string) {
    this.program = program;
    this.directory = directory;
    this.#commonDirectory = commonDirectory;
    this.pins = new CallPins(program, { directory, commonDirectory });
  }

  /** Runs git here. Never rejects: when git cannot be run, the result's `failure` says why. */
  async run(args: readonly string[], options: CallOptions = {}): Promise<CommandResult> {
    const { gitDirectory, mayRunPrograms = false, ...rest } = options;
    const place = {
      ...rest,
      directory: options.directory ?? this.directory,
      commonDirectory: options.commonDirectory ?? this.#commonDirectory,
    };
    try {
      const pins = await this.pins.of({ ...place, gitDirectory }, mayRunPrograms);
      const leading = gitDirectory === undefined ? [] : [`--git-dir=${gitDirectory}`];
      return await this.program.run({ ...place, options: [...leading, ...(options.options ?? [])], args, pins });
    } catch (error) {
      if (error instanceof CannotPin || error instanceof GitFailure) {
        return notRun(error.message);
      }
      throw error;
    }
  }

  /** Whether the call succeeds. */
  async test(args: readonly string[], options: CallOptions = {}): Promise<boolean> {
    return (await this.run(args, options)).failure === undefined;
  }
}

function notRun(failure: string): CommandResult {
  const nothing = Buffer.alloc(0);
  return {
    exit: undefined,
    failure,
    startFailure: undefined,
    stdout: nothing,
    stderr: nothing,
    combined: nothing,
    timedOut: false,
    overflowed: false,
  };
}
