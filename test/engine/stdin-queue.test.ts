/** A child that does not read its stdin, over the wire (spec process.md §5.2, §5.4). */
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { fixture } from '../support/fixtures.ts';
import { connectRaw, type RawConnection, type Reply } from '../tools/raw-connection.ts';

const queueMax = 16_777_216;
const piece = Buffer.alloc(700_000, Buffer.from(Array.from({ length: 251 }, (_, index) => index)));

/** A process that reads its stdin only after a USR1, and then says what it got. */
async function deafAtFirst(client: RawConnection, id: string): Promise<number> {
  const script = 'trap "go=1" USR1; echo ready; until [ "$go" ]; do sleep 0.02; done; head -c "$0" | sha256sum';
  const { pid } = await client.spawn(id, 'sh', ['-c', script, String(25 * piece.length)], { wantPid: true });
  await client.untilOutput(id, 'ready');
  return pid;
}

function postPieces(client: RawConnection, id: string, count: number): number[] {
  return Array.from({ length: count }, (_, index) =>
    client.post('process.stdin', { id, data: piece.toString('base64'), offset: index * piece.length }),
  );
}

function replyTo(client: RawConnection, id: number): Reply | undefined {
  return client.replies.find((reply) => reply.id === id);
}

const expectedHash = createHash('sha256')
  .update(Buffer.concat(Array.from({ length: 25 }, () => piece)))
  .digest('hex');

/** Bytes that fit whatever the pipe itself takes at once. */
const surelyFits = Math.floor(queueMax / piece.length);

function fullLines(daemon: TestDaemon): number {
  return (
    daemon.log().match(/Process deaf: stdin queue full \(16777216 bytes\); the child does not read\n/g)?.length ?? 0
  );
}

describe('profile S: a full queue', () => {
  test('holds the replies back while everything else goes on, and loses no byte', async () => {
    await using daemon = await startDaemon();
    await using client = await connectRaw(daemon);
    const pid = await deafAtFirst(client, 'deaf');
    await client.spawn('cat', 'cat');
    const posted = postPieces(client, 'deaf', 25);
    const last = posted.at(-1) as number;
    await client.waitFor(() => replyTo(client, posted[surelyFits - 1] as number), 'the replies to what fits');
    await client.stdin('cat', 'other processes go on\n');
    await client.untilOutput('cat', 'go on');
    expect(replyTo(client, last)).toBeUndefined();
    await daemon.untilLogged(/stdin queue full/);
    process.kill(pid, 'SIGUSR1');
    await client.waitFor(() => replyTo(client, last), 'the held replies');
    expect(posted.map((id) => replyTo(client, id)?.result)).toEqual(
      posted.map((_, index) => ({ success: true, applied: (index + 1) * piece.length })),
    );
    await client.exitOf('deaf');
    expect(client.stream('deaf').text()).toContain(expectedHash);
    expect(fullLines(daemon)).toBe(1);
  });

  test('leaves nobody waiting when the process ends', async () => {
    await using daemon = await startDaemon();
    await using client = await connectRaw(daemon);
    await client.spawn('deaf', 'sleep', ['3600']);
    const posted = postPieces(client, 'deaf', 25);
    await client.waitFor(() => replyTo(client, posted[surelyFits - 1] as number), 'the replies to what fits');
    await client.kill('deaf', 'KILL');
    await client.waitFor(() => replyTo(client, posted.at(-1) as number), 'the last answer');
    // The pipe breaks an instant before the end is known: until then the process counts as running (spec §5.2).
    for (const [index, id] of posted.entries()) {
      const { result, error } = replyTo(client, id) ?? {};
      const applied = (index + 1) * piece.length;
      expect(error?.message ?? result).toEqual(
        error === undefined ? { success: true, applied } : 'Process not running',
      );
    }
  });
});

describe.each(['current', 'next'] as const)('profile %s: a full queue', (profile) => {
  test('refuses at once, counts nothing of it, and takes the same bytes later', async () => {
    await using daemon = await startDaemon({ profile });
    await using client = await connectRaw(daemon);
    const pid = await deafAtFirst(client, 'deaf');
    let applied = 0;
    let refused = 0;
    for (let index = 0; index < 25; ) {
      const { result, error } = await client.stdin('deaf', piece, index * piece.length);
      if (error === undefined) {
        applied = result.applied;
        expect(applied).toBe(++index * piece.length);
      } else {
        expect(error).toEqual({ code: -32002, message: 'stdin backpressure: queue full' });
        expect((await client.reattach('deaf', 99)).stdinApplied).toBe(applied);
        if (refused++ === 0) {
          process.kill(pid, 'SIGUSR1');
        }
      }
    }
    expect(refused).toBeGreaterThan(0);
    await client.exitOf('deaf');
    expect(client.stream('deaf').text()).toContain(expectedHash);
    expect(fullLines(daemon)).toBe(1);
  });
});

test.each(['S', 'current', 'next'] as const)(
  'profile %s: bytes for a child that has closed its stdin are counted and dropped',
  async (profile) => {
    await using daemon = await startDaemon({ profile });
    await using client = await connectRaw(daemon);
    await client.spawn('p', ...fixture('close-stdio.sh'));
    await client.untilOutput('p', 'closing');
    for (let index = 0; index < 40; index++) {
      expect((await client.stdin('p', piece)).result).toEqual({ success: true, applied: (index + 1) * piece.length });
    }
    expect(await client.reattach('p', 99)).toMatchObject({ running: true, stdinApplied: 40 * piece.length });
  },
);
