/** The two adapters of the platform have the same files; what has no counterpart is explained in docs/architecture.md. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '..', '..');
const sides = ['posix', 'win32'] as const;
type Side = (typeof sides)[number];

function filesOf(side: Side): string[] {
  return readdirSync(join(root, 'platform', side));
}

/** The files of the rows `| \`posix/\` | \`a.ts\`, \`b.ts\` | why |`. */
function explainedFor(side: Side): string[] {
  const page = readFileSync(join(root, 'docs', 'architecture.md'), 'utf8');
  return page
    .split('\n')
    .map((line) => line.split('|').map((cell) => cell.trim()))
    .filter(([, first, , why = '']) => first === `\`${side}/\`` && why !== '')
    .flatMap(([, , files = '']) => [...files.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name));
}

test.each([
  ['posix', 'win32'],
  ['win32', 'posix'],
] as const)('a file that only %s has is explained in docs/architecture.md', (side, other) => {
  const counterparts = new Set(filesOf(other));
  const alone = filesOf(side).filter((name) => !counterparts.has(name));
  expect(explainedFor(side).sort()).toEqual(alone.sort());
});

test('most of the two adapters can be read side by side', () => {
  const [posix, win32] = [filesOf('posix'), new Set(filesOf('win32'))];
  expect(posix.filter((name) => win32.has(name)).length).toBeGreaterThan(25);
});
