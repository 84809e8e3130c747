/**
 * Records that do not tell the truth: whatever they say, no process but the very child of a dead daemon gets a signal
 * (faults 10 and 18 of docs/faults.md, threat 3 of docs/security.md).
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { ChildRecord } from '../../../src/run-directory/records/record.ts';
import { encodeRecord } from '../../../src/run-directory/records/record.ts';
import { RunningChild } from '../../platform/running-child.ts';
import { installed, root, testNeeding } from '../../support/needs.ts';
import { waitUntil } from '../../support/wait.ts';
import {
  markers,
  node,
  plainEnvironment,
  platform,
  reap,
  recordOf,
  runDirectory,
  startMarked,
  untilMarked,
  writeRecord,
} from './support.ts';

/** A marked child that any signal of ours would end. */
async function sleeper(folder: string): Promise<RunningChild> {
  const running = startMarked(folder, 'sleep', ['1000']);
  await untilMarked(running);
  return running;
}

const lives = ({ child }: RunningChild): boolean => markers.startOf(child.pid) !== undefined;

test('a record that tells the truth does end its child, so the tests below mean something', async () => {
  const folder = runDirectory();
  const running = await sleeper(folder);
  writeRecord(folder, recordOf(running));
  await reap(folder);
  expect(lives(running)).toBe(false);
});

const otherBoot = node.replace(/^[^/]*/, '00000000-0000-4000-8000-000000000000');

test.each<[what: string, changes: (record: ChildRecord) => Partial<ChildRecord>, reason: RegExp]>([
  ['of another boot', () => ({ node: otherBoot }), /not a child to end \(it was started before this boot\)/],
  ['without boot', () => ({ node: '' }), /not a child to end \(it does not say in which boot it was started\)/],
  [
    'of the process that had the pid one tick earlier',
    ({ start }) => ({ start: String(Number(start) - 1) }),
    /not a child to end \(it did not start at the recorded "\d+": the pid has been reused\)/,
  ],
  [
    'of another program',
    () => ({ argv0: '/usr/bin/agent' }),
    /not a child to end \(it does not run the recorded program "\/usr\/bin\/agent"\)/,
  ],
  [
    'of another script, or of what another launcher was handed',
    () => ({ argv0: '/usr/bin/agent', program: '/opt/agent' }),
    /it does not run the recorded program "\/usr\/bin\/agent" and neither runs nor was handed "\/opt\/agent"/,
  ],
])('a record %s is dropped and nobody is signalled', async (_, changes, reason) => {
  const folder = runDirectory();
  const running = await sleeper(folder);
  const record = recordOf(running);
  writeRecord(folder, { ...record, ...changes(record) });
  const lines = await reap(folder);
  // The summary comes only when a signal was sent or a record stays.
  expect(lines).toEqual([expect.stringMatching(reason)]);
  expect(lines[0]).toMatch(/dropping (?:the record|it), signalling nothing$/);
  expect(lives(running)).toBe(true);
  expect(readdirSync(join(folder, 'children'))).toEqual([]);
});

test.each<[what: string, changes: () => Partial<ChildRecord>, reason: RegExp]>([
  ['of another pid namespace', () => ({ node: `${node.split('/')[0]}/pid:[1]` }), /another pid namespace/],
  ['of another host', () => ({ host: 'machine-id:0123' }), /it belongs to another host, "machine-id:0123"/],
  [
    'whose daemon is alive',
    () => ({ daemonPid: process.pid, daemonStart: markers.startOf(process.pid) ?? '' }),
    /its daemon, pid \d+, is alive/,
  ],
])('a record %s is kept, because somebody may need it, and nobody is signalled', async (_, changes, reason) => {
  const folder = runDirectory();
  const running = await sleeper(folder);
  writeRecord(folder, recordOf(running, changes()));
  const lines = await reap(folder);
  expect(lines[0]).toMatch(reason);
  expect(lines.at(-1)).toMatch(/0 orphaned group\(s\).*0 stale record\(s\) dropped, 1 kept/);
  expect(lives(running)).toBe(true);
  expect(readdirSync(join(folder, 'children'))).toHaveLength(1);
});

test('a pid whose daemon’s own pid was reused does not keep its record', async () => {
  const folder = runDirectory();
  const running = await sleeper(folder);
  writeRecord(folder, recordOf(running, { daemonPid: process.pid, daemonStart: '1' }));
  await reap(folder);
  expect(lives(running)).toBe(false);
});

test('a process of another user is left alone', async () => {
  const folder = runDirectory();
  const running = await sleeper(folder);
  writeRecord(folder, recordOf(running));
  const own = process.geteuid?.() ?? -1;
  const lines = await reap(folder, { markers: { ...markers, user: own + 1 } });
  expect(lines[0]).toMatch(`not a child to end (it runs as user ${own}, not as user ${own + 1})`);
  expect(lives(running)).toBe(true);
});

testNeeding(root, installed('setpriv', 'util-linux'))(
  'a process that really runs as another user is left alone',
  {},
  async () => {
    const folder = runDirectory();
    const other = ['--reuid=65534', '--regid=65534', '--clear-groups'];
    const running = startMarked(folder, 'setpriv', [...other, 'sh', '-c', 'echo ready; exec sleep 1000']);
    await running.line();
    writeRecord(folder, recordOf(running, { argv0: 'sleep' }));
    expect((await reap(folder))[0]).toMatch(/is not a child to end \(it runs as user 65534, not as user 0\)/);
    expect(lives(running)).toBe(true);
  },
);

test('a thread of a marked child is no child', async () => {
  const folder = runDirectory();
  const script = 'console.log("ready"); setInterval(() => {}, 1000)';
  const running = startMarked(folder, process.execPath, ['-e', script]);
  await running.line();
  const { pid } = running.child;
  const thread =
    readdirSync(`/proc/${pid}/task`)
      .map(Number)
      .find((id) => id !== pid) ?? 0;
  const start = execFileSync('sed', ['s/.*) //', `/proc/${pid}/task/${thread}/stat`])
    .toString()
    .split(' ')[19];
  writeRecord(folder, recordOf(running, { pid: thread, start: start ?? '' }));
  expect((await reap(folder))[0]).toMatch(`pid ${thread} is not a child to end (there is no such process)`);
  expect(lives(running)).toBe(true);
});

test('a zombie is no child', async () => {
  const folder = runDirectory();
  const running = await sleeper(folder);
  writeRecord(folder, recordOf(running));
  running.child.signal('KILL', 'child');
  await running.ended();
  expect((await reap(folder))[0]).toMatch('is not a child to end (there is no such process)');
});

test('a process that leads no group is left alone', async () => {
  const folder = runDirectory();
  const script = "(exec sh -c 'CLAUDE_SSH_CHILD=x; echo $$; exec sleep 1000') & wait";
  const parent = startMarked(folder, 'sh', ['-c', script]);
  const pid = Number(await parent.line());
  const record = recordOf(parent, { pid, argv0: 'sleep', start: markers.startOf(pid) ?? '' });
  writeRecord(folder, record);
  expect((await reap(folder))[0]).toMatch('is not a child to end (it does not lead its own process group)');
  expect(markers.startOf(pid)).toBeDefined();
});

/** Starts `sleep` as a group leader with these variables and no marks of ours. */
async function innocent(variables: readonly [string, string][]): Promise<RunningChild> {
  const running = new RunningChild(platform, {
    command: 'sleep',
    args: ['1000'],
    env: [...plainEnvironment(), ...variables],
  });
  // The kernel shows words and environment an instant after the start has returned.
  const group = markers.holdGroup(running.child.pid);
  await waitUntil(() => group.leader()?.variable('PATH') !== undefined || undefined, 'the environment to be seen');
  group.release();
  return running;
}

test.each<[what: string, variables: (folder: string) => [string, string][], reason: RegExp]>([
  ['no marks', () => [], /it was not started by a daemon of this run dir: no CLAUDE_SSH_RUN_DIR names it/],
  [
    'the mark of another run directory',
    () => [['CLAUDE_SSH_RUN_DIR', '/elsewhere']],
    /it belongs to a daemon of another run dir: its CLAUDE_SSH_RUN_DIR names a different one/,
  ],
  [
    'no mark of its own',
    (folder) => [['CLAUDE_SSH_RUN_DIR', folder]],
    /it is not marked as a child itself: no CLAUDE_SSH_CHILD says "\d+:\d+"/,
  ],
  [
    'the inherited mark of a child',
    (folder) => [
      ['CLAUDE_SSH_RUN_DIR', folder],
      ['CLAUDE_SSH_CHILD', '1234:5678'],
    ],
    /it was not started by a daemon itself: its CLAUDE_SSH_CHILD does not name its own pid and start \(something a child started\)/,
  ],
])('a process with %s is left alone', async (_, variables, reason) => {
  const folder = runDirectory();
  const running = await innocent(variables(folder));
  writeRecord(folder, recordOf(running, { argv0: 'sleep' }));
  expect((await reap(folder))[0]).toMatch(reason);
  expect(lives(running)).toBe(true);
});

test('files that are no records are dropped unread, and what is no file of ours stays', async () => {
  const folder = runDirectory();
  const running = await sleeper(folder);
  const whole = encodeRecord(recordOf(running));
  const children = join(folder, 'children');
  const { pid } = running.child;
  const secret = join(folder, 'precious');
  writeFileSync(secret, whole);
  const texts: Record<string, string> = {
    'empty.json': '',
    'garbage.json': '\u0000\u0001\u0002[',
    'array.json': '[]',
    'null.json': 'null',
    '1.json': whole.replace(`"pid":${pid}`, '"pid":1'),
    '0.json': whole.replace(`"pid":${pid}`, '"pid":0'),
    '-1.json': whole.replace(`"pid":${pid}`, '"pid":-1'),
    [`${pid + 1}.json`]: whole,
    [`-${pid}.json`]: whole.replace(`"pid":${pid}`, `"pid":-${pid}`),
    [`${pid}.5.json`]: whole.replace(`"pid":${pid}`, `"pid":${pid}.5`),
    'text.json': whole.replace(`"pid":${pid}`, `"pid":"${pid}"`),
  };
  for (const [name, text] of Object.entries(texts)) {
    writeFileSync(join(children, name), text);
  }
  writeFileSync(join(children, `${pid}.json`), whole + ' '.repeat(4096));
  writeFileSync(join(children, 'huge.json'), '');
  truncateSync(join(children, 'huge.json'), 2 ** 40);
  symlinkSync(secret, join(children, 'link.json'));
  execFileSync('mkfifo', [join(children, 'fifo.json')]);
  mkdirSync(join(children, 'folder.json'));
  writeFileSync(join(children, 'notes.txt'), 'mine');

  const lines = await reap(folder);
  expect(lives(running)).toBe(true);
  expect(lines.at(-1)).toMatch(/0 orphaned group\(s\).*15 stale record\(s\) dropped, 1 kept/);
  const told = lines.slice(0, -1);
  expect(told.filter((line) => /is no record of a child; dropping it/.test(line))).toHaveLength(15);
  expect(told.filter((line) => !line.includes('dropping it'))).toEqual([
    expect.stringContaining('record folder.json: it is no record of a child; it cannot be removed, signalling nothing'),
  ]);
  expect(readdirSync(children).sort()).toEqual(['folder.json', 'notes.txt']);
  expect(existsSync(secret)).toBe(true);
});
