/** A path that is not UTF-8 is refused with its bytes shown; nothing is ever made under a name that looks like it. */
import { mkdirSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { rawBytes, rawText } from '../../platform/raw-text.ts';
import { inexactPath } from '../../src/base/exact-paths.ts';
import { goQuote } from '../../src/base/printable.ts';
import { readConfigurationFiles } from '../../src/config/configuration-file.ts';
import { decodeBytes } from '../../src/wire/utf8.ts';
import { prepareDaemon } from '../support/daemon.ts';
import { cleanEnvironment, program, type RunResult } from '../support/holdfast.ts';
import { connectTo, textOf } from '../support/host.ts';
import { removeFolder } from '../support/remove-folder.ts';
import { runProgram } from './run-program.ts';

let directory: string;
/** `s\xe9` in the folder of the test. */
let odd: Buffer;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hf'));
  odd = Buffer.concat([Buffer.from(`${directory}/s`), Buffer.of(0xe9)]);
  mkdirSync(odd);
  writeFileSync(Buffer.concat([odd, Buffer.from('/token')]), 'token\n');
});

afterEach(() => removeFolder(directory));

/** Runs words of a shell, in which `$odd` is that folder, `$holdfast` the program and `$good` a folder in UTF-8. */
function runShell(script: string): Promise<RunResult> {
  return runProgram(
    '/bin/sh',
    ['-c', `odd=$1/$(printf 's\\351'); good=$1; holdfast=$2; ${script}`, 'sh', directory, program],
    { env: cleanEnvironment(directory) },
  );
}

const names = (path: string | Buffer): string[] =>
  readdirSync(path, { encoding: 'buffer' })
    .map((name) => name.toString('latin1'))
    .sort();

/** The refusal, and that neither a sibling nor anything in the folder was made. */
async function expectRefusal(script: string, what: string, remedy: string): Promise<void> {
  const before = [names(directory), names(odd)];
  expect(await runShell(script)).toMatchObject({
    code: 1,
    stdout: '',
    stderr: `holdfast: ${what} is not UTF-8, and another file would be used in its place; ${remedy}\n`,
  });
  expect([names(directory), names(odd)]).toEqual(before);
}

const useAnother = 'use a path that is UTF-8';

describe('an argument that is not UTF-8', () => {
  test.each([
    ['-serve -token-file "$good/none" -socket "$odd/rpc.sock"', '/rpc.sock'],
    ['-serve -socket "$good/rpc.sock" -token-file "$odd/token"', '/token'],
    ['-serve -socket "$good/rpc.sock" -token-file "$good/none" -wire-log "$odd/wire"', '/wire'],
    ['-serve -socket "$good/rpc.sock" -token-file "$good/none" -metrics-addr "unix:$odd/metrics"', '/metrics'],
    ['-bridge -socket "$odd/rpc.sock"', '/rpc.sock'],
    ['-stop -socket "$odd/rpc.sock"', '/rpc.sock'],
    ['-install -cli-version 1.0.0 -cli-dir "$odd"', ''],
    ['-install -cli-version 1.0.0 -cli-zst "$odd/cli.zst"', '/cli.zst'],
    ['-wire-profile next -probe-cli "$odd/cli"', '/cli'],
    ['service install --dry-run -socket "$odd/rpc.sock"', '/rpc.sock'],
  ])('is refused: %s', async (words, end) => {
    const prefix = words.includes('unix:') ? 'unix:' : '';
    await expectRefusal(`"$holdfast" ${words}`, `the argument "${prefix}${directory}/s\\xe9${end}"`, useAnother);
  });

  test('is no matter where only the version is asked for', async () => {
    expect(await runShell('"$holdfast" -version -socket "$odd/rpc.sock"')).toMatchObject({ code: 0, stderr: '' });
  });
});

describe('a home folder that is not UTF-8', () => {
  test.each([
    '-serve -token-file "$good/none"',
    '-serve -token-file "$good/none" -socket "$good/rpc.sock"',
    '-bridge',
    '-stop',
    '-install -cli-version 1.0.0',
    'service install',
  ])('is refused: %s', async (words) => {
    const what = `$HOME, "${directory}/s\\xe9",`;
    await expectRefusal(`HOME=$odd "$holdfast" ${words}`, what, 'set HOME to a path that is UTF-8');
  });

  test('is no matter to a client that names its socket', async () => {
    const { stderr } = await runShell('HOME=$odd "$holdfast" -bridge -socket "$good/none.sock"');
    expect(stderr).toBe(
      `claustrum: dial server: dial unix ${directory}/none.sock: connect: no such file or directory\n`,
    );
  });
});

describe('a working directory that is not UTF-8', () => {
  test.each([
    '-serve -token-file token -socket rpc.sock',
    '-serve -token-file "$good/none" -socket "$good/rpc.sock"',
    '-bridge -socket rpc.sock',
    '-stop -socket rpc.sock',
    '-install -cli-version 1.0.0 -cli-dir ccd-cli',
    '-wire-profile next -probe-cli ./cli',
  ])('is refused: %s', async (words) => {
    const what = `the working directory "${directory}/s\\xe9"`;
    await expectRefusal(`cd "$odd" && "$holdfast" ${words}`, what, 'start from a folder whose path is UTF-8');
  });

  test('is no matter to a client that names its socket in full', async () => {
    const { stderr } = await runShell('cd "$odd" && "$holdfast" -bridge -socket "$good/none.sock"');
    expect(stderr).toBe(
      `claustrum: dial server: dial unix ${directory}/none.sock: connect: no such file or directory\n`,
    );
  });
});

describe('an agent whose paths are not UTF-8 is refused, and begins nothing', () => {
  const server = 'SERVER_URL=http://127.0.0.1:9 AGENT_TOKEN=agt_0123456789abcdef';

  test.each(['HOME', 'XDG_STATE_HOME', 'STATE_DIR', 'HOLDFAST_SOCKET', 'ALLOWED_ROOTS', 'CLAUDE_COMMAND'])(
    '$%s',
    async (name) => {
      const script = `${server} ${name}=$odd "$holdfast" agent`;
      await expectRefusal(script, `$${name}, "${directory}/s\\xe9",`, `set ${name} to a path that is UTF-8`);
    },
  );

  test('the working directory', async () => {
    const what = `the working directory "${directory}/s\\xe9"`;
    await expectRefusal(`cd "$odd" && ${server} "$holdfast" agent`, what, 'start from a folder whose path is UTF-8');
  });

  test('its configuration file, by name and by what it says', async () => {
    const words = `${server} "$holdfast" agent --config`;
    await expectRefusal(`${words} "$odd/config.json"`, `the argument "${directory}/s\\xe9/config.json"`, useAnother);
    const config = Buffer.concat([Buffer.from('{"stateDir":"'), odd, Buffer.from('"}')]);
    writeFileSync(join(directory, 'config.json'), config);
    expect(await runShell(`${words} "$good/config.json"`)).toMatchObject({
      code: 1,
      stderr: `[ERROR] Configuration file ${directory}/config.json is not valid JSON: it is not UTF-8\n`,
    });
    expect(names(directory)).toEqual(['config.json', 's\xe9']);
  });

  test('but it tells its version all the same', async () => {
    expect(await runShell('HOME=$odd "$holdfast" agent --version')).toMatchObject({ code: 0, stderr: '' });
  });
});

test.each(['S', 'current', 'next'])(
  'a link in UTF-8 may lead to a folder that is not: %s serves there',
  async (profile) => {
    const served = await runShell(
      `ln -s "$odd" "$good/link"; words="-wire-profile ${profile} -socket $good/link/rpc.sock"
     "$holdfast" -serve -token-file "$good/link/token" $words && ls "$odd/rpc.sock" && "$holdfast" -stop $words`,
    );
    expect(served).toMatchObject({ code: 0, stderr: '' });
    expect(names(odd)).toContain('remote-server.log');
    expect(names(directory).filter((name) => name.startsWith('s'))).toEqual(['s\xe9']);
  },
);

test('a value of a configuration file that is not UTF-8 is refused with its line, and the default holds', () => {
  const line = Buffer.concat([Buffer.from('profile = S\nwire-log = '), odd, Buffer.from('/wire\nlog-max-bytes = 7\n')]);
  writeFileSync(join(directory, 'holdfast.conf'), line);
  const [file] = readConfigurationFiles(directory).filter(({ isThere }) => isThere);
  expect(file?.values).toEqual({ 'log-max-bytes': 7 });
  expect(file?.refusals).toEqual([
    {
      option: 'wire-log',
      text: `holdfast.conf:2: wire-log = "${directory}/s\\xe9/wire" is refused: want text in UTF-8`,
    },
  ]);
});

test('a path with the replacement character itself is a path like any other', async () => {
  await using daemon = await prepareDaemon({ socketName: 's\ufffd.sock' });
  daemon.env.HOME = join(daemon.dir, 'h\ufffd');
  mkdirSync(daemon.env.HOME);
  await daemon.start();
  await using client = await connectTo(daemon);
  const job = await client.spawn({ command: 'sh', args: ['-c', 'echo "$HOME"'] });
  expect(await textOf(job.stdout)).toBe(`${daemon.env.HOME}\n`);
});

test('nothing is asked of the OS about a command line that is plain', async () => {
  const asked = inexactPath({ words: ['-serve'], variables: ['HOME'], workingDirectory: true }, () => {
    throw new Error('asked');
  });
  expect(await asked).toBe(undefined);
});

test.each([
  [Buffer.from('plain ☃ \ufffd'), 'plain ☃ \ufffd', '"plain ☃ \ufffd"'],
  [Buffer.of(0x73, 0xe9), 's\udce9', '"s\\xe9"'],
  // A half of a surrogate pair, an overlong slash, a sequence that is cut short, a byte that never occurs.
  [Buffer.of(0xed, 0xa0, 0x80), '\udced\udca0\udc80', '"\\xed\\xa0\\x80"'],
  [Buffer.of(0xc0, 0xaf), '\udcc0\udcaf', '"\\xc0\\xaf"'],
  [Buffer.of(0xe2, 0x98, 0x61), '\udce2\udc98a', '"\\xe2\\x98a"'],
  [Buffer.of(0xff, 0xf0, 0x9f, 0x98, 0x80), '\udcff😀', '"\\xff😀"'],
])('bytes %# become text that shows each bad one', (bytes, text, shown) => {
  expect(rawText(bytes)).toBe(text);
  // The wire has the same rule.
  expect(decodeBytes(bytes)).toBe(text);
  expect(goQuote(rawText(bytes))).toBe(shown);
  expect(rawBytes(text).equals(bytes)).toBe(true);
});

test('any bytes become text and the same bytes again, as the wire has it', () => {
  // Every place where a long text may be divided, in and around characters of each length.
  const pieces = [
    'a',
    '\xe9',
    '\xc3\xa9',
    '\xe2\x98\x83',
    '\xf0\x9f\x98\x80',
    '\x80\x80\x80\x80\x80',
    '\xf0\x9f\x98',
    '\xed\xb2\x80',
  ];
  let seed = 1;
  for (let round = 0; round < 300; round++) {
    let text = '';
    for (let length = round % 90; length > 0; length--) {
      seed = (seed * 48_271) % 0x7fffffff;
      text += pieces[seed % pieces.length];
    }
    const bytes = Buffer.from(text, 'latin1');
    expect(rawText(bytes)).toBe(decodeBytes(bytes));
    expect(rawBytes(rawText(bytes)).equals(bytes)).toBe(true);
  }
});
