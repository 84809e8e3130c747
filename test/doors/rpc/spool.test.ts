/** What a client has of `spool-bytes` (spec extensions.md §4), with a daemon that holds its sessions and with a keeper. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startDaemon, type TestDaemon } from '../../support/daemon.ts';
import { fixture } from '../../support/fixtures.ts';
import { openDescriptors } from '../../support/processes.ts';
import { waitUntil } from '../../support/wait.ts';
import { connectRaw } from '../../tools/raw-connection.ts';

const bytes = 40_000_000;
const spool = ['-spool-bytes', '100000000'];

/** Descriptors of spools in a process; their files have no name any more. */
function spoolsOf(pid: number): number {
  return [...openDescriptors(pid).values()].filter((target) => target.includes('.spool-')).length;
}

async function printed(daemon: TestDaemon, id: string): Promise<string> {
  const sum = join(daemon.dir, `${id}.sum`);
  await using client = await connectRaw(daemon, { keep: 'figures' });
  await client.spawn(id, ...fixture('write-noise.ts', '--bytes', String(bytes), '--sha256', sum));
  await client.exitOf(id);
  return readFileSync(sum, 'utf8');
}

test.each([
  ['held by the daemon', []],
  ['held by a keeper', ['-durable']],
])('output far beyond the window is replayed from its first byte, %s', async (_what, more) => {
  await using daemon = await startDaemon({ flags: [...more, ...spool] });
  // From source a daemon keeps such a file for itself (src/base/pinned-modules.ts).
  const ofDaemon = spoolsOf(daemon.pid());
  const sum = await printed(daemon, 'p');
  await using client = await connectRaw(daemon, { keep: 'figures' });
  const { keeper, limits } = await client.call('holdfast.describe');
  const holder = keeper?.pid ?? daemon.pid();
  const before = keeper === undefined ? ofDaemon : 0;
  expect(limits.spoolBytes).toBe(100_000_000);
  const { sessions } = await client.call('holdfast.sessions');
  const [{ firstSeq, windowBytes, spoolBytes }] = sessions;
  expect([firstSeq, windowBytes + spoolBytes > (bytes * 4) / 3]).toEqual([1, true]);
  expect(spoolsOf(holder)).toBeGreaterThan(before);
  expect(readdirSync(daemon.runDir).filter((name) => name.includes('spool'))).toEqual([]);
  expect(await client.reattach('p', 0)).toMatchObject({ found: true, firstSeq: 1 });
  await client.exitOf('p');
  expect(client.stream('p').gaps).toEqual([]);
  expect(client.stream('p').sha256('stdout')).toBe(sum);
  await client.call('holdfast.release', { id: 'p' });
  await waitUntil(() => spoolsOf(holder) === before, 'the files of the spool to be closed');
});

test('a spool that is full drops its oldest frames, says so, and replays the rest whole', async () => {
  await using daemon = await startDaemon({ flags: ['-spool-bytes', '8000000'] });
  const sum = await printed(daemon, 'p');
  await using client = await connectRaw(daemon, { keep: 'figures' });
  const [{ firstSeq, lastSeq, spoolBytes }] = (await client.call('holdfast.sessions')).sessions;
  expect(firstSeq).toBeGreaterThan(1);
  expect(spoolBytes).toBeLessThanOrEqual(8_000_000);
  await client.reattach('p', firstSeq - 1);
  await client.exitOf('p');
  expect(client.stream('p').count).toBe(lastSeq - firstSeq + 1);
  expect(client.stream('p').sha256('stdout')).not.toBe(sum);
  expect(daemon.log()).toMatch(
    /WARN {2}\[process\.Manager\] Process p: replay window and spool full \(16777216 \+ 8000000 bytes, spool-bytes\); dropping oldest frames/,
  );
});

test('the memory budget moves frames of ended sessions to disk, and they are replayed', async () => {
  await using daemon = await startDaemon({ flags: [...spool, '-memory-budget', '6000000'] });
  const sum = await printed(daemon, 'p');
  await using client = await connectRaw(daemon, { keep: 'figures' });
  await waitUntil(async () => {
    const [{ windowBytes }] = (await client.call('holdfast.sessions')).sessions;
    return windowBytes < 6_000_000;
  }, 'the window to be moved to disk');
  const [{ firstSeq }] = (await client.call('holdfast.sessions')).sessions;
  expect(firstSeq).toBe(1);
  await client.reattach('p', 0);
  await client.exitOf('p');
  expect(client.stream('p').sha256('stdout')).toBe(sum);
});
