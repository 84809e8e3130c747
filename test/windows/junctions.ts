/** Whether this Windows has junctions; Wine 8 has none, which docs/windows.md says. */
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export function canMakeJunctions(): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'hf-'));
  try {
    symlinkSync(folder, join(folder, 'junction'), 'junction');
    return true;
  } catch {
    return false;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
