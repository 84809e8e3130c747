import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readConfigurationFiles } from '../../src/config/configuration-file.ts';
import { commit } from '../../src/config/option-values.ts';
import { type Option, type OptionValues, optionNames, options } from '../../src/config/options.ts';
import { mergeSettings, type Settings, withDefaultSocket } from '../../src/config/settings.ts';
import { defaultSocketPath } from '../../src/run-directory/names.ts';
import { defaultProfile, profileNamed } from '../../src/wire/profiles.ts';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hf'));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

function settings(files: { holdfast?: string; claustrum?: string }, given: Partial<OptionValues> = {}): Settings {
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(directory, `${name}.conf`), text);
  }
  return mergeSettings(given, readConfigurationFiles(directory));
}

function texts({ warnings }: Settings): string[] {
  return warnings.map(({ text }) => text);
}

describe('without flags and files', () => {
  test('every setting has the default of the contract, and nothing is warned about', () => {
    expect(settings({})).toMatchObject({
      profile: { name: 'S' },
      tokenFile: undefined,
      tokenFd: undefined,
      durable: false,
      metricsAddress: undefined,
      keepChildren: false,
      listenPipe: false,
      wireLogPath: undefined,
      wireLogMaxString: 512,
      maxExtractBytes: 0,
      gitTimeoutMs: 60_000,
      filesReadRegularOnly: false,
      versionOverride: undefined,
      cliDirectory: undefined,
      cliKeep: 3,
      maxCliBytes: 0,
      cliDownloadTimeoutMs: 0,
      warnings: [],
    });
  });

  test('a git call has a limit in profile S only', () => {
    expect(settings({ holdfast: 'wire-profile = current' }).gitTimeoutMs).toBe(0);
    expect(settings({ holdfast: 'wire-profile = NEXT' }).gitTimeoutMs).toBe(0);
    expect(settings({ holdfast: 'wire-profile = next\ngit-timeout = 5s' }).gitTimeoutMs).toBe(5000);
    expect(settings({ holdfast: 'git-timeout = 0' }).gitTimeoutMs).toBe(0);
  });

  test('the socket lies below the home folder, and one that is given stays as it is', () => {
    const found = withDefaultSocket(settings({}), defaultSocketPath('/home/u'));
    expect(found.socketPath).toBe('/home/u/.claude/remote/rpc.sock');
    expect(found.effective.socket).toEqual({ value: '/home/u/.claude/remote/rpc.sock', source: 'default' });
    expect(withDefaultSocket(settings({}, { socket: 's' }), defaultSocketPath('/home/u')).socketPath).toBe('s');
    expect(withDefaultSocket(settings({}, { socket: '' }), defaultSocketPath('/home/u')).socketPath).toBe('');
  });
});

describe('precedence', () => {
  test('a flag beats holdfast.conf, which beats claustrum.conf, key by key, and each value knows its source', () => {
    const found = settings(
      {
        holdfast: 'metrics-addr = holdfast:1\nwire-log = /holdfast',
        claustrum: 'metrics-addr = claustrum:1\nwire-log = /claustrum\nmax-extract-bytes = 7',
      },
      { 'metrics-addr': 'flag:1' },
    );
    expect(found).toMatchObject({ metricsAddress: 'flag:1', wireLogPath: '/holdfast', maxExtractBytes: 7 });
    expect(found.effective['metrics-addr'].source).toBe('flag');
    expect(found.effective['wire-log'].source).toBe('holdfast.conf');
    expect(found.effective['max-extract-bytes'].source).toBe('claustrum.conf');
    expect(found.effective.durable.source).toBe('default');
  });

  test('a flag with its default value beats the files', () => {
    const found = settings(
      { holdfast: 'keep-children = on\nwire-log = /l\nmax-extract-bytes = 5\ndurable = on\ngit-timeout = 3s' },
      { 'keep-children': false, 'wire-log': '', 'max-extract-bytes': 0, 'git-timeout': 0 },
    );
    expect(found).toMatchObject({
      keepChildren: false,
      wireLogPath: undefined,
      maxExtractBytes: 0,
      durable: true,
      gitTimeoutMs: 0,
    });
  });

  test('a value that holdfast.conf spells wrongly is taken from claustrum.conf', () => {
    const found = settings({ holdfast: 'git-timeout = soon', claustrum: 'git-timeout = 9s' });
    expect(found.gitTimeoutMs).toBe(9000);
    expect(texts(found)).toEqual([
      'holdfast.conf:1: git-timeout = soon is refused: want a duration such as 300ms, 30s, 1h30m, or 0',
    ]);
  });

  test('of a key given twice the last valid value wins', () => {
    const found = settings({ holdfast: 'max-extract-bytes = 1\nmax-extract-bytes = 2\nmax-extract-bytes = two' });
    expect(found.maxExtractBytes).toBe(2);
    expect(texts(found)).toHaveLength(1);
  });
});

describe('a configuration file', () => {
  test('has spaces, comments, unknown keys and other lines wherever it likes', () => {
    const found = settings({
      holdfast: [
        '\ufeff# comment = on',
        '   # durable = on',
        'a line without sense',
        'unknown = 1',
        'toString = 1',
        'socket = /not/a/key',
        '\t KEEP-children\t=  YES \r',
        'metrics-addr=127.0.0.1:9 # port',
        '',
      ].join('\n'),
    });
    expect(found).toMatchObject({ keepChildren: true, metricsAddress: '127.0.0.1:9 # port', durable: false });
    expect(found.effective.socket.source).toBe('default');
    expect(found.warnings).toEqual([]);
  });

  test.each(['true', '1', 'yes', 'on', 'TRUE', 'On'])('reads %s as yes', (word) => {
    expect(settings({ holdfast: `durable = ${word}` }).durable).toBe(true);
  });

  test.each(['false', '0', 'no', 'off', 'OFF'])('reads %s as no', (word) => {
    expect(settings({ holdfast: `durable = ${word}`, claustrum: 'durable = on' }).durable).toBe(false);
  });

  test.each([
    ['durable', 't'],
    ['durable', ''],
    ['max-extract-bytes', '512MiB'],
    ['max-extract-bytes', '-1'],
    ['max-extract-bytes', '+1'],
    ['max-extract-bytes', '9223372036854775808'],
    ['wire-log-max-string', 'all'],
    ['git-timeout', '-1s'],
    ['git-timeout', '60'],
    ['metrics-addr', 'höst:1'],
    ['wire-log', 'a\u0000b'],
    ['wire-profile', 'N'],
  ])('refuses %s = %j, names it in one line and leaves the default', (key, word) => {
    const found = settings({ claustrum: `# first\n${key} = ${word}\n` });
    expect(texts(found)).toHaveLength(1);
    expect(texts(found)[0]).toContain(`claustrum.conf:2: ${key} = `);
    expect(found).toEqual({ ...settings({ claustrum: '' }), warnings: found.warnings });
  });

  test('names a commit for -version in lower case, or is refused', () => {
    const commit = 'ABCDEF0123456789abcdef0123456789ABCDEF01';
    expect(settings({ claustrum: `version-override = ${commit}` }).versionOverride).toBe(commit.toLowerCase());
    expect(settings({ holdfast: `version-override = ${'0'.repeat(64)}` }).versionOverride).toBe('0'.repeat(64));
    const refused = settings({ holdfast: `version-override = ${'0'.repeat(41)}`, claustrum: '' });
    expect(refused.versionOverride).toBe(undefined);
    expect(refused.warnings).toMatchObject([{ mode: 'version' }]);
  });

  test('cannot forge lines or colours in the warning about it', () => {
    const found = settings({ holdfast: 'durable = \u001b]0;x\u0007\u202e' });
    expect(texts(found)[0]).toContain('durable = \\x1b]0;x\\x07\\u{202e} is refused');
  });
});

describe('a file that cannot be used is named and leaves the start alone:', () => {
  const path = () => join(directory, 'holdfast.conf');

  test.each<[string, () => void, RegExp]>([
    ['a link', () => symlinkSync('elsewhere', path()), /holdfast\.conf is ignored: it is not a regular file/],
    ['a folder', () => mkdirSync(path()), /not a regular file/],
    ['a FIFO nobody writes to', () => execFileSync('mkfifo', [path()]), /not a regular file/],
    ['more than 64 KiB', () => writeFileSync(path(), `durable = on\n${'#'.repeat(65_536)}`), /limit of 65536 bytes/],
  ])('%s', (_what, make, message) => {
    make();
    const found = settings({ claustrum: 'keep-children = on' });
    expect(found).toMatchObject({ durable: false, keepChildren: true });
    expect(found.warnings).toMatchObject([{ mode: 'all', text: expect.stringMatching(message) }]);
  });

  test('exactly 64 KiB are read', () => {
    writeFileSync(path(), 'durable = on\n'.padEnd(65_536, '#'));
    expect(settings({}).durable).toBe(true);
  });

  test('one that cannot even be looked at', () => {
    symlinkSync('loop', join(directory, 'loop'));
    const found = mergeSettings({}, readConfigurationFiles(join(directory, 'loop')));
    expect(found).toMatchObject({ durable: false, warnings: [{ mode: 'all' }, { mode: 'all' }] });
    expect(texts(found)[0]).toContain('ELOOP');
  });
});

describe('limits', () => {
  test('below zero on the command line are off, with one line that says so', () => {
    const given = { 'max-extract-bytes': -5, 'git-timeout': -1000, 'max-cli-bytes': -1, 'cli-keep': -1 };
    const found = settings({}, { ...given, 'unseen-retention': -1000 });
    expect(found).toMatchObject({ maxExtractBytes: 0, gitTimeoutMs: 0, maxCliBytes: 0, cliKeep: -1 });
    expect(found.unseenRetentionMs).toBe(0);
    expect(found.warnings).toEqual([
      { mode: 'serve', text: '-unseen-retention is negative and counts as 0 (off)' },
      { mode: 'serve', text: '-max-extract-bytes is negative and counts as 0 (off)' },
      { mode: 'serve', text: '-git-timeout is negative and counts as 0 (off)' },
      { mode: 'install', text: '-max-cli-bytes is negative and counts as 0 (off)' },
    ]);
  });

  test('longer than a timer can hold do not fire at once, and tiny ones are not off', () => {
    expect(settings({}, { 'git-timeout': 3_600_000 * 1000 }).gitTimeoutMs).toBe(2 ** 31 - 1);
    expect(settings({}, { 'git-timeout': 0.000001 }).gitTimeoutMs).toBe(1);
  });
});

test('a flag without effect is told once, wherever it comes from', () => {
  const text = '-cli-probe-timeout has no effect: the bounds of the version run are fixed';
  expect(settings({}, { 'cli-probe-timeout': 1 }).warnings).toEqual([{ mode: 'install', text }]);
  expect(settings({ holdfast: 'cli-probe-timeout = 1s' }).warnings).toEqual([{ mode: 'install', text }]);
});

test('a token descriptor below zero is none', () => {
  expect(settings({}, { 'token-fd': -7 }).tokenFd).toBe(undefined);
  expect(settings({}, { 'token-fd': 0 }).tokenFd).toBe(0);
});

test('the profile of a flag beats that of a file', () => {
  const next = profileNamed('next');
  expect(settings({ holdfast: 'wire-profile = next' }).profile).toBe(next);
  expect(settings({ holdfast: 'wire-profile = next' }, { 'wire-profile': defaultProfile }).profile).toBe(
    defaultProfile,
  );
});

describe('the way from an option to the program', () => {
  const words: Record<string, string> = {
    '': 'true',
    n: '77',
    duration: '77s',
    text: '/some/text',
    'host:port': 'localhost:77',
    'S|current|next|latest': 'next',
    'pace|drop': 'drop',
  };
  const obeyed = optionNames.filter((name) => {
    const { mode, withoutEffect, kind }: Option<unknown> = options[name];
    return withoutEffect === undefined && (mode !== 'select' || kind.placeholder !== '');
  });

  test.each(obeyed)('%s changes a setting', (name) => {
    const { kind }: Option<unknown> = options[name];
    const word = kind === commit ? 'c'.repeat(40) : words[kind.placeholder];
    const value = kind.fromCommandLine(word ?? '');
    expect(value).toBeDefined();
    const plain = mergeSettings({}, []);
    const changed = mergeSettings({ [name]: value }, []);
    const different = (Object.keys(plain) as (keyof Settings)[]).filter(
      (key) => key !== 'effective' && key !== 'warnings' && plain[key] !== changed[key],
    );
    // The profile decides about the limit of a git call as well.
    expect(different.filter((key) => key !== 'gitTimeoutMs' || name === 'git-timeout')).toHaveLength(1);
  });
});
