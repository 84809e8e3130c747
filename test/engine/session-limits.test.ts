/** The keys that bound how sessions are kept: `max-sessions`, `detached-ttl`, `mark-children` (spec extensions.md §4). */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type DaemonOptions, startDaemon, type TestDaemon } from '../support/daemon.ts';
import { fixture } from '../support/fixtures.ts';
import { connectTo, start } from '../support/host.ts';
import { isRunning, type ProcessFacts, processFacts, untilEnded } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';

const sixteen = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16);

async function withMetrics(flags: readonly string[], options: DaemonOptions = {}) {
  const timings = { metricsKeptMs: 0, detachedCheckMs: 20, ...options.timings };
  const daemon = await startDaemon({ ...options, timings, flags: [...flags, '-metrics-addr', '127.0.0.1:0'] });
  const line = await daemon.untilLogged(/metrics: listening on /);
  const page = async () => (await fetch(`http://127.0.0.1:${/:(\d+)$/.exec(line)?.[1]}/metrics`)).text();
  return { daemon, page };
}

const kinds = [
  ['profile S', { profile: 'S' }, []],
  ['profile current', { profile: 'current' }, []],
  ['profile next', { profile: 'next' }, []],
  ['-durable', { profile: 'next' }, ['-durable']],
] as const;

describe.each(kinds)('%s', (_, options, more) => {
  test('max-sessions: one process too many is refused with the numbers before it starts, and the others go on', async () => {
    const { daemon, page } = await withMetrics(['-max-sessions', '2', ...more], options);
    await using _ = daemon;
    await using client = await connectTo(daemon);
    const a = await start(client, 'a', 'cat');
    const b = await start(client, 'b', 'cat');
    const made = join(daemon.dir, 'made');
    await expect(start(client, 'c', 'touch', [made])).rejects.toMatchObject({
      code: -32603,
      message: expect.stringMatching(/: too many sessions: 2 running, max-sessions is 2$/),
    });
    await daemon.untilLogged(
      /WARN {2}\[process\.Manager\] max-sessions of 2 reached: process c is not started; end processes, or raise max-sessions$/,
    );
    await a.write('still here\n');
    await a.until('still here');
    expect(existsSync(made)).toBe(false);
    await waitUntil(
      async () => /^holdfast_sessions_refused_total 1$/m.test(await page()) || undefined,
      'the refusal to be counted',
    );
    const { limits } = (await client.request('holdfast.describe', {})) as { limits: { maxSessions: number } };
    expect(limits.maxSessions).toBe(2);

    await b.kill('KILL');
    await b.ended();
    await start(client, 'c', 'cat');
  });

  test('detached-ttl: a quiet process that nobody came back for is ended, one that is attached or writes is not', async () => {
    const { daemon, page } = await withMetrics(['-detached-ttl', '400ms', ...more], options);
    await using _ = daemon;
    await using client = await connectTo(daemon);
    const left = await connectTo(daemon);
    const run = async (by: typeof client, id: string, ...words: [string, string[]]): Promise<ProcessFacts> => {
      return processFacts((await start(by, id, ...words)).pid) as ProcessFacts;
    };
    const attached = await run(client, 'attached', 'sleep', ['600']);
    const counting = await start(left, 'writing', ...fixture('count-forever.ts', '--every', '20'));
    const writing = processFacts(counting.pid) as ProcessFacts;
    await counting.until('3');
    const quiet = await run(left, 'quiet', 'sleep', ['600']);
    const stubborn = await run(left, 'stubborn', ...fixture('ignore-term.sh'));
    await left.close();
    await untilEnded(quiet);
    await untilEnded(stubborn);
    expect(daemon.log()).toMatch(
      /WARN {2}\[process\.Manager\] Process quiet: no client and no output for 400ms \(detached-ttl\); ending it, PID=\d+$/m,
    );
    expect([isRunning(attached), isRunning(writing)]).toEqual([true, true]);
    // Forgotten with its frames, as by holdfast.release.
    const known = async () => new Map((await client.sessions()).map(({ id, state }) => [id, state]));
    await waitUntil(async () => !(await known()).has('quiet') || undefined, 'the process to be forgotten');
    expect(await page()).toMatch(/^holdfast_detached_ended_total 2$/m);
    expect((await known()).get('writing')).toBe('running');
  });
});

test('max-sessions holds for a burst as well, and a process that takes the place of another is none too many', async () => {
  await using daemon = await startDaemon({ flags: ['-max-sessions', '3'] });
  await using client = await connectTo(daemon);
  const replies = await Promise.allSettled(
    Array.from({ length: 12 }, (_, n) => client.request('process.spawn', { id: `p${n}`, command: 'cat' })),
  );
  expect(replies.filter(({ status }) => status === 'fulfilled')).toHaveLength(3);
  const started = `p${replies.findIndex(({ status }) => status === 'fulfilled')}`;
  // In profile S a spawn with a used id ends the old process.
  expect(await client.request('process.spawn', { id: started, command: 'cat' })).toEqual({ success: true });
});

test('max-sessions and detached-ttl are keys of the configuration file, and 0 is none', async () => {
  await using daemon = await startDaemon({ flags: ['-max-sessions', '0', '-detached-ttl', '0'] });
  await using client = await connectTo(daemon);
  for (let n = 0; n < 5; n++) {
    await start(client, `p${n}`, 'cat');
  }
  const { stdout } = await daemon.run(['config']);
  for (const name of ['max-sessions', 'detached-ttl', 'mark-children']) {
    expect(stdout).toContain(name);
  }
});

describe('mark-children', () => {
  const markOf = (daemon: TestDaemon, id: string) => `HOLDFAST_SESSION=${sixteen(daemon.runDir)}:${sixteen(id)}\n`;

  test('a child and what it starts carry the mark of the session, whatever the client sends', async () => {
    await using daemon = await startDaemon({ flags: ['-mark-children'], env: { HOLDFAST_SESSION: 'old' } });
    await using client = await connectTo(daemon);
    const script = 'env | grep ^HOLDFAST_SESSION; setsid env | grep ^HOLDFAST_SESSION';
    const p = await start(client, 'p ü', 'sh', ['-c', script], { env: { HOLDFAST_SESSION: 'mine' } });
    await p.ended();
    expect(p.stdout).toBe(markOf(daemon, 'p ü').repeat(2));
  });

  test('nobody who did not ask gets one', async () => {
    await using daemon = await startDaemon();
    await using client = await connectTo(daemon);
    const p = await start(client, 'p', 'env');
    await p.ended();
    expect(p.stdout).not.toContain('HOLDFAST_SESSION');
  });
});
