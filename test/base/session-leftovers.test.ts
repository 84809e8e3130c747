/** What carries the mark of a session is ended: all of it, each process once, and nothing that is somebody else's by now. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { ChildMarkers } from '../../platform/child-markers.ts';
import { loadPlatform } from '../../platform/load.ts';
import { endLeftovers, type LeftoverOptions } from '../../src/base/session-leftovers.ts';
import {
  findMarked,
  isRunning,
  type ProcessFacts,
  processFacts,
  signalProcess,
  untilEnded,
} from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';

const platform = await loadPlatform();
const markers = platform.childMarkers as ChildMarkers;
const options: LeftoverOptions = {
  ...{ platform, graceMs: 10_000, killMs: 10_000, pollMs: 10 },
};

/** A folder of the test's own, and a mark that nobody else has. */
function place(): { readonly folder: string; readonly mark: string } {
  const folder = mkdtempSync('/tmp/hf-');
  const mark = `${folder}:mark`;
  onTestFinished(async () => {
    for (const left of findMarked(`HOLDFAST_SESSION=${mark}`)) {
      signalProcess(left, 'SIGKILL');
      await untilEnded(left);
    }
    rmSync(folder, { recursive: true });
  });
  return { folder, mark };
}

function marked(mark: string, script: string): { readonly child: ChildProcess; readonly facts: ProcessFacts } {
  const env = { PATH: process.env.PATH, HOLDFAST_SESSION: mark };
  const child = spawn('sh', ['-c', script], { stdio: ['pipe', 'ignore', 'ignore'], detached: true, env });
  onTestFinished(() => void child.kill('SIGKILL'));
  return { child, facts: processFacts(child.pid ?? 0) as ProcessFacts };
}

const everything = { before: Number.POSITIVE_INFINITY };
const resultsOf = (ended: Awaited<ReturnType<typeof endLeftovers>>): readonly string[] =>
  ended.map(({ result }) => result);

test('a program that starts the next one in a session of its own when it is to end is ended with all of them', async () => {
  const { folder, mark } = place();
  // Each generation tells that its trap stands; the last one stays where it is.
  const next =
    'trap \'setsid sh -c "touch $0/last; exec sleep 600" $0 & exit\' TERM; touch $0/first; while :; do sleep 0.05; done';
  marked(mark, `exec sh -c '${next.replaceAll("'", "'\\''")}' ${folder}`);
  await waitUntil(() => readdirSync(folder).includes('first'), 'the trap');
  const results = resultsOf(await endLeftovers({ mark, ...everything }, options));
  expect(results.filter((result) => result === 'survived' || result === 'refused')).toEqual([]);
  expect(results).toContain('killed');
  expect(findMarked(`HOLDFAST_SESSION=${mark}`)).toEqual([]);
});

test('without a grace everything is killed at once, and each process is told once', async () => {
  const { folder, mark } = place();
  const all = Array.from({ length: 5 }, () => marked(mark, `trap "" TERM; touch ${folder}/$$; exec sleep 600`).facts);
  await waitUntil(() => readdirSync(folder).length === all.length, 'all of them to run');
  const told: number[] = [];
  const ended = await endLeftovers(
    { mark, ...everything },
    { ...options, graceMs: undefined, onSent: (pid) => told.push(pid) },
  );
  expect(resultsOf(ended)).toEqual(all.map(() => 'killed'));
  expect(told.toSorted()).toEqual(all.map(({ pid }) => pid).toSorted());
  expect(all.some(isRunning)).toBe(false);
});

test('what has become a program without the mark after it was found gets no signal', async () => {
  const { mark } = place();
  const { child, facts } = marked(mark, 'read -r go; exec env -i /bin/sleep 600');
  const carrying: ChildMarkers['carrying'] = async (...which) => {
    const found = await markers.carrying(...which);
    child.stdin?.end('go\n');
    await waitUntil(() => readFileSync(join('/proc', String(facts.pid), 'comm'), 'utf8') === 'sleep\n', 'sleep');
    return found;
  };
  const changed = { ...options, platform: { ...platform, childMarkers: { ...markers, carrying } } };
  expect(resultsOf(await endLeftovers({ mark, ...everything }, changed))).toEqual(['gone']);
  expect(isRunning(facts)).toBe(true);
});

test('what was started later is the next session of that name', async () => {
  const { mark } = place();
  const { facts } = marked(mark, 'exec sleep 600');
  const before = platform.processes.startSeconds(facts.pid);
  expect(await endLeftovers({ mark, before }, options)).toEqual([]);
  expect(isRunning(facts)).toBe(true);
});
