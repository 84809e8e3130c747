import { existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../../platform/machine.ts';
import type { RunningChild } from '../../platform/running-child.ts';
import { fixture } from '../../support/fixtures.ts';
import { processFacts } from '../../support/processes.ts';
import { waitUntil } from '../../support/wait.ts';
import { markers, reap, recordOf, runDirectory, startMarked, untilMarked, writeRecord } from './support.ts';

const quick = { reapTermMs: 200, reapKillMs: 5_000, reapPollMs: 10, reapSecondLookMs: 10 };
const instance = 'a'.repeat(32);

test('a child of a dead daemon is asked to end and its record goes', async () => {
  const folder = runDirectory();
  const running = startMarked(folder, 'sleep', ['1000']);
  await untilMarked(running);
  writeRecord(folder, recordOf(running));
  const { pid } = running.child;
  expect(await reap(folder)).toEqual([
    `INFO  [process.Registry] ending orphaned process group ${pid} recorded by daemon instance "${instance}" (pid ${2 ** 30}): SIGTERM`,
    "INFO  [daemon] serve: predecessor's children — 1 orphaned group(s): 1 ended on SIGTERM, 0 on SIGKILL, 0 survived; 0 stale record(s) dropped, 0 kept",
  ]);
  expect(await running.over()).toEqual({ code: -1, signal: 'SIGTERM' });
  expect(readdirSync(join(folder, 'children'))).toEqual([]);
});

test('a child that ignores SIGTERM is killed after the grace', async () => {
  const folder = runDirectory();
  const running = startMarked(folder, ...fixture('ignore-term.sh'));
  await running.line();
  await untilMarked(running);
  writeRecord(folder, recordOf(running));
  const lines = await reap(folder, { timings: quick });
  expect(lines[1]).toBe(`WARN  [process.Registry] group ${running.child.pid} outlived SIGTERM for 0.2s: SIGKILL`);
  expect(lines[2]).toMatch(/1 orphaned group\(s\): 0 ended on SIGTERM, 1 on SIGKILL, 0 survived/);
  expect(await running.over()).toEqual({ code: -1, signal: 'SIGKILL' });
});

test('a member of the group that outlives its leader is ended too', async () => {
  const folder = runDirectory();
  const script = '(trap "" TERM; echo $(exec sh -c "echo \\$PPID"); exec sleep 1000) & exec sleep 1001';
  const running = startMarked(folder, 'sh', ['-c', script]);
  const member = Number(await running.line());
  await waitUntil(() => markers.holdGroup(running.child.pid).leader()?.words[0] === 'sleep', 'the leader to be sleep');
  writeRecord(folder, recordOf(running, { argv0: 'sleep' }));
  const lines = await reap(folder, { timings: quick });
  expect(lines.at(-1)).toMatch(/0 ended on SIGTERM, 1 on SIGKILL, 0 survived/);
  await waitUntil(() => ['Z', undefined].includes(processFacts(member)?.state) || undefined, 'the member to end');
  expect((await running.over()).signal).toBe('SIGTERM');
});

test('a script is known by its file, because its name is the interpreter’s', async () => {
  const folder = runDirectory();
  const file = join(temporaryFolder(), 'agent');
  writeFileSync(file, '#!/usr/bin/env sh\necho ready\nwhile :; do sleep 0.05; done\n', { mode: 0o755 });
  const running = startMarked(folder, file, ['--flag']);
  await running.line();
  const record = recordOf(running);
  expect(record).toMatchObject({ argv0: file, program: file });
  writeRecord(folder, record);
  expect((await reap(folder)).at(-1)).toMatch(/1 ended on SIGTERM/);
  await running.ended();
});

test('a group that stops being the recorded one while it is being ended gets nothing more', async () => {
  const folder = runDirectory();
  // Becomes another program when it is asked to end.
  const running = startMarked(folder, 'sh', [
    '-c',
    'trap "exec sleep 1000" TERM; echo ready; while :; do sleep 0.05; done',
  ]);
  await running.line();
  await untilMarked(running);
  writeRecord(folder, recordOf(running));
  const lines = await reap(folder, { timings: { ...quick, reapTermMs: 5_000 } });
  const { pid } = running.child;
  expect(lines[1]).toMatch(`group ${pid} no longer verifies (it does not run the recorded program`);
  expect(lines[2]).toMatch(/0 ended on SIGTERM, 0 on SIGKILL, 1 survived/);
  expect(markers.startOf(pid)).toBeDefined();
});

function startRecorded(folder: string, count: number): Promise<RunningChild[]> {
  return Promise.all(
    Array.from({ length: count }, async () => {
      const running = startMarked(folder, 'sleep', ['1000']);
      await untilMarked(running);
      writeRecord(folder, recordOf(running));
      return running;
    }),
  );
}

test('at most 64 groups are ended in one start; the others keep their records', async () => {
  const folder = runDirectory();
  const all = await startRecorded(folder, 66);
  const lines = await reap(folder);
  expect(lines.at(-1)).toMatch(/64 orphaned group\(s\): 64 ended on SIGTERM.* 0 stale record\(s\) dropped, 2 kept/);
  expect(lines).toContain(
    `WARN  [process.Registry] 2 more orphaned group(s) recorded in ${folder}/children than the 64 one start ends; leaving those for the next start`,
  );
  expect(readdirSync(join(folder, 'children'))).toHaveLength(2);
  expect(all.filter(({ child }) => markers.startOf(child.pid) !== undefined)).toHaveLength(2);
  expect((await reap(folder)).at(-1)).toMatch(/2 orphaned group\(s\): 2 ended on SIGTERM/);
});

test('of a keeper that has died no child is left to the next start, however many there are and whatever lies between', async () => {
  const folder = runDirectory();
  const all = await startRecorded(folder, 66);
  for (let pid = 2 ** 29; pid < 2 ** 29 + 130; pid++) {
    writeFileSync(join(folder, 'children', `${pid}.json`), '{}');
  }
  const lines = await reap(folder, { rounds: 'all' });
  expect(all.filter(({ child }) => markers.startOf(child.pid) !== undefined)).toEqual([]);
  expect(readdirSync(join(folder, 'children'))).toEqual([]);
  expect(lines).toContain(
    `WARN  [process.Registry] more than 128 records in ${folder}/children; leaving the rest for the next round`,
  );
});

test('at most 128 records are looked at in one start', async () => {
  const folder = runDirectory();
  for (let pid = 2 ** 29; pid < 2 ** 29 + 130; pid++) {
    writeFileSync(join(folder, 'children', `${pid}.json`), '{}');
  }
  const lines = await reap(folder);
  expect(lines[0]).toBe(
    `WARN  [process.Registry] more than 128 records in ${folder}/children; leaving the rest for the next start`,
  );
  expect(lines).toHaveLength(129);
  expect(readdirSync(join(folder, 'children'))).toHaveLength(2);
});

test('a run directory without records costs no line', async () => {
  const folder = runDirectory();
  expect(await reap(folder)).toEqual([]);
  rmSync(join(folder, 'children'), { recursive: true });
  expect(await reap(folder)).toEqual([]);
  expect(existsSync(join(folder, 'children'))).toBe(false);
});

test.each(['file', 'link'])('a %s in place of the folder of records is left alone', async (kind) => {
  const folder = temporaryFolder();
  const elsewhere = join(folder, 'elsewhere');
  mkdirSync(elsewhere);
  writeFileSync(join(elsewhere, `${2 ** 29}.json`), '{}');
  if (kind === 'file') {
    writeFileSync(join(folder, 'children'), 'mine');
  } else {
    symlinkSync(elsewhere, join(folder, 'children'));
  }
  expect(await reap(folder)).toEqual([
    `ERROR [process.Registry] ${folder}/children is not a directory; reaping nothing`,
  ]);
  expect(readdirSync(elsewhere)).toEqual([`${2 ** 29}.json`]);
});

test('what a daemon had half written when it died is cleared away', async () => {
  const folder = runDirectory();
  writeFileSync(join(folder, 'children', '.rec-7.json.0123456789ab'), '{"pid":7');
  expect(await reap(folder)).toEqual([]);
  expect(readdirSync(join(folder, 'children'))).toEqual([]);
});
