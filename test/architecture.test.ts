/**
 * The house: which folder may import which (docs/architecture.md "Folders"), held against the real imports of every file:
 * static, type-only, re-exports and dynamic ones.
 */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');

interface Row {
  /** Folders, or single files, of this row. */
  readonly holds: readonly string[];
  /** Names of rows whose files it may import; its own are always allowed. */
  readonly mayImport: readonly string[];
  /** Rows it may load on demand only, by a dynamic import. */
  readonly mayLoad?: readonly string[];
  /** Packages it may import; without this every package. */
  readonly packages?: readonly string[];
}

/** Whatever does not need the operating system must say so: no files, sockets or processes. */
const pure = ['node:buffer'] as const;
const work = ['base', 'platform', 'wire'] as const;
const git = ['git/run', 'git/query', 'git/worktree'] as const;
const doorsInside = ['base', 'wire', 'config', 'engine', 'files', ...git, 'install', 'platform'] as const;
const processes = ['base', 'wire', 'config', 'client', 'run-directory', 'install', 'platform'] as const;

/** In the order of the table in docs/architecture.md. Nobody but the bindings may import koffi. */
const house: Readonly<Record<string, Row>> = {
  start: {
    holds: ['src/main.ts', 'src/command-line.ts'],
    mayImport: ['base', 'config', 'modes', 'operate', 'run-directory', 'platform'],
  },
  executable: { holds: ['src/executable'], mayImport: ['platform'] },
  base: { holds: ['src/base'], mayImport: ['platform'] },
  wire: { holds: ['src/wire'], mayImport: [], packages: pure },
  config: { holds: ['src/config'], mayImport: ['base', 'wire'] },
  engine: { holds: ['src/engine'], mayImport: ['base', 'wire', 'platform'] },
  keeper: { holds: ['src/keeper'], mayImport: ['engine', 'wire', 'base', 'platform'] },
  client: { holds: ['src/client'], mayImport: ['wire'] },
  'run-directory': { holds: ['src/run-directory'], mayImport: ['base', 'config', 'client', 'platform'] },
  files: { holds: ['src/files'], mayImport: work },
  'git/run': { holds: ['src/git/run'], mayImport: work },
  'git/query': { holds: ['src/git/query'], mayImport: [...work, 'git/run'] },
  'git/worktree': { holds: ['src/git/worktree'], mayImport: [...work, 'git/run', 'git/query'] },
  install: { holds: ['src/install'], mayImport: work },
  'doors/rpc': { holds: ['src/doors/rpc'], mayImport: doorsInside },
  'doors/metrics': { holds: ['src/doors/metrics'], mayImport: doorsInside },
  'doors/agent': { holds: ['src/doors/agent'], mayImport: processes },
  'doors/mesh': { holds: ['src/doors/mesh'], mayImport: processes },
  daemon: {
    holds: ['src/daemon'],
    mayImport: [
      ...['base', 'wire', 'config', 'engine', 'keeper', 'client', 'run-directory', 'files', ...git, 'install'],
      ...['doors/rpc', 'doors/metrics', 'platform'],
    ],
  },
  modes: { holds: ['src/modes'], mayImport: processes, mayLoad: ['daemon', 'keeper', 'doors/agent', 'doors/mesh'] },
  operate: { holds: ['src/operate'], mayImport: processes, mayLoad: ['keeper'] },
  platform: { holds: ['platform'], mayImport: ['native-bindings'] },
  'native-bindings': { holds: ['native-bindings'], mayImport: [], packages: ['koffi'] },
};

/** What is still to be mended: `<row> -> <row or package>`. A line that is no longer true fails the test. */
const pending: readonly string[] = [];

interface Import {
  readonly target: string;
  readonly isDynamic: boolean;
}

/** Comments gone, strings kept: a comment that speaks of an import is none. */
function withoutComments(source: string): string {
  const token = /'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|\/\/[^\n]*|\/\*[\s\S]*?\*\/|[^'"`/]+|\//g;
  return source.replace(token, (text) => (text.startsWith('//') || text.startsWith('/*') ? ' ' : text));
}

/** Statements start a line; everything between `import` and its file is names. */
const statement = /^(?:import|export)\s[^'"`;=()]*?\bfrom\s*['"]([^'"]+)['"]|^import\s*['"]([^'"]+)['"]/gm;
const call = /\b(?:import|require)\s*\(\s*(?:(['"])([^'"]+)\1\s*[,)])?/g;

function importsOf(source: string): readonly Import[] {
  const code = withoutComments(source);
  return [
    ...[...code.matchAll(statement)].map((match) => ({ target: match[1] ?? match[2] ?? '', isDynamic: false })),
    ...[...code.matchAll(call)].map((match) => ({ target: match[2] ?? '', isDynamic: true })),
  ];
}

const files = globSync(['src/**/*.ts', 'platform/**/*.ts', 'native-bindings/**/*.ts'], { cwd: root }).sort();

/** Names of the rows a file belongs to; it should be exactly one. */
function rowsOf(file: string): readonly string[] {
  return Object.entries(house).flatMap(([name, { holds }]) =>
    holds.some((place) => file === place || file.startsWith(`${place}/`)) ? [name] : [],
  );
}

interface Refusal {
  /** `<row> -> <row or package>`. */
  readonly edge: string;
  readonly text: string;
}

/** What the table does not allow about the imports of `file`, a path from the root of the project. */
function refusalsOf(file: string, source: string): readonly Refusal[] {
  const [name = 'no row'] = rowsOf(file);
  const row = house[name];
  return importsOf(source).flatMap(({ target, isDynamic }): Refusal[] => {
    if (target === '') {
      return [{ edge: name, text: `${file} -> a computed target: write the path, so that it can be checked` }];
    }
    if (!target.startsWith('.')) {
      const isAllowed = row?.packages === undefined ? target !== 'koffi' : row.packages.includes(target);
      return isAllowed ? [] : [{ edge: `${name} -> ${target}`, text: `${file} -> ${target}` }];
    }
    const imported = normalize(join(dirname(file), target));
    const [other = 'no row'] = rowsOf(imported);
    const isLoaded = isDynamic && row?.mayLoad?.includes(other) === true;
    return other === name || row?.mayImport.includes(other) === true || isLoaded
      ? []
      : [{ edge: `${name} -> ${other}`, text: `${file} -> ${imported}` }];
  });
}

const sources = files.map((file) => ({ file, source: readFileSync(join(root, file), 'utf8') }));

/** The table of the page: place, and what its last column names. `nothing` is an empty list. */
function rowsOfThePage(): readonly { place: string; mayImport: string; mayLoad: string }[] {
  const [, table = ''] = readFileSync(join(root, 'docs/architecture.md'), 'utf8').split(
    /^## (?:Folders|The way of a flag)$/m,
  );
  return [...table.matchAll(/^\| (`.+`) +\|.+\| (.*?) +\|$/gm)].flatMap(([, places = '', names = '']) => {
    const [mayImport = '', mayLoad = ''] = names.replace(/^nothing$/, '').split('; ');
    return [...places.matchAll(/`((?:src|platform|native-bindings)\b[^`]*?)\/?`/g)].map(([, place = '']) => ({
      place,
      mayImport,
      mayLoad: mayLoad.replace(/ on demand$/, ''),
    }));
  });
}

describe('the house', () => {
  test('docs/architecture.md has the same table', () => {
    const wanted = Object.values(house).flatMap(({ holds, mayImport, mayLoad = [], packages = [] }) =>
      holds.map((place) => ({
        place,
        mayImport: [...mayImport, ...packages.filter((name) => name === 'koffi')].join(', '),
        mayLoad: mayLoad.join(', '),
      })),
    );
    expect(rowsOfThePage()).toEqual(wanted);
  });

  test('every file has exactly one place in it', () => {
    const misplaced = files.filter((file) => rowsOf(file).length !== 1);
    expect(misplaced).toEqual([]);
    expect(files.length).toBeGreaterThan(200);
  });

  test('every import follows the table', () => {
    const found = sources.flatMap(({ file, source }) => refusalsOf(file, source));
    const unexpected = found.filter(({ edge }) => !pending.includes(edge)).map(({ text }) => text);
    expect([...new Set(unexpected)], 'imports that the table does not allow').toEqual([]);
    const mended = pending.filter((line) => !found.some(({ edge }) => edge === line));
    expect(mended, 'pending lines that are no longer true: take them out').toEqual([]);
  });

  test('no two rows import each other', () => {
    const edges = new Set<string>();
    for (const { file, source } of sources) {
      for (const { target } of importsOf(source).filter((each) => each.target.startsWith('.'))) {
        const [from = ''] = rowsOf(file);
        const [to = ''] = rowsOf(normalize(join(dirname(file), target)));
        const edge = `${from} -> ${to}`;
        if (to !== from && !pending.includes(edge)) {
          edges.add(edge);
        }
      }
    }
    const mutual = [...edges].filter((edge) => edges.has(edge.split(' -> ').reverse().join(' -> ')));
    expect(mutual).toEqual([]);
    expect(edges.size).toBeGreaterThan(20);
  });

  test('no file of the program is longer than 400 lines: it holds one idea', () => {
    const long = sources
      .map(({ file, source }) => ({ file, lines: source.split('\n').length - 1 }))
      .filter(({ file, lines }) => /^(?:src|platform|native-bindings)\//.test(file) && lines > 400)
      .map(({ file, lines }) => `${file}: ${lines}`);
    expect(long, 'split it along the way of the data').toEqual([]);
  });

  test('what an import names exists', () => {
    const missing = sources.flatMap(({ file, source }) =>
      importsOf(source)
        .filter(({ target }) => target.startsWith('.') && !existsSync(join(root, dirname(file), target)))
        .map(({ target }) => `${file} -> ${target}`),
    );
    expect(missing).toEqual([]);
  });

  test('nothing in src asks which system it runs on, sends a signal itself or starts a process around the platform', () => {
    const asks =
      /process\.platform|\bos\.platform\(|\.(?:os|name) [!=]==? '(?:windows|linux|darwin|win32|posix)'|'(?:win32|darwin)'|process\.(?:kill|getuid)\(|from 'node:child_process'/;
    // The client is a library of its own, which loads no platform: it runs ssh as any program of Node.js would.
    const startsRelays = /^src\/client\/(?:transport|target|remote-command)\.ts$/;
    const asking = sources
      .filter(({ file }) => file.startsWith('src/') && !startsRelays.test(file))
      .flatMap(({ file, source }) =>
        withoutComments(source)
          .split('\n')
          .filter((line) => asks.test(line))
          .map((line) => `${file}: ${line.trim()}`),
      );
    expect(asking).toEqual([]);
  });

  test('no file loads a part of Node.js by `import()`, which the single executable cannot do', () => {
    const loading = sources
      .filter(({ source }) => /\bimport\(\s*['"]node:/.test(withoutComments(source)))
      .map(({ file }) => file);
    expect(loading, 'import it at the top, or use process.getBuiltinModule').toEqual([]);
  });

  test('no file declares by `using`, which the oldest supported Node.js (22.18) cannot read', () => {
    const usings = sources
      .filter(({ file }) => !file.startsWith('test/') && !file.startsWith('bench/'))
      .flatMap(({ file, source }) =>
        withoutComments(source)
          .split('\n')
          .filter((line) => /^\s*(?:await )?using \w+ =|\bfor (?:await )?\((?:await )?using /.test(line))
          .map((line) => `${file}: ${line.trim()}`),
      );
    expect(usings).toEqual([]);
  });
});

describe('the check itself sees', () => {
  test.each([
    ["import { a } from '../engine/local/session.ts';", 'src/base/x.ts'],
    ["import type { A } from '../engine/local/session.ts';", 'src/base/x.ts'],
    ["import {\n  a,\n  type B,\n} from '../engine/local/session.ts';", 'src/base/x.ts'],
    ["import * as all from '../engine/local/session.ts';", 'src/base/x.ts'],
    ["import '../engine/local/session.ts';", 'src/base/x.ts'],
    ["export { a } from '../engine/local/session.ts';", 'src/base/x.ts'],
    ["export * from '../engine/local/session.ts';", 'src/base/x.ts'],
    ["const a = await import('../engine/local/session.ts');", 'src/base/x.ts'],
    ["type A = import('../engine/local/session.ts').Session;", 'src/base/x.ts'],
    ["const url = 'http://x'; // no comment\nimport { a } from '../engine/local/session.ts';", 'src/base/x.ts'],
    ["import { connect } from 'node:net';", 'src/wire/x.ts'],
    ["import koffi from 'koffi';", 'platform/posix/x.ts'],
    ["import { clean } from '../run-directory/names.ts';", 'src/config/x.ts'],
    ["import { runDaemon } from '../daemon/daemon.ts';", 'src/modes/x.ts'],
    ["import { a } from '../../metrics/x.ts';", 'src/doors/rpc/methods/x.ts'],
    ["import { a } from '../worktree/x.ts';", 'src/git/query/x.ts'],
    ["import { a } from '../src/base/log.ts';", 'platform/x.ts'],
    ["import { a } from '../test/support/wait.ts';", 'src/main.ts'],
    ['const a = await import(name);', 'src/base/x.ts'],
  ])('%j in %s', (source, file) => {
    expect(refusalsOf(file, source)).toHaveLength(1);
  });

  test.each([
    ["import { a } from '../../platform/errors.ts';", 'src/base/x.ts'],
    ["import { a } from '../../wire/json.ts';", 'src/git/run/x.ts'],
    ["// import { a } from '../engine/local/session.ts';", 'src/base/x.ts'],
    ["/* import('../engine/local/session.ts') */", 'src/base/x.ts'],
    ["const { runDaemon } = await import('../daemon/daemon.ts');", 'src/modes/x.ts'],
  ])('nothing wrong with %j in %s', (source, file) => {
    expect(refusalsOf(file, source)).toEqual([]);
  });
});

/** Rows that no daemon and no keeper loads. */
const ofOtherProcesses = new Set(['operate', 'doors/agent', 'doors/mesh']);

test('the source that daemons and keepers hold for months takes one byte for each character in memory', () => {
  // With one character beyond U+00FF V8 takes two for each of the file: write an escape, or another character in a comment.
  const wide = files.filter((file) => {
    const [row = ''] = rowsOf(file);
    return !ofOtherProcesses.has(row) && /[^\0-\xff]/.test(readFileSync(join(root, file), 'utf8'));
  });
  expect(wide).toEqual([]);
});
