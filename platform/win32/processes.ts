/** Children: three pipes and a job each (spec process.md §11, platform.md §3 "Children and kill"). */
import type { Handle } from '../../native-bindings/kernel32.ts';
import * as kernel32 from '../../native-bindings/kernel32.ts';
import { SystemCallError } from '../errors.ts';
import type { Paths } from '../paths.ts';
import type { Child, Processes, SpawnRequest } from '../processes.ts';
import { wholeEnvironment } from '../started-with.ts';
import { WindowsChild } from './child.ts';
import { type ChildEnds, ChildStreams, noStreams, type Streams } from './child-streams.ts';
import { openNullDevice } from './handles.ts';
import type { Identities } from './identity.ts';
import { launchInJob } from './launch-in-job.ts';
import { checkSpawn, type Program } from './program.ts';

export function createProcesses(identities: Identities, paths: Paths): Processes {
  function spawn(request: SpawnRequest): Child {
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
  }

  return {
    ...identities,
    signalsAsk: false,
    check({ command, cwd }) {
      checkSpawn({ command, cwd, args: [], env: [] }, paths);
    },
    spawn,
    // CreateProcess returns before the program runs.
    spawnAmongMany: spawn,
  };
}

/** @throws WindowsError; nothing is left behind */
function startChild(program: Program, request: SpawnRequest): Child {
  const { streams, theirs } = openStreams(request);
  const [input, output, errors] = theirs;
  try {
    const started = launchInJob(
      {
        ...program,
        env: wholeEnvironment(request),
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

function openStreams(request: SpawnRequest): { readonly streams: Streams; readonly theirs: ChildEnds } {
  if (request.streams !== 'nullDevice') {
    return ChildStreams.open(request);
  }
  const nothing = openNullDevice();
  return { streams: noStreams, theirs: [nothing, nothing, nothing] };
}

function closeAll(handles: readonly Handle[]): void {
  for (const handle of new Set(handles)) {
    kernel32.CloseHandle(handle);
  }
}
