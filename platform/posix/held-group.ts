/** A process group held by its leader, so that a signal reaches this very group (spec platform.md §2). */
import * as libc from '../../native-bindings/libc.ts';
import type { HeldGroup, ProcessEvidence } from '../child-markers.ts';
import type { SignalName } from '../processes.ts';
import { openPidfd, signalNumbers } from './identity.ts';
import { errnoName } from './paths.ts';
import type { EvidenceReader } from './process-evidence.ts';

export class PosixHeldGroup implements HeldGroup {
  readonly #pid: number;
  readonly #evidence: EvidenceReader;
  /** Opened before anything is read about the process. It names this process and its group from then on, even after its end. */
  readonly #pidfd: number | undefined;

  constructor(pid: number, evidence: EvidenceReader) {
    this.#pid = pid;
    this.#evidence = evidence;
    this.#pidfd = openPidfd(pid);
  }

  leader(): ReturnType<HeldGroup['leader']> {
    return this.#evidence.of(this.#pid);
  }

  signal(name: SignalName, isOurs: (leader: ProcessEvidence) => boolean): 'sent' | 'gone' | 'refused' {
    if (this.#pidfd !== undefined) {
      const flag = libc.PIDFD_SIGNAL_PROCESS_GROUP;
      if (libc.syscall?.(libc.SYS_pidfd_send_signal, this.#pidfd, signalNumbers[name], 0, flag) === 0) {
        return 'sent';
      }
      const failure = errnoName(libc.errno());
      // EINVAL: the kernel does not know the flag yet.
      if (failure !== 'EINVAL') {
        return failure === 'ESRCH' ? 'gone' : 'refused';
      }
    }
    return this.#signalByNumber(name, isOurs);
  }

  /** Older kernels and macOS. The number of a group stays taken while it has members, so only its leader must be looked at. */
  #signalByNumber(name: SignalName, isOurs: (leader: ProcessEvidence) => boolean): 'sent' | 'gone' | 'refused' {
    const leader = this.leader();
    if (leader !== undefined && !isOurs(leader)) {
      return 'gone';
    }
    if (leader === undefined && !this.#evidence.livingGroups().has(this.#pid)) {
      return 'gone';
    }
    try {
      process.kill(-this.#pid, `SIG${name}`);
      return 'sent';
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'ESRCH' ? 'gone' : 'refused';
    }
  }

  release(): void {
    if (this.#pidfd !== undefined) {
      libc.close(this.#pidfd);
    }
  }
}
