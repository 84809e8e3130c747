/** The failpoints the source has, so that a test that names one that is not there fails instead of testing nothing. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const call = /\bfailpoint(?:Async)?\(\s*'([^']+)'/g;

/** Every point that `src/` and `platform/` pass, sorted. A loop over them is "die at every place, in turn". */
export function knownFailpoints(): string[] {
  const found = new Set<string>();
  for (const folder of ['src', 'platform']) {
    for (const name of readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })) {
      if (name.endsWith('.ts')) {
        for (const [, point] of readFileSync(join(root, folder, name), 'utf8').matchAll(call)) {
          found.add(point as string);
        }
      }
    }
  }
  return [...found].sort();
}

/** @throws when `rules` (the text of `HOLDFAST_FAILPOINTS`) names a point the source does not have */
export function requireKnownFailpoints(rules: string): void {
  const known = knownFailpoints();
  for (const rule of rules.split(';')) {
    const point = rule.split('=')[0]?.trim() ?? '';
    if (point !== '' && !known.includes(point)) {
      throw new Error(`the source has no failpoint ${point}; it has: ${known.join(', ') || 'none'}`);
    }
  }
}
