/** What work with git needs of the program around it. */
import type { Platform } from '../../../platform/platform.ts';
import type { Counters } from '../../base/counters.ts';
import type { Log } from '../../base/log.ts';
import type { Profile } from '../../wire/profile.ts';

export interface GitServices {
  readonly platform: Pick<Platform, 'processes' | 'paths' | 'host' | 'startedWith' | 'files' | 'git'>;
  readonly profile: Pick<Profile, 'git'>;
  readonly settings: {
    /** Deadline of one git call; 0: none (spec git.md §2.1). */
    readonly gitTimeoutMs: number;
    /** In the run directory, where temporary folders are made when the system's place for them is gone. */
    readonly socketPath: string;
  };
  readonly log: Pick<Log, 'warn'>;
  readonly counters: Pick<Counters, 'gitOutputsCapped' | 'gitCallsQueued' | 'gitLimitsReached'>;
}
