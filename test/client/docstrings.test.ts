/** Whoever writes `host.` in an editor is told what each name is: shape, unit, error. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const source = (file: string): string => readFileSync(join(import.meta.dirname, '../../src', file), 'utf8');

/** What the package exports, by the file it comes from. */
const exported = [...source('client/index.ts').matchAll(/^export (?:type )?\{([^}]*)\} from '\.\.?\/(.*)';$/gm)].map(
  ([, names = '', file = '']) => ({
    file: file.startsWith('wire/') ? file : `client/${file}`,
    names: names.split(',').map((name) => name.replace('type ', '').trim()),
  }),
);

/** Lines of a declaration, with the line before it. */
function declarationOf(file: string, name: string): readonly string[] {
  const lines = source(file).split('\n');
  const start = lines.findIndex((line) =>
    new RegExp(`^export (?:async )?(?:class|interface|type|function) ${name}\\b`).test(line),
  );
  expect(start, `${name} in ${file}`).toBeGreaterThan(0);
  const end = lines.findIndex((line, index) => index > start && /^\S/.test(line));
  return lines.slice(start - 1, end);
}

const isMember = (line: string): boolean =>
  /^ {2}(?!(?:private|constructor|override)\b)[a-z][\w ?[\].]*[:(<]/.test(line);

/** A second signature of the same name needs no words of its own. */
const isOverload = (before: string, line: string): boolean => nameOf(before) === nameOf(line) && before.endsWith(';');
const nameOf = (line: string): string => /^ *(?:async )?(\w+)/.exec(line)?.[1] ?? '';

test.each(exported.flatMap(({ file, names }) => names.map((name) => [name, file] as const)))(
  '%s of %s says what it is, and so does each of its members',
  (name, file) => {
    const lines = declarationOf(file, name);
    expect(lines[0], name).toMatch(/\*\/$/);
    const hasMembers = file.startsWith('client/') && /^export (?:class|interface)/.test(lines[1] ?? '');
    const silent = lines
      .slice(2)
      .map((line, index) => [lines[index + 1] ?? '', line] as const)
      .filter(([before, line]) => hasMembers && isMember(line) && !before.endsWith('*/') && !isOverload(before, line))
      .map(([, line]) => line.trim());
    expect(silent).toEqual([]);
  },
);
