import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Turns } from '../../../src/git/run/turns.ts';
import { startDaemon } from '../../support/daemon.ts';
import { connectTo } from '../../support/host.ts';
import { findMarked, isRunning } from '../../support/processes.ts';
import { waitUntil } from '../../support/wait.ts';
import { daemon, repository, scratchFolder, standInForGit, withVariables, write } from '../support.ts';

test('a caller with one request does not wait for all of a caller with many', async () => {
  const turns = new Turns(2);
  const order: string[] = [];
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const ask = (caller: string, name: string) =>
    turns.take(caller, async () => {
      await held;
      order.push(name);
    });
  const many = Array.from({ length: 6 }, (_, number) => ask('many', `m${number}`));
  const few = ask('few', 'f');
  expect(turns.areTaken).toBe(true);
  release();
  await Promise.all([...many, few]);
  // Two were running, one of the many was first in line, and then it was the turn of the other caller.
  expect(order.indexOf('f')).toBeLessThanOrEqual(3);
  expect(order.filter((name) => name !== 'f')).toEqual(['m0', 'm1', 'm2', 'm3', 'm4', 'm5']);
  expect(turns.areTaken).toBe(false);
});

test('work that fails hands its turn on', async () => {
  const turns = new Turns(1);
  const failing = turns.take('a', () => Promise.reject(new Error('no')));
  const other = turns.take('b', async () => 'done');
  await expect(failing).rejects.toThrow('no');
  expect(await other).toBe('done');
  expect(turns.areTaken).toBe(false);
});

test('however many requests come at once, at most eight gits run, and every request is answered', async () => {
  const folder = scratchFolder();
  const path = repository(join(folder, 'w'));
  const running = join(folder, 'running');
  mkdirSync(running);
  standInForGit(
    folder,
    // None goes on before three of them are there at the same time, however slowly they are started.
    `touch ${running}/$$
     while [ ! -e ${folder}/several ]; do
       now=$(ls ${running} | wc -l); [ "$now" -lt 3 ] || { echo "$now" >> ${folder}/most; touch ${folder}/several; }; sleep 0.02
     done
     ls ${running} | wc -l >> ${folder}/most; "$GIT" "$@"; s=$?; sleep 0.02; rm ${running}/$$; exit $s`,
  );
  const { call, services } = daemon('S');
  const replies = await Promise.all(Array.from({ length: 20 }, () => call('git.list_branches', { path })));
  expect(new Set(replies)).toEqual(new Set(['{"isRepo":true,"branches":["main"]}']));
  const seen = readFileSync(join(folder, 'most'), 'utf8').trim().split('\n').map(Number);
  expect(Math.max(...seen)).toBeLessThanOrEqual(8);
  expect(Math.max(...seen)).toBeGreaterThan(2);
  expect(services.counters.gitCallsQueued).toBeGreaterThan(0);
});

test.each(['S', 'current', 'next'] as const)(
  'a daemon that is ended in the middle, by request, by -stop or by TERM, leaves no git running and no folder behind (%s)',
  async (profile) => {
    const folder = scratchFolder();
    const path = repository(join(folder, 'w'));
    const temporary = join(folder, 'tmp');
    mkdirSync(temporary);
    const real = execFileSync('sh', ['-c', 'command -v git'], { encoding: 'utf8' }).trim();
    write(
      join(folder, 'bin', 'git'),
      `#!/bin/sh\nfor word; do [ "$word" = for-each-ref ] && { touch ${folder}/hangs; sleep 1000 & sleep 1000; }; done; exec ${real} "$@"\n`,
      0o755,
    );
    const mark = `${process.pid}-${Math.random()}`;
    withVariables({ HFG_MARK: mark });
    await using started = await startDaemon({
      profile,
      env: { PATH: `${join(folder, 'bin')}:${process.env.PATH}`, TMPDIR: temporary, HFG_MARK: mark },
    });
    await using client = await connectTo(started);
    const asked = client.request('git.list_branches', { path }).catch(() => {});
    await waitUntil(() => existsSync(join(folder, 'hangs')), 'git to hang');
    expect(readdirSync(temporary).filter((name) => name.startsWith('holdfast-git-'))).toHaveLength(1);
    if (profile === 'S') {
      await started.stop();
    } else if (profile === 'current') {
      expect((await started.run(['-stop', '-wire-profile', profile, '-socket', started.socket])).code).toBe(0);
    } else {
      await started.kill('SIGTERM');
    }
    // The question would be asked again when a daemon is there again.
    await client.close();
    await asked;
    await waitUntil(() => !findMarked(`HFG_MARK=${mark}`).some(isRunning), 'every git to be gone');
    expect(readdirSync(temporary).filter((name) => name.startsWith('holdfast-git-'))).toEqual([]);
  },
);
