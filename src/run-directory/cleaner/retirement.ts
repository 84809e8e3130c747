/**
 * The end of a daemon that still listens in an unused run directory (spec platform.md §2 "Host cleaner" (b)). It is found
 * among the processes by its words, and must be the one its socket leads to: a stranded daemon is never signalled.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { HeldRunDirectory } from '../../../platform/host-cleaning.ts';
import type { ProcessIdentity } from '../../../platform/processes.ts';
import { failpointAsync } from '../../base/failpoints.ts';
import { socketName } from '../names.ts';
import { readDaemonWords } from '../run-lock.ts';
import { inTurns, type PassOptions, tellCap } from './pass-options.ts';
import { isDeployed, resolved } from './place.ts';

/** Daemons asked to end in one pass. */
const mostDaemons = 8;

type Retired = 'nobody' | 'retired' | { readonly because: string };

/** A process whose words say that it is a daemon of ours. */
interface Daemon {
  readonly pid: number;
  readonly program: string;
  readonly runDirectory: string;
}

export class Retirement {
  readonly #pids: readonly number[];
  readonly #options: PassOptions;
  #daemons: readonly Daemon[] | undefined;
  #count = 0;
  #toldCap = false;

  /** @param pids of all processes of the host */
  constructor(pids: readonly number[], options: PassOptions) {
    this.#pids = pids;
    this.#options = options;
  }

  /** Daemons that were asked to end. */
  get count(): number {
    return this.#count;
  }

  /** @returns `nobody` when there is no daemon, `retired` when there is none any more, else why the directory stays */
  async retire(held: HeldRunDirectory, path: string): Promise<Retired> {
    this.#daemons ??= await this.#findDaemons();
    const [daemon, ...others] = this.#daemons.filter(({ runDirectory }) => held.is(runDirectory));
    if (daemon !== undefined) {
      if (others.length === 0) {
        return this.#end(daemon, held, path);
      }
      return because(`pids ${[daemon, ...others].map(({ pid }) => pid).join(' and ')} are all daemons for it`);
    }
    const answer = await held.ask(socketName, this.#options.timings.hostCleanAnswerMs);
    if (answer.state === 'nobody') {
      return 'nobody';
    }
    if (answer.state === 'unclear') {
      return because(`its socket cannot be tried: ${answer.reason}`);
    }
    return because(`pid ${answer.pid ?? 'unknown'} listens in it, which is not our binary`);
  }

  async #findDaemons(): Promise<Daemon[]> {
    const own = this.#options.processes.self().pid;
    const found: Daemon[] = [];
    for await (const pid of inTurns(this.#pids)) {
      const daemon = pid === own ? undefined : this.#read(pid);
      if (daemon !== undefined) {
        found.push(daemon);
      }
    }
    return found;
  }

  /** A path that is not absolute cannot be followed from here. */
  #read(pid: number): Daemon | undefined {
    const { processes, paths } = this.#options;
    const words = readDaemonWords(processes.commandLine(pid) ?? []);
    if (words?.socket === undefined || !paths.isAbsolute(words.socket)) {
      return undefined;
    }
    return { pid, program: words.program, runDirectory: paths.directoryOf(words.socket) };
  }

  async #end(daemon: Daemon, held: HeldRunDirectory, path: string): Promise<Retired> {
    const { processes, log, counters, timings, signal } = this.#options;
    const { pid } = daemon;
    const identity = processes.identify(pid);
    if (identity === undefined) {
      return because(`its daemon, pid ${pid}, is just ending`);
    }
    const refusal = this.#refusal(daemon) ?? (await this.#work(pid));
    if (refusal !== undefined) {
      return because(refusal);
    }
    if (this.#count === mostDaemons) {
      return this.#overCap();
    }

    const answer = await held.ask(socketName, timings.hostCleanAnswerMs);
    if (answer.state !== 'listener' || answer.pid !== pid) {
      return because(`pid ${pid} is a daemon for it to which its socket does not lead`);
    }
    await failpointAsync('hostclean.retire.before');
    // Our own question was a connection too, and it is counted until the daemon has noticed that it is closed.
    const client = await this.#clientLeft(pid);
    if (client !== undefined) {
      return because(client);
    }
    const now = this.#read(pid);
    if (signal.aborted || now === undefined || !held.is(now.runDirectory)) {
      return because('its daemon has changed');
    }
    this.#count++;
    log.warn('hostclean', `ending the daemon of the unused run directory ${path}, pid ${pid}: SIGTERM`);
    if (processes.signalIfSame(identity, 'TERM') === 'refused') {
      return because(`pid ${pid} may not be signalled`);
    }
    counters.hostCleanDaemonsRetired++;
    return (await this.#isGone(identity))
      ? 'retired'
      : because(`its daemon, pid ${pid}, has not ended within ${timings.hostCleanRetireMs / 1000}s of SIGTERM`);
  }

  /** Why the process is none of ours to end. */
  #refusal({ pid, program }: Daemon): string | undefined {
    const { markers, place } = this.#options;
    const group = markers.holdGroup(pid);
    const user = group.leader()?.user;
    group.release();
    if (user !== markers.user) {
      return `its daemon, pid ${pid}, runs as user ${user ?? 'unknown'}`;
    }
    const file = resolved(program);
    // An installation that has been removed cannot prove any more that it was one of ours, so its daemon is left alone.
    if (file !== undefined && isDeployed(place, file)) {
      return undefined;
    }
    return `pid ${pid} listens in it, which is not our binary: ${program} is not under ${place.deployments}`;
  }

  /** Why the daemon may still be needed; `undefined`: it is not. */
  async #work(pid: number): Promise<string | undefined> {
    const { hostCleaning, timings } = this.#options;
    // The start of the daemon counts as a use too. The dates of the files alone would be wrong after the clock has been
    // set.
    const ageMs = hostCleaning.view(pid)?.ageMs ?? 0;
    if (ageMs < timings.hostCleanUnusedMs) {
      return `its daemon, pid ${pid}, has not run for so long itself`;
    }
    const clients = hostCleaning.acceptedConnections(pid);
    if (clients === undefined) {
      return `whether its daemon, pid ${pid}, has a client cannot be told`;
    }
    if (clients > 0) {
      return `its daemon, pid ${pid}, has ${clients} client(s)`;
    }
    for await (const other of inTurns(hostCleaning.pids())) {
      if (hostCleaning.parentOf(other) === pid) {
        return `its daemon, pid ${pid}, has a running child, pid ${other}`;
      }
    }
    return undefined;
  }

  async #clientLeft(pid: number): Promise<string | undefined> {
    const { hostCleaning, timings } = this.#options;
    for (let waited = 0; ; waited += timings.reapPollMs) {
      const clients = hostCleaning.acceptedConnections(pid);
      if (clients === 0) {
        return undefined;
      }
      if (waited >= timings.hostCleanAnswerMs) {
        return `its daemon, pid ${pid}, has a client, or does not answer`;
      }
      await delay(timings.reapPollMs);
    }
  }

  async #isGone({ pid, start }: ProcessIdentity): Promise<boolean> {
    const { processes, timings } = this.#options;
    for (let waited = 0; processes.identify(pid)?.start === start; waited += timings.reapPollMs) {
      if (waited >= timings.hostCleanRetireMs) {
        return false;
      }
      await delay(timings.reapPollMs);
    }
    return true;
  }

  #overCap(): Retired {
    if (!this.#toldCap) {
      tellCap(
        this.#options,
        `${mostDaemons} daemons are the most to be ended in one pass; the others wait for the next one`,
      );
    }
    this.#toldCap = true;
    return because('its daemon is ended in a later pass');
  }
}

function because(reason: string): Retired {
  return { because: reason };
}
