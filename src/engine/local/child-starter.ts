/**
 * The way from a request to a running child: what its environment waits for, what is tested before anything else is ended
 * for it, and the call that starts it, alone or through the managed launcher (managed-start.ts).
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { SystemCallError } from '../../../platform/errors.ts';
import type { SessionPlatform } from '../../../platform/platform.ts';
import type { Child } from '../../../platform/processes.ts';
import type { Variable } from '../../../platform/started-with.ts';
import { atOnce } from '../../../platform/steps.ts';
import type { Log } from '../../base/log.ts';
import { ownVariables } from '../../base/own-process.ts';
import { marked } from '../../base/session-mark.ts';
import { inTurns } from '../../base/take-turns.ts';
import type { Profile } from '../../wire/profile.ts';
import type { MaybePromise, SpawnRequest } from '../session-engine.ts';
import { agentVariable, ChildEnvironments } from './environment.ts';
import { checkLauncherStart, launcherNotStarted, wordsThroughLauncher } from './managed-start.ts';
import type { ChildEvents } from './session.ts';
import type { ShellAgent } from './shell-agent.ts';
import type { ShellPath } from './shell-path.ts';

export interface ChildStarterOptions {
  readonly platform: SessionPlatform;
  readonly profile: Pick<Profile, 'process' | 'platform'>;
  readonly log: Pick<Log, 'warn'>;
  readonly shellPath: ShellPath;
  /** `undefined`: the profile has no SSH agent hand-off. */
  readonly shellAgent: Pick<ShellAgent, 'socket'> | undefined;
  /** Children are to live on when the daemon ends (CT-2). */
  readonly keepChildren: boolean;
  /** What a session that was ended has left outside its group is ended too. */
  readonly reapTree?: boolean | undefined;
  /** The run directory children are marked for; `undefined`: they are not (profile row `platform.childMarkers`). */
  readonly markedFor: string | undefined;
  /** First part of the mark that children carry (session-mark.ts); `undefined`: they carry none. */
  readonly sessionMarks?: string | undefined;
  /** What children inherit, asked at each spawn; `undefined`: the environment this process was started with. */
  readonly environments?: () => ChildEnvironments;
}

function ownEnvironments({ platform, profile }: ChildStarterOptions): () => ChildEnvironments {
  const environments = new ChildEnvironments(ownVariables(platform.startedWith), profile.process, platform.host);
  return () => environments;
}

/** Words and variables from which on a start is made in several turns of the event loop; the adapter does the same. */
const fewWords = 2000;

function isLong({ args, env }: SpawnRequest): boolean {
  return args.length + (env?.length ?? 0) > fewWords;
}

export class ChildStarter {
  /** Some change with the daemon in front of a keeper. */
  readonly #options: ChildStarterOptions;
  readonly #environments: () => ChildEnvironments;
  #isClosed = false;

  constructor(options: ChildStarterOptions) {
    this.#options = options;
    this.#environments = options.environments ?? ownEnvironments(options);
  }

  /** From now on every start fails. */
  close(): void {
    this.#isClosed = true;
  }

  /** Nothing has to be waited for: the login shell has spoken, and the words are few. */
  canStartAtOnce(request: SpawnRequest): boolean {
    return this.#options.shellPath.known && !this.#wantsShellAgent(request) && !isLong(request);
  }

  /** Waits for what the login shell has to say. @returns the SSH agent's socket, if the child is to get one */
  async prepare(request: SpawnRequest): Promise<string | undefined> {
    await this.#options.shellPath.wait();
    if (isLong(request)) {
      // Reading its words has taken long enough; others come first. The first of the two is still before anybody is read from.
      await nextTurn();
      await nextTurn();
    }
    return this.#wantsShellAgent(request) ? this.#options.shellAgent?.socket() : undefined;
  }

  /** An empty value counts as one that is there. */
  #wantsShellAgent({ env, withoutShellAgent }: SpawnRequest): boolean {
    if (this.#options.shellAgent === undefined || withoutShellAgent) {
      return false;
    }
    return process.env[agentVariable] === undefined && env?.some(([name]) => name === agentVariable) !== true;
  }

  /** @throws SystemCallError for a bad folder or a missing command */
  checkIsThere(request: SpawnRequest): void {
    const { command } = request;
    this.#check(request, ({ processes }) =>
      processes.check({ command, cwd: this.#workingDirectory(request) }, 'isThere'),
    );
  }

  /** @throws LauncherFailure, SystemCallError */
  checkLauncher(request: SpawnRequest): void {
    const { command, launcher } = request;
    if (launcher !== undefined) {
      this.#check(request, (platform) =>
        checkLauncherStart({ launcher, command, cwd: this.#workingDirectory(request) }, platform),
      );
    }
  }

  #check(request: SpawnRequest, test: (platform: SessionPlatform) => void): void {
    try {
      test(this.#options.platform);
    } catch (error) {
      this.#tellNotStarted(request, error);
      throw error;
    }
  }

  /**
   * @param events what the child tells its session
   * @param agentSocket what `prepare` has found
   * @throws LauncherFailure, SystemCallError; also through the promise, which there is when it starts on another thread
   */
  start(request: SpawnRequest, events: ChildEvents, agentSocket: string | undefined): MaybePromise<Child> {
    const launcher = request.launcher?.[0];
    const failed = (error: unknown): never => {
      const failure = launcher === undefined ? error : launcherNotStarted(launcher, error);
      this.#tellNotStarted(request, failure);
      throw failure;
    };
    try {
      const child = this.#startChild(request, events, agentSocket);
      return child instanceof Promise ? child.catch(failed) : child;
    } catch (error) {
      return failed(error);
    }
  }

  #startChild(request: SpawnRequest, events: ChildEvents, agentSocket: string | undefined): MaybePromise<Child> {
    const { launcher, env: wanted } = request;
    const environment = this.#environments().of({
      loginShellPath: this.#options.shellPath.value,
      agentSocket,
      wanted,
      throughLauncher: launcher !== undefined,
    });
    return isLong(request)
      ? inTurns(environment).then((variables) => this.#startWith(variables, request, events))
      : this.#startWith(atOnce(environment), request, events);
  }

  #startWith(variables: readonly Variable[], request: SpawnRequest, events: ChildEvents): MaybePromise<Child> {
    const { platform, profile, markedFor, keepChildren, reapTree, sessionMarks } = this.#options;
    if (this.#isClosed) {
      throw new SystemCallError('the daemon is shutting down', 'ESHUTDOWN');
    }
    const { command, args, launcher } = request;
    const words = launcher === undefined ? request : wordsThroughLauncher(launcher, command, args);
    return platform.processes.spawnAmongMany({
      ...events,
      command: words.command,
      args: words.args,
      handedProgram: launcher === undefined ? undefined : command,
      cwd: this.#workingDirectory(request),
      ...marked(variables, sessionMarks, request.id),
      gentleScope: profile.platform.windowsSignalScope,
      outlivesUs: keepChildren,
      keepsReach: reapTree === true,
      markedFor,
    });
  }

  #workingDirectory({ cwd }: SpawnRequest): string | undefined {
    return cwd === undefined || cwd === '' ? undefined : this.#options.platform.paths.expandTilde(cwd);
  }

  #tellNotStarted({ id }: SpawnRequest, error: unknown): void {
    this.#options.log.warn('process.Manager', `Failed to start process ${id}: ${(error as Error).message}`);
  }
}
