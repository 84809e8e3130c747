/** One pass of the host cleaner: orphaned CLIs first, then run directories nobody uses (spec platform.md §2 "Host cleaner"). */
import { endOrphanedGroups } from './orphaned-groups.ts';
import { type PassOptions, tellCap } from './pass-options.ts';
import { removeUnusedRunDirectories } from './unused-run-directories.ts';

/** With more processes than that, run directories are not judged: their daemons are looked for among all of them. */
const mostProcesses = 4096;
/** @throws what nobody foresaw; everything else is a line in the log */
export async function runPass(options: PassOptions): Promise<void> {
  const { hostCleaning, log, counters, signal } = options;
  counters.hostCleanPasses++;
  const refusalsBefore = counters.hostCleanRefusals;
  const pids = hostCleaning.pids();
  const groups = await endOrphanedGroups(pids, options);
  if (signal.aborted) {
    return;
  }
  let directories = { removed: 0, retired: 0 };
  if (pids.length > mostProcesses) {
    tellCap(
      options,
      `${pids.length} processes run here, more than ${mostProcesses}: run directories are not looked at`,
    );
  } else {
    directories = await removeUnusedRunDirectories(pids, options);
  }
  log.info(
    'hostclean',
    `pass over ${pids.length} process(es): ${groups.term} orphaned group(s) ended on SIGTERM, ${groups.kill} on SIGKILL, ` +
      `${groups.survived} survived; ${directories.removed} run director(ies) removed, ${directories.retired} daemon(s) ` +
      `retired; ${counters.hostCleanRefusals - refusalsBefore} left alone`,
  );
}
