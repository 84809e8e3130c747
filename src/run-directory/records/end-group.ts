/**
 * How a process group that no daemon looks after any more is ended (spec platform.md §2): SIGTERM, a grace, SIGKILL, a
 * last wait. Before every signal its leader must still prove who it is.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { HeldGroup, ProcessEvidence } from '../../../platform/child-markers.ts';

export interface EndGroupOptions {
  readonly pid: number;
  /** Released by the caller. */
  readonly group: HeldGroup;
  /** Why the process is not the one that is to be ended; `undefined`: it is. Asked again before every signal. */
  refusal(leader: ProcessEvidence): string | undefined;
  livingGroups(): ReadonlySet<number>;
  readonly termMs: number;
  readonly killMs: number;
  readonly pollMs: number;
  /** How long to wait before a leader that looks gone is read a second time. */
  readonly secondLookMs: number;
  /** @param level `warn` for what a working host does not show */
  tell(text: string, level: 'info' | 'warn'): void;
}

export type End = 'term' | 'kill' | 'survived';

export async function endGroup(options: EndGroupOptions): Promise<End> {
  const { pid, group, tell } = options;
  const isOurs = (leader: ProcessEvidence): boolean => options.refusal(leader) === undefined;
  if (look() === 'changed' || group.signal('TERM', isOurs) === 'refused') {
    return 'survived';
  }
  const afterTerm = await watch(options.termMs);
  if (afterTerm !== 'there') {
    return afterTerm === 'gone' ? 'term' : 'survived';
  }
  tell(`group ${pid} outlived SIGTERM for ${options.termMs / 1000}s: SIGKILL`, 'warn');
  if (group.signal('KILL', isOurs) === 'refused') {
    return 'survived';
  }
  return (await watch(options.killMs)) === 'gone' ? 'kill' : 'survived';

  /** Looks until the group is gone, or somebody else's, or the time is over. */
  async function watch(limitMs: number): Promise<'gone' | 'there' | 'changed'> {
    for (let waited = 0; ; waited += options.pollMs) {
      const state = look();
      if (state === 'gone' || state === 'changed') {
        return state;
      }
      if (waited >= limitMs) {
        return state === 'leaderless' ? secondLook() : 'there';
      }
      await delay(options.pollMs);
    }
  }

  /** A leader that could not be read for a moment looks as if it were gone, so it is read a second time. */
  async function secondLook(): Promise<'gone' | 'there' | 'changed'> {
    await delay(options.secondLookMs);
    const state = look();
    return state === 'leaderless' ? 'there' : state;
  }

  function look(): 'gone' | 'there' | 'leaderless' | 'changed' {
    const leader = group.leader();
    if (leader === undefined) {
      return options.livingGroups().has(pid) ? 'leaderless' : 'gone';
    }
    if (isOurs(leader)) {
      return 'there';
    }
    // A process that is ending loses its words and its environment a moment before it is gone.
    const again = group.leader();
    if (again === undefined) {
      return 'leaderless';
    }
    const reason = options.refusal(again);
    if (reason === undefined) {
      return 'there';
    }
    tell(`group ${pid} no longer verifies (${reason}); nothing more is sent to it`, 'info');
    return 'changed';
  }
}
