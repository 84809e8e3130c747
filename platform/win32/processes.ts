/** Children: three pipes and a job each (spec process.md §11, platform.md §3 "Children and kill"). */
import type { Handle } from '../../native-bindings/kernel32.ts';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import { SystemCallError } from '../errors.ts';
import type { Child, Paths, Processes, SpawnRequest } from '../platform.ts';
import { WindowsChild } from './child.ts';
import { ChildStreams } from './child-streams.ts';
import type { Identities } from './identity.ts';
import { launchInJob } from './launch-in-job.ts';
import { checkSpawn, type Program } from './program.ts';

export function createProcesses(identities: Identities, paths: Paths): Processes {
  return {
    ...identities,
    check(request) {
      checkSpawn(request, paths);
    },
    spawn(request) {
      const program = checkSpawn(request, paths);
      try {
        return startChild(program, request);
      } catch (error) {
        throw new SystemCallError(
          `fork/exec ${request.command}: ${paths.reason(error)}`,
          (error as NodeJS.ErrnoException).code ?? '',
          { cause: error },
        );
      }
    },
  };
}

/** @throws WindowsError; nothing is left behind */
function startChild(program: Program, request: SpawnRequest): Child {
  const { streams, theirs } = ChildStreams.open(request);
  const [input, output, errors] = theirs;
  try {
    const started = launchInJob(
      {
        ...program,
        env: request.env,
        cwd: request.cwd,
        input,
        output,
        errors,
        inherited: [],
        // A console of its own that is never shown: console programs need one, and we have none to share.
        flags: kernel32.CREATE_NO_WINDOW,
      },
      { outlivesUs: request.outlivesUs === true },
    );
    return new WindowsChild(started, streams, request);
  } catch (error) {
    streams.abandon();
    throw error;
  } finally {
    closeAll(theirs);
  }
}

function closeAll(handles: readonly Handle[]): void {
  for (const handle of handles) kernel32.CloseHandle(handle);
}
