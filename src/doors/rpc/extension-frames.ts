/** Frames that are ours and not the contract's (spec extensions.md §2.2); only connections that asked get them. */
import type { SessionEvent } from '../../engine/session-engine.ts';
import type { ResultObject } from '../../wire/json.ts';
import { encodeResult } from '../../wire/json-writer.ts';

function frame(fields: ResultObject): string {
  return `${encodeResult({ type: 'holdfast', ...fields })}\n`;
}

/** Frames of an observed process that its observer will never see. */
export function gapFrame(processId: string, { from, to }: { readonly from: number; readonly to: number }): string {
  return frame({ event: 'gap', processId, from, to });
}

/**
 * `undefined`: the event is of no interest outside the daemon. A client knows processes by their ids, so it is told nothing
 * more of one whose id belongs to another process by now.
 */
export function eventFrame(event: SessionEvent): string | undefined {
  if (event.replaced) {
    return undefined;
  }
  const told = { event: event.event, processId: event.id, at: event.at };
  if (event.event !== 'exited') {
    return frame(told);
  }
  const { code, signal, killedBy } = event.exit;
  return frame({ ...told, exitCode: code, signal, killedBy });
}
