/**
 * Fault 19: there is less memory than the clients would fill. The daemon runs in a memory cgroup, whose kernel kills what takes
 * too much; it holds what its budget allows, says what it refuses, and everything that runs goes on.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import * as needs from '../support/needs.ts';
import { isRunning } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';
import { connectRaw, type RawConnection } from '../tools/raw-connection.ts';
import { byLength, limitMs } from './support/length.ts';
import { MemoryCgroup, memoryCgroups } from './support/memory-cgroup.ts';

const mebibyte = 1024 * 1024;
/** With a floor of 1 MiB each they need more than the budget, which is a quarter of the memory. */
const sessions = byLength(100, 200);
const memory = byLength(384, 640) * mebibyte;
const budget = memory / 4;
/** A window full of frames. */
const written = 12 * mebibyte;

const testInCgroup = needs.testNeeding(needs.linux, memoryCgroups());

/** A program that fills its window, and then answers what it is asked. */
const filling = (id: string) => ({ id, command: 'sh', args: ['-c', `head -c ${written} /dev/zero; exec cat`] });

/**
 * Starts so many, some at once. Their client reads what they write and goes away, so that nobody receives them any more.
 * @returns the ids of those that run, and the refusal that ended it
 */
async function fillWindows(daemon: TestDaemon, name: string, count: number, atOnce: number) {
  const running: string[] = [];
  let refusal: { code: number; message: string } | undefined;
  while (running.length < count && refusal === undefined) {
    await using client = await connectRaw(daemon, { keep: 'figures' });
    const wanted = Array.from({ length: atOnce }, (_, index) => `${name}${running.length + index}`);
    const replies = await Promise.all(wanted.map((id) => client.request('process.spawn', filling(id))));
    refusal = replies.find(({ error }) => error !== undefined)?.error;
    const started = wanted.filter((_, index) => replies[index]?.error === undefined);
    const isWritten = (id: string) => client.stream(id).bytes.stdout === written;
    await client.waitFor(() => started.every(isWritten) || undefined, 'their output', { timeoutMs: 60_000 });
    running.push(...started);
  }
  return { running, refusal };
}

async function echoOf(client: RawConnection, id: string): Promise<void> {
  await client.call('process.reattach', { id, fromSeq: 2 ** 52 });
  await client.stdin(id, `${id} is alive\n`);
  await client.untilOutput(id, `${id} is alive\n`);
}

testInCgroup(
  'clients that fill more windows than there is memory get a refusal for new work, and the daemon and all that runs live on',
  { timeout: limitMs(240) },
  async () => {
    await using cgroup = new MemoryCgroup(memory);
    await using daemon = await startDaemon({ through: cgroup.through, flags: ['-metrics-addr', '127.0.0.1:0'] });
    const target = daemon.process();
    const line = await daemon.untilLogged(/metrics: listening on /);
    const url = `http://127.0.0.1:${/:(\d+)$/.exec(line)?.[1]}/metrics`;
    const value = async (name: string): Promise<number> => {
      const text = await (await fetch(url, { headers: { connection: 'close' } })).text();
      return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
    };
    expect(await value('holdfast_memory_budget_bytes')).toBe(budget);
    // One client reads many of them at once: what it has not read yet would be more than there is.
    const crowd = await fillWindows(daemon, 'crowd', 40, 40);
    expect(crowd.refusal).toBeUndefined();
    const others = await fillWindows(daemon, 'other', sessions, 5);
    expect(others.refusal).toEqual({
      code: -32603,
      message: expect.stringMatching(`^memory budget of ${budget} bytes reached: a new process needs 1048576 bytes, `),
    });
    expect(daemon.log()).toMatch(
      /WARN {2}\[Server\] memory budget of \d+ bytes reached \(memory-budget, \d+ held\): frames of/,
    );
    await using client = await connectRaw(daemon);

    // A file that would need more than is left is refused too; a small one is read.
    const large = join(daemon.dir, 'large');
    writeFileSync(large, Buffer.alloc(2 * budget));
    const read = await client.request('files.read', { path: large, maxBytes: 2 * budget });
    expect(read.error?.message).toMatch(/^memory budget of \d+ bytes reached: an answer needs /);

    expect(isRunning(target)).toBe(true);
    expect(cgroup.killed).toBe(0);
    expect(await value('holdfast_held_bytes')).toBeLessThan(1.25 * budget + 8 * mebibyte);
    await using visitor = await connectRaw(daemon);
    for (const id of [...crowd.running, ...others.running].filter((_, index) => index % 7 === 0)) {
      await echoOf(visitor, id);
    }
    // Room for new work comes with the end of old work.
    await visitor.call('holdfast.release', { all: true });
    await visitor.spawn('after', 'true');
    expect((await visitor.exitOf('after')).exitCode).toBe(0);
    expect(cgroup.killed).toBe(0);
  },
);

testInCgroup(
  'the same without a budget ends the daemon (else the test above shows nothing)',
  { timeout: limitMs(240) },
  async () => {
    await using cgroup = new MemoryCgroup(memory);
    await using daemon = await startDaemon({ through: cgroup.through, flags: ['-memory-budget', '0'] });
    const target = daemon.process();
    const filled = fillWindows(daemon, 'p', sessions, 10).catch(() => 'cut off');
    await waitUntil(() => !isRunning(target) || undefined, 'the kernel to kill it', { timeoutMs: 200_000 });
    expect(await filled).toBe('cut off');
    expect(cgroup.killed).toBeGreaterThan(0);
  },
);
