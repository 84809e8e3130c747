/** Fixtures: what a case wants to find on disk. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { writeArchive } from './archive.ts';
import type { FixtureStep } from './cases.ts';
import type { Scope } from './templates.ts';

/** Modes mean nothing here (spec platform.md §3) and are left out. */
export function layOut(step: FixtureStep, scope: Scope): void {
  if (step.write !== undefined) {
    const file = scope.path(step.write);
    mkdirSync(dirname(file), { recursive: true });
    const content =
      step.b64 === undefined ? Buffer.from(scope.expand(step.text ?? ''), 'latin1') : Buffer.from(step.b64, 'base64');
    writeFileSync(file, content);
  } else if (step.mkdir !== undefined) {
    mkdirSync(scope.path(step.mkdir), { recursive: true });
  } else if (step.remove !== undefined) {
    rmSync(scope.path(step.remove), { recursive: true });
  } else if (step.targz !== undefined) {
    writeArchive(scope.path(step.targz), step.entries ?? [], scope);
  } else {
    throw new Error(`a fixture step that cannot be laid out on Windows: ${JSON.stringify(step)}`);
  }
}
