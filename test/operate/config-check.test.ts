/** `holdfast config check`: every line of a file that would not do what its writer meant. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { checkConfiguration } from '../../src/config/configuration-check.ts';
import { optionNames, options } from '../../src/config/options.ts';
import { temporaryFolder } from '../platform/machine.ts';
import { cleanEnvironment, runHoldfast } from '../support/holdfast.ts';
import { expectSchema } from '../support/schemas.ts';

const check = (file: string, ...words: string[]) =>
  runHoldfast(['config', 'check', ...words, file], { env: cleanEnvironment(temporaryFolder()) });

test('a key, a value, a flag, a line and a repetition that do nothing are told, each with its line', async () => {
  const file = join(temporaryFolder(), 'my.conf');
  writeFileSync(
    file,
    '# mine\nwire-profil = next\nslow-reader = \u001b[31m\n\njust words\ndurable = yes\ndurable = no\nsocket = /x\ncli-probe-timeout = 1s\n',
  );
  const { code, stdout, stderr } = await check(file);
  expect({ code, stderr }).toEqual({ code: 1, stderr: '' });
  expect(stdout.split('\n')).toEqual([
    `${file}:2: wire-profil is no key; did you mean wire-profile?`,
    `${file}:3: slow-reader = \\x1b[31m is refused: want pace or drop`,
    `${file}:5: just words: want "key = value", or # before it`,
    `${file}:7: durable was set in line 6 already; this value holds`,
    `${file}:8: socket is a flag of the command line and no key of a file`,
    `${file}:9: cli-probe-timeout has no effect: the bounds of the version run are fixed`,
    '',
  ]);
  const json = expectSchema('config-check', (await check(file, '--json')).stdout);
  expect(json).toMatchObject({ file, keys: ['durable', 'cli-probe-timeout'], problems: { length: 6 } });
});

test('a file with nothing wrong is told so, with what it sets; one that is not there is 3', async () => {
  const folder = temporaryFolder();
  const file = join(folder, 'holdfast.conf');
  writeFileSync(file, 'wire-profile = next\nDetached-TTL = 12h\n');
  expect(await check(file)).toEqual({
    ...{ code: 0, signal: null, stderr: '' },
    stdout: `${file}: 2 value(s), nothing wrong: wire-profile, detached-ttl\n`,
  });
  expect(await check(join(folder, 'other.conf'))).toMatchObject({ code: 3, stdout: '' });
  mkdirSync(join(folder, 'folder'));
  expect(await check(join(folder, 'folder'))).toMatchObject({
    code: 1,
    stdout: expect.stringContaining('not a regular file'),
  });
  expect(await runHoldfast(['config', 'check'], { env: cleanEnvironment(folder) })).toMatchObject({ code: 2 });
});

test('every key of the option table is known to it', () => {
  const file = join(temporaryFolder(), 'all.conf');
  const keys = optionNames.filter((name) => options[name].inFile && !('withoutEffect' in options[name]));
  writeFileSync(file, keys.map((name) => `${name} = \n`).join(''));
  const checked = checkConfiguration(file);
  const texts = checked === 'missing' ? [] : checked.problems.map(({ text }) => text);
  expect(texts.filter((text) => /is no key|is a flag/.test(text))).toEqual([]);
});

test('what holdfast config prints for programs is as its schema says', async () => {
  const shown = await runHoldfast(['config', '--json'], { env: cleanEnvironment(temporaryFolder()) });
  expectSchema('config', shown.stdout);
});
