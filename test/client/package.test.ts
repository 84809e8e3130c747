/** The package as a user installs it, and the examples of docs/client.md as programs of such a user. */
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { version } from '../../src/base/version.ts';
import { type SshHost, startSshHost } from '../ssh/sshd.ts';
import { cleanEnvironment, runHoldfast } from '../support/holdfast.ts';

const root = join(import.meta.dirname, '../..');
/** The Node.js and npm of the machine, which may be older than ours: folders of this project are left out of the PATH. */
const path = (process.env.PATH ?? '')
  .split(delimiter)
  .filter((folder) => !folder.includes('node_modules'))
  .join(delimiter);
/** What npm tells the scripts it runs would steer the npm of the test. */
const environment = Object.fromEntries(
  Object.entries({ ...process.env, PATH: path }).filter(([name]) => !/^(npm_|NODE_|VITEST)/i.test(name)),
);

let host: SshHost;
let folder: string;
let project: string;

beforeAll(async () => {
  host = await startSshHost();
  folder = mkdtempSync('/tmp/hf-');
  project = join(folder, 'project');
  mkdirSync(project);
  // As `npm run package`, with the build on our own Node.js.
  execFileSync(process.execPath, [join(root, 'build/client.ts')]);
  execFileSync(process.execPath, [join(root, 'build/program.ts')]);
  execFileSync('npm', ['pack', '--pack-destination', folder], { cwd: root, env: environment, stdio: 'pipe' });
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  // Without optional packages, which are the native ones, and without running anything of a package.
  execFileSync(
    'npm',
    [
      ...['install', '--omit=optional', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'],
      join(folder, `holdfast-${version}.tgz`),
    ],
    { cwd: project, env: environment, stdio: 'pipe' },
  );
}, 120_000);

afterAll(async () => {
  await host.run('holdfast -stop');
  await host[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

/** Runs a program of the project with the Node.js of the machine. */
function run(file: string): Promise<{ code: number | string | null; stdout: string; stderr: string }> {
  const env = { ...environment, HOME: host.home, PATH: `${join(host.dir, 'client')}${delimiter}${path}` };
  return new Promise((resolve) => {
    execFile('node', [file], { cwd: project, env, timeout: 30_000 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : (error.code ?? error.signal ?? null), stdout, stderr });
    });
  });
}

const page = readFileSync(join(root, 'docs/client.md'), 'utf8');
const examples = [...page.matchAll(/^```js\n(.*?)^```\n+```text\n(.*?)^```/gms)].map(([, code = '', output = '']) => ({
  code,
  output,
}));

test('every example on the page has the output that it is said to have', () => {
  expect(examples).toHaveLength([...page.matchAll(/^```js$/gm)].length);
  expect(examples.length).toBeGreaterThan(4);
});

// In the order of the page: the last one ends the daemon that the first one has started.
test.each(examples.map(({ code, output }, index) => [index + 1, code, output] as const))(
  'example %i of the page prints what the page says',
  async (index, code, output) => {
    const file = `example-${index}.mjs`;
    writeFileSync(join(project, file), code);
    expect(await run(file)).toEqual({ code: 0, stdout: output, stderr: '' });
  },
);

test('a program of CommonJS gets the same, and no native part is there', async () => {
  const code = `
    const { connect, HoldfastError } = require('holdfast/client');
    connect({ socket: '/nowhere' }).catch((error) => console.log(error instanceof HoldfastError, error.kind));
  `;
  writeFileSync(join(project, 'old.cjs'), code);
  expect(await run('old.cjs')).toEqual({ code: 0, stdout: 'true refused\n', stderr: '' });
  expect(existsSync(join(project, 'node_modules/@koromix'))).toBe(false);
});

test.each(['mts', 'cts'])('the types of the package are there for a program in %s', (kind) => {
  const code = `
    import { connect, type Session, GapError } from 'holdfast/client';
    export async function main(): Promise<number> {
      const host = await connect({ ssh: 'host', retry: { firstMs: 1 } });
      const job: Session = await host.spawn({ command: 'true' });
      const { entries } = await host.files.list({ path: '/' });
      host.on('gap', (gap: GapError) => console.log(gap.from, entries[0]?.name));
      const code: number = (await job.exit).code;
      // @ts-expect-error: it is a number
      const wrong: string = code;
      return code + wrong.length;
    }
  `;
  writeFileSync(join(project, `typed.${kind}`), code);
  const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2022', '--types', 'node'];
  const compiler = createRequire(import.meta.url)
    .resolve('typescript/package.json')
    .replace(/package\.json$/, 'bin/tsc');
  const found = execFileSync(
    process.execPath,
    [compiler, ...options, '--typeRoots', join(root, 'node_modules/@types'), `typed.${kind}`],
    { cwd: project },
  );
  expect(String(found)).toBe('');
});

test('the package runs nothing when it is installed', () => {
  const { scripts } = JSON.parse(readFileSync(join(project, 'node_modules/holdfast/package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  expect(Object.keys(scripts).filter((name) => /install|^prepare$|^dependencies$/.test(name))).toEqual([]);
});

describe('the command of the package, in a project that has nothing else', () => {
  let home: string;
  const command = (words: readonly string[], node = dirname(process.execPath)) =>
    runHoldfast(words, {
      program: join(folder, 'other/node_modules/.bin/holdfast'),
      env: cleanEnvironment(home, { PATH: `${node}${delimiter}${path}` }),
    });

  beforeAll(() => {
    const other = join(folder, 'other');
    home = join(folder, 'home');
    mkdirSync(other);
    mkdirSync(home);
    const archive = globSync('holdfast-*.tgz', { cwd: folder })[0] ?? '';
    execFileSync(
      'npm',
      ['install', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', join(folder, archive)],
      { cwd: other, env: environment, stdio: 'pipe' },
    );
  }, 300_000);

  test.each([
    ['claudemesh', ['daemon', 'status'], { code: 1, stdout: 'daemon: not running\n', stderr: '' }],
    ['claudios-agent', ['--version'], { code: 0, stdout: `${version}\n`, stderr: '' }],
  ] as const)('is there as %s too', async (name, words, expected) => {
    const program = join(folder, 'other/node_modules/.bin', name);
    const env = cleanEnvironment(home, { PATH: `${dirname(process.execPath)}${delimiter}${path}` });
    expect(await runHoldfast(words, { program, env })).toMatchObject(expected);
  });

  test('runs a program under a daemon that it starts', async () => {
    const socket = join(home, 'run', 's');
    const ran = await command(['run', '--socket', socket, '--', 'sh', '-c', 'echo out; exit 7']);
    expect(ran).toEqual({ code: 7, signal: null, stdout: 'out\n', stderr: '' });
    expect(await command(['-stop', '-socket', socket])).toMatchObject({ code: 0, stderr: '' });
  });

  test('wants a new enough Node.js, and says which it has found', async () => {
    const old = join(folder, 'old-node');
    mkdirSync(old);
    writeFileSync(join(old, 'node'), '#!/bin/sh\necho v22.17.1\n', { mode: 0o755 });
    expect(await command(['-version'], old)).toEqual({
      ...{ code: 1, signal: null, stdout: '' },
      stderr: 'holdfast: Node.js 22.18 or newer is needed, found on PATH: v22.17.1; put a newer node on PATH\n',
    });
  });
});
