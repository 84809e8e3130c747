/** The types of results (src/wire/method-types.ts) against what the contract's daemon answered: the conformance cases. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { profileNamed } from '../../src/wire/profiles.ts';

const root = join(import.meta.dirname, '../..');
const casesFolder = join(root, 'test/conformance/cases');

interface Exchange {
  readonly where: string;
  readonly method: string;
  /** JSON text. */
  readonly result: string;
}

/** Placeholders of the case files that stand for values (test/conformance/README.md); those inside strings stay as they are. */
function filled(frame: string): string {
  return frame
    .replace(/\{\{IF:[^|}]*\|(.*?)\}\}/g, '')
    .replace(/(?<=[:[,])\{\{(?:INT|NUM|PID|SEQ|MS|LAST)[^}]*\}\}/g, '1');
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function exchangesOf(file: string): Exchange[] {
  const { cases } = JSON.parse(readFileSync(join(casesFolder, file), 'utf8')) as {
    cases: { name: string; script: Record<string, unknown>[] }[];
  };
  return cases.flatMap(({ name, script }) =>
    script.flatMap(({ call, reply }): Exchange[] => {
      if (typeof call !== 'string') {
        return [];
      }
      const method = parse(filled(call))?.method;
      const expected =
        typeof reply === 'string' ? [reply] : ((reply as { any_of?: string[] } | undefined)?.any_of ?? []);
      return expected.flatMap((frame) => {
        const result = parse(filled(frame))?.result;
        return typeof method === 'string' && result !== undefined
          ? [{ where: `${file} ${name}`, method, result: JSON.stringify(result) }]
          : [];
      });
    }),
  );
}

let folder: string;
beforeAll(() => {
  folder = mkdtempSync('/tmp/hf-');
});
afterAll(() => rmSync(folder, { recursive: true }));

/** The compiler's complaints about a file of assignments. */
function complaints(lines: readonly string[]): Promise<string[]> {
  const wire = JSON.stringify(join(root, 'src/wire/method-types.ts'));
  const head = [
    `import type { MethodName, ResultOf } from ${wire};`,
    'declare function check<N extends MethodName>(method: N, result: ResultOf<N>): void;',
  ];
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  writeFileSync(join(folder, 'cases.ts'), [...head, ...lines].join('\n'));
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({
      extends: join(root, 'tsconfig.json'),
      compilerOptions: { typeRoots: [join(root, 'node_modules/@types')] },
      include: ['cases.ts'],
    }),
  );
  const compiler = createRequire(import.meta.url)
    .resolve('typescript/package.json')
    .replace(/package\.json$/, 'bin/tsc');
  return new Promise((resolve) => {
    execFile(process.execPath, [compiler, '-p', folder], (_, stdout) =>
      resolve(stdout.split('\n').filter((line) => line.includes('error TS'))),
    );
  });
}

test('every result that the contract has recorded has the type the library gives it', async () => {
  const exchanges = readdirSync(casesFolder).flatMap(exchangesOf);
  const seen = new Set(exchanges.map(({ method }) => method));
  const contract = new Set(['S', 'current', 'latest'].flatMap((name) => profileNamed(name)?.server.methods ?? []));
  // The reply of one is a closed connection; the cases hold no other generation than S and N.
  for (const method of ['server.shutdown', 'plugins.prune', 'launcher.resolve']) {
    contract.delete(method);
  }
  expect([...contract].filter((method) => !seen.has(method))).toEqual([]);
  const lines = exchanges.map(({ method, result, where }) => `check('${method}', ${result}); // ${where}`);
  expect(lines.length).toBeGreaterThan(100);
  expect(await complaints(lines)).toEqual([]);
});

test('a result of another shape is noticed', async () => {
  const found = await complaints([
    `check('server.ping', { pong: false });`,
    `check('files.stat', { exists: true, isDir: false, size: '1', mode: '' });`,
    `check('git.status', { isRepo: true, clean: true, more: 1 });`,
    `check('launcher.resolve', { status: 'usable', argv: [] });`,
  ]);
  expect(found).toHaveLength(4);
});
