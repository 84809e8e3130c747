/** Exactly once across the death of the daemon (spec durable.md §2): input, spawns, kills and releases. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { byLength, limitMs } from '../faults/support/length.ts';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { waitUntil } from '../support/wait.ts';
import { connectRaw, type RawConnection } from '../tools/raw-connection.ts';

const flags = ['-durable'];
const kills = byLength(8, 50);

/** Kills the daemon so many times, at random moments, and starts it again, while `work` goes on. */
async function killedMeanwhile(daemon: TestDaemon, count: number, work: Promise<unknown>): Promise<void> {
  let over = false;
  work.finally(() => {
    over = true;
  });
  for (let kill = 0; kill < count && !over; kill++) {
    await sleep(50 + Math.random() * 300);
    await daemon.kill();
    await daemon.start();
  }
  await work;
}

/** Connects as soon as a daemon is there. */
async function connected(daemon: TestDaemon, before?: RawConnection): Promise<RawConnection> {
  return waitUntil(
    () => connectRaw(daemon, before === undefined ? {} : { continues: before }).catch(() => undefined),
    'a daemon to accept',
  );
}

test('fault 3: ten thousand lines of input arrive once each, however often the daemon is killed', {
  timeout: limitMs(120),
}, async () => {
  await using daemon = await startDaemon({ flags });
  const out = join(daemon.dir, 'lines');
  const lines = 10_000;
  const text = Buffer.from(Array.from({ length: lines }, (_, index) => `line ${index}\n`).join(''));
  let client = await connectRaw(daemon);
  await client.spawn('p', 'sh', ['-c', `cat > ${out}; wc -l < ${out}`]);
  const feeding = (async () => {
    let applied = 0;
    while (applied < text.length) {
      try {
        const piece = text.subarray(applied, applied + 1 + Math.floor(Math.random() * 400));
        const reply = await client.stdin('p', piece, applied);
        ({ applied } = reply.result ?? { applied });
        await sleep(1);
      } catch {
        client = await connected(daemon, client);
        // Where it stands is asked at random only: the offset of the last reply must do as well.
        if (Math.random() < 0.5) {
          ({ stdinApplied: applied } = await client.reattach('p').catch(() => ({ stdinApplied: applied })));
        }
      }
    }
  })();
  await killedMeanwhile(daemon, kills, feeding);
  client = await connected(daemon, client);
  expect(await client.reattach('p')).toMatchObject({ found: true, stdinApplied: text.length });
  await client.call('holdfast.closeStdin', { id: 'p', offset: text.length });
  expect(await client.exitOf('p')).toMatchObject({ exitCode: 0 });
  expect(readFileSync(out).equals(text)).toBe(true);
});

test('fault 3: a spawn repeated with ifAbsent starts one process each, however often the daemon is killed', {
  timeout: limitMs(120),
}, async () => {
  await using daemon = await startDaemon({ flags });
  const marks = join(daemon.dir, 'started');
  const spawns = byLength(60, 200);
  let client = await connectRaw(daemon);
  const pids = new Map<string, Set<number>>();
  const spawning = (async () => {
    for (let index = 0; index < spawns; index++) {
      const id = `p${index}`;
      const params = {
        id,
        command: 'sh',
        args: ['-c', `echo ${id} >> ${marks}; exec sleep 600`],
        ifAbsent: true,
        wantPid: true,
      };
      for (let done = false; !done; ) {
        try {
          // Sent twice in a row as a client does that does not know whether the first one arrived.
          client.post('process.spawn', params);
          const { result } = await client.request('process.spawn', params);
          if (result !== undefined) {
            pids.set(id, (pids.get(id) ?? new Set()).add(result.pid));
            done = true;
          }
        } catch {
          client = await connected(daemon);
        }
      }
    }
  })();
  await killedMeanwhile(daemon, kills, spawning);
  client = await connected(daemon);
  await waitUntil(() => readFileSync(marks, 'utf8').split('\n').length > spawns, 'all to have started');
  const started = readFileSync(marks, 'utf8').trimEnd().split('\n');
  expect(started.toSorted()).toEqual([...pids.keys()].toSorted());
  expect([...pids.values()].every((each) => each.size === 1)).toBe(true);
  const { sessions } = await client.call('holdfast.sessions');
  expect(sessions).toHaveLength(spawns);
  expect(await client.call('holdfast.release', { all: true, timeoutMs: 2000 })).toEqual({ released: spawns });
});

test('fault 3: kills and releases that are repeated do no harm', async () => {
  await using daemon = await startDaemon({ flags });
  const first = await connectRaw(daemon);
  await first.spawn('p', 'cat');
  await first.spawn('q', 'cat');
  first.post('process.killAndWait', { id: 'p' });
  first.post('holdfast.release', { id: 'q' });
  await daemon.kill();
  await daemon.start();
  await using second = await connectRaw(daemon);
  await waitUntil(async () => {
    const { died } = await second.call('process.killAndWait', { id: 'p' });
    return died;
  }, 'the process to be ended');
  expect(await second.call('process.killAndWait', { id: 'p' })).toMatchObject({
    found: true,
    died: true,
    alreadyExited: true,
  });
  const again = await second.request('holdfast.release', { id: 'q' });
  expect(again.result?.released ?? again.error?.message).toSatisfy(
    (value) => value === 1 || value === 'Process not found',
  );
  expect((await second.call('holdfast.sessions')).sessions).toHaveLength(1);
});
