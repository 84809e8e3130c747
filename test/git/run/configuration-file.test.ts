/** Our reader of configuration files is held to git's own, because what it misses or adds would change replies. */
import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { allowedSettings } from '../../../src/git/run/allowed-settings.ts';
import { parseConfiguration, type Setting, writeConfiguration } from '../../../src/git/run/configuration-file.ts';
import '../support.ts';

const limits = { settings: 10_000, parts: 250_000, nameBytes: 4_194_304 };

function byGit(bytes: Buffer): string {
  const listed = spawnSync('git', ['config', '--file', '-', '--list', '-z'], {
    input: bytes,
    env: { ...process.env, GIT_DIR: '/dev/null', LC_ALL: 'C' },
  });
  return listed.status === 0
    ? listed.stdout.toString('latin1')
    : `bad line ${/bad config line (\d+)/.exec(listed.stderr.toString())?.[1]}`;
}

function byUs(bytes: Buffer): string {
  const parsed = parseConfiguration(bytes, limits);
  if ('settings' in parsed) {
    return parsed.settings.map(({ key, value }) => `${key}${value === undefined ? '' : `\n${value}`}\0`).join('');
  }
  return 'badLine' in parsed ? `bad line ${parsed.badLine}` : `too many ${parsed.tooMany}`;
}

/** Numbers that look random and are the same in every run. */
function* numbers(seed: number): Generator<number> {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    yield state / 2 ** 32;
  }
}

const pieces = [
  ...['[', ']', '"', '\\', '\n', ' ', '=', '#', ';', '.', '-', '1', '\r\n', '\n\n', '\u000b', '\u00ff', '\0'],
  ...['a', 'B', 'core', 'x = y', '[a "b"]\n', '[a.b]\n', '[a]\n', 'n', 'k', '\\n', '\\"', '\u00ef\u00bb\u00bf'],
];

test('a file reads as git reads it, to the line in which git gives up', () => {
  const random = numbers(7);
  const next = () => random.next().value as number;
  for (let round = 0; round < 400; round++) {
    let text = next() < 0.6 ? '[s]\n' : '';
    for (let left = Math.floor(next() * 14); left > 0; left--) {
      text += pieces[Math.floor(next() * pieces.length)];
    }
    const bytes = Buffer.from(text, 'latin1');
    expect(byUs(bytes), JSON.stringify(text)).toBe(byGit(bytes));
  }
});

test('what is written reads back the same, whatever is in a name or a value', () => {
  const settings: Setting[] = [
    { key: 'core.a', value: ' leading, trailing and "quoted" \\ ' },
    { key: 'core.b', value: 'two\nlines\tand # no ; comment' },
    { key: 'core.c', value: undefined },
    { key: 'core.d', value: '' },
    { key: 'branch.a.b "c\\d.remote', value: '\u00ff\u0080\b' },
    { key: 'branch.a.b "c\\d.merge', value: 'refs/heads/x' },
    { key: 'core.a', value: 'again' },
  ];
  const bytes = Buffer.from(writeConfiguration(settings), 'latin1');
  expect(parseConfiguration(bytes, limits)).toEqual({ settings });
  expect(byGit(bytes)).toBe(byUs(bytes));
});

describe('a file that would take long is not read to its end', () => {
  test.each([
    ['settings', `[a]\n${'b\n'.repeat(10_001)}`],
    ['nameBytes', `[a "${'x'.repeat(1_000_000)}"]\n${'b\n'.repeat(5)}`],
    ['parts', '#\n'.repeat(250_000)],
    ['parts', `[a]\nb = ${'"" '.repeat(300_000)}`],
  ])('too many %s', (limit, text) => {
    expect(parseConfiguration(Buffer.from(text), limits)).toEqual({ tooMany: limit });
  });
});

test('nothing that starts a program or names another file gets through', () => {
  const never = [
    ...['core.sshcommand', 'core.askpass', 'core.hookspath', 'core.fsmonitor', 'core.pager', 'core.editor'],
    ...['core.attributesfile', 'core.excludesfile', 'core.worktree', 'core.gitproxy', 'core.alternaterefscommand'],
    ...['include.path', 'includeif.gitdir:/.path', 'alias.status', 'trace2.eventtarget', 'hook.x.command'],
    ...['filter.x.clean', 'filter.x.process', 'diff.x.textconv', 'diff.external', 'merge.x.driver', 'url.x.insteadof'],
    ...['remote.x.uploadpack', 'remote.x.receivepack', 'remote.x.vcs', 'remote.x.proxy', 'http.cookiefile'],
    ...['http.savecookies', 'credential.helper', 'protocol.ext.allow', 'gpg.program', 'sequence.editor'],
    ...['submodule.x.update', 'uploadpack.packobjectshook', 'extensions.worktreeconfig', 'safe.directory'],
    ...['credential.https://x.helper', 'interactive.difffilter', 'init.templatedir', 'sendemail.smtpserver'],
  ].map((key): Setting => ({ key, value: 'x' }));
  const refs: Setting = { key: 'extensions.refstorage', value: 'files:///elsewhere' };
  expect(allowedSettings([...never, refs], { mayFetch: true })).toEqual([]);
  const promisor: Setting[] = [
    { key: 'extensions.partialclone', value: 'origin' },
    { key: 'remote.origin.promisor', value: 'true' },
  ];
  expect(allowedSettings(promisor, { mayFetch: false })).toEqual([]);
  expect(allowedSettings(promisor, { mayFetch: true })).toEqual(promisor);
});
