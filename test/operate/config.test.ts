/** `holdfast config`. */
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadClientPlatform } from '../../platform/load.ts';
import { createPlatform } from '../../platform/posix/index.ts';
import { stopTimings, timings } from '../../src/base/timings.ts';
import { optionNames, options } from '../../src/config/options.ts';
import { installTimings } from '../../src/install/timings.ts';
import { runVerb } from '../../src/operate/verbs.ts';
import { temporaryFolder } from '../platform/machine.ts';
import { cleanEnvironment, runHoldfast } from '../support/holdfast.ts';

/** Runs the verb with a folder of configuration files of the test's own. */
async function config(words: readonly string[], files: Readonly<Record<string, string>> = {}) {
  const folder = temporaryFolder();
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(folder, name), text);
  }
  let [output, complaint] = ['', ''];
  const code = await runVerb('config', words, {
    environment: {},
    programName: 'holdfast',
    executableDirectory: folder,
    platform: async () => createPlatform(),
    clientPlatform: () => loadClientPlatform(),
    print: (text) => {
      output += text;
    },
    complain: (text) => {
      complaint += text;
    },
  });
  return { code, output, complaint, folder };
}

const shown = async (words: readonly string[], files?: Readonly<Record<string, string>>) => {
  const { code, output } = await config(['--json', ...words], files);
  expect(code).toBe(0);
  return JSON.parse(output);
};
const settingOf = (found: { settings: { name: string }[] }, name: string) =>
  found.settings.find((setting) => setting.name === name);

test('every setting is shown with its value and where it comes from', async () => {
  const found = await shown(['--', '-keep-children=false', '-log-max-bytes', '5'], {
    'holdfast.conf': 'keep-children = yes\ngit-timeout = 90s\nmetrics-addr = unix:~/m\n',
    'claustrum.conf': 'git-timeout = 1s\nwire-log-max-string = 7\n',
  });
  const names = optionNames.filter((name) => options[name].mode !== 'select');
  expect(found.settings.map(({ name }: { name: string }) => name)).toEqual([...names, 'log level']);
  expect(settingOf(found, 'keep-children')).toEqual({ name: 'keep-children', value: 'false', source: 'flag' });
  expect(settingOf(found, 'log-max-bytes')).toMatchObject({ value: '5', source: 'flag' });
  expect(settingOf(found, 'git-timeout')).toMatchObject({ value: '1m30s', source: 'holdfast.conf' });
  expect(settingOf(found, 'metrics-addr')).toMatchObject({ value: 'unix:~/m', source: 'holdfast.conf' });
  expect(settingOf(found, 'wire-log-max-string')).toMatchObject({ value: '7', source: 'claustrum.conf' });
  expect(settingOf(found, 'wire-profile')).toMatchObject({ value: 'S', source: 'default' });
});

test('a default that depends on the profile names the profile', async () => {
  expect(settingOf(await shown([]), 'git-timeout')).toMatchObject({ value: '1m0s', source: 'profile S' });
  const next = await shown(['--', '-wire-profile', 'next']);
  expect(settingOf(next, 'git-timeout')).toMatchObject({ value: '0', source: 'profile next' });
  expect(next.timers).toContainEqual(expect.objectContaining({ name: 'launcherWait', milliseconds: 12_000 }));
});

test('every timer is shown with what it is for, those of the daemon, of -stop and of -install', async () => {
  const { timers } = await shown([]);
  for (const [prefix, table] of [
    ['', timings],
    ['stop.', stopTimings],
    ['install.', installTimings],
  ] as const) {
    for (const [name, milliseconds] of Object.entries(table)) {
      expect(timers).toContainEqual({
        name: `${prefix}${name.replace(/Ms$/, '')}`,
        milliseconds,
        meaning: expect.stringMatching(/.{10}/),
      });
    }
  }
});

test('the default folder of the versions is shown as it is below the home folder', async () => {
  const home = temporaryFolder();
  const shownHere = async (...flags: string[]) => {
    const { stdout } = await runHoldfast(['config', '--json', '--', ...flags], { env: cleanEnvironment(home) });
    return settingOf(JSON.parse(stdout), 'cli-dir');
  };
  const folder = join(home, '.claude', 'remote', 'ccd-cli');
  expect(await shownHere()).toEqual({ name: 'cli-dir', value: folder, source: 'default' });
  expect(await shownHere('-cli-dir', '/x')).toEqual({ name: 'cli-dir', value: '/x', source: 'flag' });
});

test('both files are named with what became of them, and refused values are told', async () => {
  const { output, folder } = await config([], { 'holdfast.conf': 'durable = perhaps\nmax-extract-bytes = 9\n' });
  expect(output).toContain(`${folder}/holdfast.conf   1 value(s) read, 1 refused`);
  expect(output).toContain(`${folder}/claustrum.conf  not there`);
  expect(output).toMatch(/Warnings:\n {2}holdfast\.conf:1: durable = perhaps is refused: want true/);
  expect(output).toMatch(/^max-extract-bytes +9 +holdfast\.conf$/m);
});

test('passwords and signatures of an address are not shown', async () => {
  const words = ['--', '-cli-url', 'https://me:s3cret@host.example/a/cli.zst?sig=abc&token=t0ken#x'];
  const { output } = await config(words);
  expect(output).toContain('https://[redacted]@host.example/a/cli.zst?[redacted]#x');
  expect(output).not.toMatch(/s3cret|abc|t0ken/);
  expect((await config(['--json', ...words])).output).not.toMatch(/s3cret|abc|t0ken/);
});

test('nothing in a value reaches the terminal as a command', async () => {
  const { output } = await config(['--', '-socket', '/tmp/\u001b]0;x\u0007\n\u202eevil']);
  expect(output).toContain('/tmp/\\x1b]0;x\\x07\\x0a\\u{202e}evil');
  expect(output.replaceAll('\n', '')).not.toMatch(/[\u0000-\u001f\u202e]/);
});

test.each([
  [['--', '-nonsense'], 'holdfast config: flag provided but not defined: -nonsense\n'],
  [['--', '-git-timeout', '5'], 'holdfast config: invalid value "5" for flag -git-timeout: parse error\n'],
  [['--', 'word'], 'holdfast config: want flags after --, as holdfast -serve takes them\n'],
  [['--yaml'], "holdfast config: unknown option '--yaml'\n"],
])('words it does not know (%s) are refused with exit code 2', async (words, complaint) => {
  expect(await config(words)).toMatchObject({ code: 2, output: '', complaint });
});

test('a verb is one only as the first word, and runs without touching anything', async () => {
  const home = temporaryFolder();
  const env = cleanEnvironment(home);
  const run = await runHoldfast(['config'], { env });
  expect(run).toMatchObject({ code: 0, stderr: '' });
  expect(run.stdout).toMatch(new RegExp(`^socket +${home}/\\.claude/remote/rpc\\.sock +default$`, 'm'));
  expect(await runHoldfast(['-serve=false', 'config'], { env })).toMatchObject({
    code: 2,
    stderr: 'claustrum: one of --version/--install/--serve/--bridge/--stop is required\n',
  });
  expect(await runHoldfast(['configure'], { env })).toMatchObject({ code: 2, stdout: '' });
  expect(readdirSync(home)).toEqual([]);
});

test('help lists the verbs, and tells of each how it is used', async () => {
  const env = cleanEnvironment(temporaryFolder());
  const all = await runHoldfast(['help'], { env });
  expect(all).toMatchObject({ code: 0, stderr: '' });
  expect(all.stdout).toMatch(/config[\s\S]*service[\s\S]*help/);
  for (const words of [
    ['help', 'config'],
    ['config', '--help'],
  ]) {
    const one = await runHoldfast(words, { env });
    expect(one).toMatchObject({ code: 0, stderr: '' });
    expect(one.stdout).toContain('--json');
  }
});
