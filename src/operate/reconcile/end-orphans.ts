/** The end of what nobody holds (spec operators.md "reconcile --kill"). */
import { sessionMarkVariable } from '../../../platform/child-markers.ts';
import type { ListedProcess } from '../../../platform/process-list.ts';
import { type EndedListed, type EndingOptions, endTrees } from '../end-trees.ts';
import type { ProcessTrees } from '../process-trees.ts';
import type { Judged } from './judge.ts';

/** All at once, so that one that ignores TERM holds up nobody. */
export function endOrphans(
  orphans: readonly Judged[],
  lookedAt: number,
  options: EndingOptions,
): Promise<readonly EndedListed[]> {
  const known = orphans.flatMap(({ process }) => (process === undefined ? [] : [process]));
  const marks = new Set(known.flatMap((each) => each.variable(sessionMarkVariable) ?? []));
  // A session that is started anew with the same id has the same mark: what came after the look is left to the next one,
  // unless it is below what is being ended.
  const more = (trees: ProcessTrees): ListedProcess[] =>
    [...marks].flatMap((mark) => trees.carrying(mark).filter(({ startSeconds }) => startSeconds <= lookedAt));
  return endTrees({ known, more }, options);
}
