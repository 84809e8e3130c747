/** What a daemon and a keeper load before somebody asks them for something: both may be idle for months (docs/performance.md "Memory"). */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, test } from 'vitest';
import { loadedWith } from '../support/loaded-with.ts';

const root = join(import.meta.dirname, '..', '..');
const beginning = ['src/main.ts', 'src/base/late-parts.ts', 'src/base/start-markers.ts'];

const keeper = (system: string) => [
  ...[...beginning, 'src/modes/keeper.ts', 'src/keeper/process.ts', `platform/${system}/session-platform.ts`],
];
const daemon = (system: string) => [
  ...[...beginning, 'src/command-line.ts', 'src/modes/serve.ts', 'src/daemon/daemon.ts'],
  ...['src/daemon/local-sessions.ts', 'src/daemon/durable-sessions.ts', `platform/${system}/index.ts`],
];

describe.each(['posix', 'win32'])('with the adapter %s', (system) => {
  test('a keeper has no options, no methods, and of the platform what sessions need', () => {
    const { files } = loadedWith(...keeper(system));
    const superfluous = [
      ...['src/command-line.ts', 'src/config/options.ts', 'src/config/settings.ts', 'src/doors/rpc/dispatcher.ts'],
      ...[`platform/${system}/files.ts`, `platform/${system}/folder-handle.ts`],
    ];
    expect(superfluous.filter((file) => files.has(file))).toEqual([]);
    expect(files).toContain('src/engine/local/local-engine.ts');
    expect(files).toContain(`platform/${system}/processes.ts`);
  });

  test('a daemon has no code of git, files, plug-ins and managed launchers before their first request', () => {
    const { files } = loadedWith(...daemon(system));
    expect(files).not.toContain(`platform/${system}/files.ts`);
    // The door tells their failures from others.
    const failures = ['src/files/failure.ts', 'src/git/run/failures.ts'];
    expect([...files].filter((file) => /^src\/(?:git|files|install)\//.test(file)).sort()).toEqual(failures);
    expect(files).toContain('src/doors/rpc/dispatcher.ts');
  });

  test('neither has the promises of node:fs before the first call of one', () => {
    for (const entries of [keeper(system), daemon(system)]) {
      expect(loadedWith(...entries).others).not.toContain('node:fs/promises');
    }
  });
});

test('on Linux and macOS a daemon without durable sessions has no cryptography, and nobody has that of the web', () => {
  const all = [...keeper('posix'), ...daemon('posix'), 'platform/posix/files.ts'];
  // An import would read its names, and some of them load the web's.
  expect(loadedWith(...all).others).not.toContain('node:crypto');
  const asking = [...loadedWith(...all).files].filter((file) =>
    /^[^ /].*getBuiltinModule\('node:crypto'\)/m.test(readFileSync(join(root, file), 'utf8')),
  );
  expect(asking).toEqual(['src/keeper/channel/handshake.ts']);
  expect(loadedWith(...daemon('posix').filter((file) => !file.includes('durable'))).files).not.toContain(asking[0]);
});

describe('parts of node:fs that are loaded late', () => {
  const lateParts = pathToFileURL(join(root, 'src/base/late-parts.ts')).href;
  const begin = `import { loadFileSystemPartsLate } from ${JSON.stringify(lateParts)};\n`;
  const loaded = 'process.moduleLoadList.filter((name) => /internal.fs.(promises|streams)$/.test(name))';

  function run(script: string): unknown {
    const words = ['--input-type=module', '--disable-warning=ExperimentalWarning', '-e', begin + script];
    const { stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8' });
    return JSON.parse(stdout || JSON.stringify(stderr));
  }

  test('an import of node:fs alone brings neither promises nor streams, which it would bring otherwise', () => {
    const imported = `await import('node:fs'); console.log(JSON.stringify(${loaded}.length));`;
    expect(run(imported)).toBe(2);
    expect(run(`loadFileSystemPartsLate(); ${imported}`)).toBe(0);
  });

  test('whoever asks for one has it, be it by import or by require', () => {
    const used = `
      loadFileSystemPartsLate();
      const { default: fs } = await import('node:fs');
      const { createRequire } = await import('node:module');
      const required = createRequire(import.meta.url)('fs');
      const text = await fs.promises.readFile(${JSON.stringify(join(root, 'package.json'))}, 'utf8');
      const stream = fs.createReadStream('/dev/null');
      console.log(JSON.stringify([
        JSON.parse(text).name,
        required.promises === (await import('node:fs/promises')).default,
        stream instanceof fs.ReadStream,
        stream instanceof required.ReadStream,
        Object.keys(required).includes('readFileSync'),
      ]));
    `;
    expect(run(used)).toEqual(['holdfast', true, true, true, true]);
  });

  test('none of them is imported by its name, which would be undefined', () => {
    const byName =
      /^import (?!type )[^;']*\b(?:promises|\w*ReadStream|\w*WriteStream|Utf8Stream)\b[^;']*from 'node:fs'/m;
    const sources = ['src', 'platform', 'native-bindings'].flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((name) => join(root, folder, name)),
    );
    expect(byName.test("import { promises } from 'node:fs'")).toBe(true);
    expect(sources.filter((file) => file.endsWith('.ts') && byName.test(readFileSync(file, 'utf8')))).toEqual([]);
  });
});
