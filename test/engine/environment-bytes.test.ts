/** The environment is bytes: nothing of it is lost between the user's shell and a child (spec process.md §3.3). */
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { temporaryFolder } from '../platform/machine.ts';
import { type DaemonOptions, prepareDaemon, type TestDaemon } from '../support/daemon.ts';
import { startLineWith } from '../support/holdfast.ts';
import { bytesOf, connectTo, start } from '../support/host.ts';
import { installed, testNeeding } from '../support/needs.ts';

/** Entries as text of one character a byte, so that a difference can be read. */
type Entries = readonly string[];

const testWithBytes = testNeeding(installed('python3', 'python3'));
const become = join(import.meta.dirname, '../fixtures/exec-with-environment.py');

/** A daemon that is started with the variables of its `env` and then these entries, whatever they are. */
async function prepareWith(
  more: Entries,
  options: DaemonOptions = {},
  shell: readonly string[] = [],
): Promise<{ daemon: TestDaemon; given: Entries }> {
  const block = join(temporaryFolder(), 'environment');
  const through = ['python3', become, block, ...shell];
  const daemon = await prepareDaemon({ ...options, through });
  const plain = Object.entries(daemon.env).filter(([name]) => !more.some((entry) => entry.startsWith(`${name}=`)));
  const given = [...plain.map(([name, value]) => latin1(`${name}=${value}`)), ...more];
  writeFileSync(block, Buffer.from(given.map((entry) => `${entry}\0`).join(''), 'latin1'));
  return { daemon, given };
}

const latin1 = (text: string): string => Buffer.from(text).toString('latin1');

async function entriesOfChild(daemon: TestDaemon, more: object = {}): Promise<Entries> {
  await using client = await connectTo(daemon);
  const job = await client.spawn({ command: 'cat', args: ['/proc/self/environ'], ...more });
  return entriesOf(await bytesOf(job.stdout));
}

function entriesOf(block: Buffer): Entries {
  return block.toString('latin1').split('\0').slice(0, -1);
}

const withoutPath = (entries: Entries): Entries => entries.filter((entry) => !entry.startsWith('PATH='));

/** What shells cannot keep in a variable, or change. */
const awkward: Entries = [
  'ZZZ=first in order',
  'BASH_FUNC_greet%%=() {  echo "hello"\n}',
  'dotted.name=1',
  'dashed-name=2',
  '1digit=3',
  'IFS=:x',
  'PWD=/not/where/it/is',
  'OLDPWD=nor here',
  'SHLVL=41',
  '_=underscore',
  'PS4=$(id)',
  'V=Jos\xe9',
  'N\xe9=1',
  `UTF8=${latin1('ünï ☃ \u{1f600} \ufffd')}`,
  'MIXED=\xe2\x98\x83\xe2\x98\xff\xed\xa0\x80\x80',
  'TWICE=first',
  'TWICE=second',
  'no equals sign',
  '=no name',
  'LINES=1\n2\n',
  'NODE_OPTIONS=--title=mine',
  'NODE_PATH=/mo\xe9dules',
  'AAA=last in order',
];

for (const profile of ['S', 'current', 'next'] as const) {
  testWithBytes(
    `profile ${profile}: a child has every entry the daemon was started with, byte for byte and in its order`,
    {},
    async () => {
      const { daemon, given } = await prepareWith(awkward, { profile });
      await using _ = daemon;
      await daemon.start();
      const marks = profile === 'next' ? [`CLAUDE_SSH_RUN_DIR=${daemon.runDir}`] : [];
      const expected = [...withoutPath(given), 'CLAUDE_SSH_DAEMON_CHILD=1', ...marks];
      expect(withoutPath(await entriesOfChild(daemon))).toEqual(expected);
    },
  );
}

testWithBytes('a child has no PWD where the daemon was started without one', {}, async () => {
  const { daemon, given } = await prepareWith(awkward.filter((entry) => !entry.startsWith('PWD=')));
  await using _ = daemon;
  await daemon.start();
  expect(withoutPath(await entriesOfChild(daemon))).toEqual([...withoutPath(given), 'CLAUDE_SSH_DAEMON_CHILD=1']);
});

for (const name of ['dash', 'bash', 'busybox', 'ksh', 'zsh']) {
  testNeeding(installed('python3', 'python3'), installed(name, name))(
    `with ${name} as /bin/sh the start script loses nothing either`,
    {},
    async () => {
      // A shell behaves as /bin/sh when that is what it is called.
      const sh = join(temporaryFolder(), 'sh');
      symlinkSync(`/bin/${name}`, sh);
      const { daemon, given } = await prepareWith(awkward, {}, startLineWith(sh));
      await using _ = daemon;
      await daemon.start();
      expect(withoutPath(await entriesOfChild(daemon))).toEqual([...withoutPath(given), 'CLAUDE_SSH_DAEMON_CHILD=1']);
    },
  );
}

testWithBytes('an environment too large for one string reaches a child whole', {}, async () => {
  const large = Array.from({ length: 9 }, (_, number) => `L${number}.x=${String(number).repeat(100_000)}\xe9`);
  const { daemon, given } = await prepareWith(large);
  await using _ = daemon;
  await daemon.start();
  expect(withoutPath(await entriesOfChild(daemon))).toEqual([...withoutPath(given), 'CLAUDE_SSH_DAEMON_CHILD=1']);
});

testWithBytes('a value of the request replaces every entry of that name, and no other', {}, async () => {
  const { daemon } = await prepareWith(['TWICE=first', 'K\xe9PT=1', 'TWICE=second', 'V=Jos\xe9', 'LAST=1']);
  await using _ = daemon;
  await daemon.start();
  const seen = await entriesOfChild(daemon, { env: { TWICE: 'of the request', V: 'José', NEW: '☃' } });
  expect(seen.slice(seen.indexOf('TWICE=of the request'))).toEqual([
    'TWICE=of the request',
    'K\xe9PT=1',
    latin1('V=José'),
    'LAST=1',
    'CLAUDE_SSH_DAEMON_CHILD=1',
    latin1('NEW=☃'),
  ]);
});

testWithBytes('a command is found in a folder of PATH whose name is not UTF-8', {}, async () => {
  const folder = temporaryFolder();
  const odd = Buffer.concat([Buffer.from(`${folder}/s`), Buffer.of(0xe9)]);
  mkdirSync(odd);
  const tool = Buffer.concat([odd, Buffer.from('/tool-of-mine')]);
  writeFileSync(tool, '#!/bin/sh\necho "it runs"\n');
  chmodSync(tool, 0o755);
  const { daemon } = await prepareWith([`PATH=/usr/bin:/bin:${folder}/s\xe9`]);
  await using _ = daemon;
  await daemon.start();
  await using client = await connectTo(daemon);
  const t = await start(client, 't', 'tool-of-mine', []);
  await t.ended();
  expect(t.stdout).toBe('it runs\n');
});
