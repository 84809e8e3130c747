/**
 * Spawning under an id that is taken (spec process.md §3.5), over the wire. What an engine does is held by
 * session-engine.contract.ts; here is what only a client of a daemon sees.
 */
import { describe, expect, test } from 'vitest';
import { startDaemon } from '../support/daemon.ts';
import { fixture } from '../support/fixtures.ts';
import {
  isRunning,
  type ProcessFacts,
  processFacts,
  residentBytes,
  signalProcess,
  untilEnded,
} from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';
import { connectRaw, type RawConnection } from '../tools/raw-connection.ts';

/** A process that counts for ever. */
async function counting(client: RawConnection, id: string): Promise<void> {
  await client.spawn(id, 'sh', ['-c', 'i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done']);
  await client.untilOutput(id, '\n5\n');
}

/** Frames of the process after the reply with this id, as text lines. */
function afterReply(client: RawConnection, raw: string): { seq: number; stream: string }[] {
  return client.lines
    .slice(client.lines.indexOf(raw) + 1)
    .map((line) => JSON.parse(line))
    .filter(({ processId }) => processId !== undefined);
}

/** The newest output of `p`, also when its numbers have started over. */
function lastOutput(client: RawConnection): string {
  const frame = client.stream('p').frames.findLast(({ stream }) => stream === 'stdout');
  return frame?.stream === 'stdout' ? frame.data.toString() : '';
}

describe.each(['S', 'current'] as const)('profile %s: a spawn under the id of a running process', (profile) => {
  test('by the same connection starts over at 1, and no frame of the old one follows the reply', async () => {
    await using daemon = await startDaemon({ profile });
    await using client = await connectRaw(daemon);
    await counting(client, 'p');
    const reply = await client.request('process.spawn', { id: 'p', command: 'sh', args: ['-c', 'echo new'] });
    await waitUntil(
      () => afterReply(client, reply.raw).some(({ stream }) => stream === 'exit'),
      'the exit of the new one',
    );
    expect(afterReply(client, reply.raw).map(({ seq, stream }) => [seq, stream])).toEqual([
      [1, 'stdout'],
      [2, 'exit'],
    ]);
  });

  test('that ends at this very moment brings no frame of the old one after the reply', async () => {
    await using daemon = await startDaemon({ profile });
    await using client = await connectRaw(daemon);
    for (let round = 0; round < 10; round++) {
      // The child has ended; a grandchild holds its pipes.
      const { pid } = await client.spawn('p', ...fixture('hold-pipe-open.sh'), { wantPid: true });
      await waitUntil(() => processFacts(pid)?.state === 'Z', 'the child to have ended');
      await client.waitFor(() => /^\d+\n$/.test(lastOutput(client)), 'the number of the grandchild');
      const grandchild = processFacts(Number(lastOutput(client))) as ProcessFacts;
      // The end of the pipes and the request wait for the daemon together.
      daemon.signal('SIGSTOP');
      signalProcess(grandchild, 'SIGKILL');
      await untilEnded(grandchild);
      const id = client.post('process.spawn', { id: 'p', command: 'sh', args: ['-c', 'echo new'] });
      daemon.signal('SIGCONT');
      const { raw } = await client.waitFor(() => client.replies.find((reply) => reply.id === id), 'the reply');
      await client.waitFor(() => afterReply(client, raw).some(({ seq }) => seq === 2), 'the exit of the new one');
      expect(afterReply(client, raw).map(({ seq, stream }) => [seq, stream])).toEqual([
        [1, 'stdout'],
        [2, 'exit'],
      ]);
    }
  });
});

describe('profile next: a spawn under the id of a running process', () => {
  test('leaves a shutdown with the new one only', async () => {
    await using daemon = await startDaemon({ profile: 'next' });
    await using client = await connectRaw(daemon);
    // It tolerates the loss of its pipes, as one must that is to outlive its daemon.
    const { pid: old } = await client.spawn('p', 'sleep', ['3600'], { wantPid: true });
    const { pid: recent } = await client.spawn('p', 'sleep', ['3600'], { wantPid: true });
    const [oldProcess, newProcess] = [processFacts(old) as ProcessFacts, processFacts(recent) as ProcessFacts];
    await daemon.stop();
    await untilEnded(newProcess);
    expect(isRunning(oldProcess)).toBe(true);
    expect(daemon.log()).toContain('[Server] cleanup: closed 2 connection(s), killed 1 child process group(s)');
  });
});

describe.each(['S', 'current', 'next'] as const)('profile %s: a spawn under the id of an ended process', (profile) => {
  test('keeps nothing of it: a session that is restarted again and again does not fill the memory', async () => {
    await using daemon = await startDaemon({ profile });
    await using client = await connectRaw(daemon, { keep: 'figures' });
    await using other = await connectRaw(daemon, { keep: 'figures' });
    const noise = fixture('write-noise.ts', '--bytes', '12000000');
    let before = 0;
    for (let round = 0; round < 14; round++) {
      // In turns, so that one connection has what the other one replaces.
      const owner = round % 3 === 0 ? other : client;
      const { pid } = await owner.spawn('p', ...noise, { wantPid: true });
      await waitUntil(() => processFacts(pid) === undefined, 'the process to be collected');
      if (round === 4) {
        before = residentBytes(daemon.pid());
      }
    }
    expect(residentBytes(daemon.pid()) - before).toBeLessThan(80_000_000);
  });
});
