/** `holdfast reconcile` with real daemons that die; its verdicts in every kind of world are reconcile-rounds.test.ts. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { isRunning, processFacts, untilEnded } from '../support/processes.ts';
import { spawnLeaver, spawnShell, startHeld, verb, verbJson } from './sessions.ts';

test('a killed daemon leaves orphans, which are told first and ended with --kill', async () => {
  await using held = await startHeld({ flags: ['-mark-children'] });
  const { daemon, host } = held;
  const tool = await spawnLeaver(host, 'agent');
  expect(await verbJson(daemon, 'reconcile')).toContainEqual(expect.objectContaining({ verdict: 'live', id: 'agent' }));
  expect((await verb(daemon, 'reconcile')).code).toBe(0);
  expect((await verb(daemon, 'reconcile', '--adopt')).stdout).toContain(
    `holdfast attach --socket ${daemon.socket} -- agent`,
  );

  await daemon.kill();
  const looked = await verb(daemon, 'reconcile', '--json');
  expect(looked.code).toBe(5);
  expect(JSON.parse(looked.stdout).map(({ verdict }: { verdict: string }) => verdict)).not.toContain('live');
  expect(isRunning(tool)).toBe(true);
  expect((await verb(daemon, 'reconcile', '--kill')).code).toBe(4);

  const rows = await verbJson(daemon, 'reconcile', '--kill', '--yes');
  expect(rows).toContainEqual(
    expect.objectContaining({ verdict: 'orphan', pid: tool.pid, action: 'end', result: 'ended' }),
  );
  await untilEnded(tool);
  expect(daemon.processes()).toEqual([]);
  expect((await verb(daemon, 'reconcile')).code).toBe(0);
});

test('what a control plane has stored is told apart: live, ended, recycled, of another host', async () => {
  await using held = await startHeld();
  const { daemon, host } = held;
  const { session } = await spawnShell(host, 'runs', 'echo $$; sleep 3600');
  const over = await spawnShell(host, 'over', 'echo x; exit 0');
  await over.session.exit;
  const live = { pid: session.pid, startTime: session.startTime, id: 'stored' };
  const file = join(daemon.dir, 'expected.jsonl');
  const rows = [
    live,
    { pid: over.session.pid, startTime: over.session.startTime },
    { pid: session.pid, startTime: 1_700_000_000.25 },
    { pid: 7, startTime: 1, host: 'elsewhere' },
  ];
  writeFileSync(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  const judged = await verbJson(daemon, 'reconcile', '--expect', file);
  expect(judged.map(({ verdict, pid }: { verdict: string; pid: number }) => [verdict, pid])).toEqual([
    ['live', session.pid],
    ['exited', over.session.pid],
    ['recycled', session.pid],
    ['unknown', 7],
  ]);
  writeFileSync(file, JSON.stringify([live]));
  expect((await verb(daemon, 'reconcile', '--expect', file)).code).toBe(0);
  writeFileSync(file, '{"pid":0}');
  const refused = await verb(daemon, 'reconcile', '--expect', file);
  expect(refused).toMatchObject({ code: 2, stdout: '' });
  expect(refused.stderr).toContain(`${file}:1: want {"pid":<number>`);
});

test('without marks an orphan is found by what was stored', async () => {
  await using held = await startHeld();
  const { daemon, host } = held;
  const { session } = await spawnShell(host, 'plain', 'echo $$; exec >/dev/null 2>&1 </dev/null; sleep 3600');
  const facts = processFacts(session.pid ?? 0);
  await daemon.kill();
  const file = join(daemon.dir, 'expected.json');
  writeFileSync(file, JSON.stringify([{ pid: session.pid, startTime: session.startTime }]));
  expect(JSON.parse((await verb(daemon, 'reconcile', '--json')).stdout)).toEqual([]);
  const [row] = JSON.parse((await verb(daemon, 'reconcile', '--expect', file, '--json')).stdout);
  // Whoever inherits orphans here may be no init, and then it cannot be told who holds it.
  expect(['orphan', 'unknown']).toContain(row.verdict);
  expect(facts !== undefined && isRunning(facts)).toBe(true);
});

test('a durable session whose daemon is gone is held by its keeper', async () => {
  await using held = await startHeld({ flags: ['-durable'] });
  const { daemon, host } = held;
  const { session } = await spawnShell(host, 'durable', 'echo $$; sleep 3600');
  await daemon.kill();
  const rows = await verbJson(daemon, 'reconcile', '--kill', '--yes');
  expect(rows).toMatchObject([
    { verdict: 'live', pid: session.pid, reason: expect.stringMatching(/^pid \d+ holds it$/) },
  ]);
});
