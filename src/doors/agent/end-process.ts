/** How the process of a session is asked to end, and made to (spec agent.md §6.3). */
import type { HostDaemon } from './host-daemon.ts';
import { Refusal } from './refusal.ts';

/**
 * End of input, INT, TERM, KILL; resolves when the process is gone.
 * @param signalsAsk whether INT and TERM ask a process to end; else they end it at once
 * @throws Refusal
 */
export async function endProcess(daemon: HostDaemon, id: string, graceMs: number, signalsAsk: boolean): Promise<void> {
  const since = performance.now();
  const left = (): number => Math.max(1, graceMs - (performance.now() - since));
  await daemon.closeInput(id);
  if (!signalsAsk) {
    // Only the end of its input asks there. KILL is for what is left then, also of one that has ended by itself.
    await daemon.untilEnded(id, graceMs);
  }
  const hasEnded =
    (signalsAsk && graceMs > 0 && (await daemon.end(id, 'INT', graceMs / 2, false))) ||
    (signalsAsk && graceMs > 0 && (await daemon.end(id, 'TERM', left(), false))) ||
    (await daemon.end(id, 'KILL', 1, true));
  if (!hasEnded) {
    throw new Refusal('internal', `session ${id} does not end: the system holds its process`);
  }
}
