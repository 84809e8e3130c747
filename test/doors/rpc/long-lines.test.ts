/** Long lines are read in turns of the event loop, and nobody sees that but those who would have waited. */
import { describe, expect, test } from 'vitest';
import { LongLines } from '../../../src/doors/rpc/long-lines.ts';
import type { Steps } from '../../../src/wire/steps.ts';
import { startDaemon } from '../../support/daemon.ts';
import { connectRaw } from '../../tools/raw-connection.ts';

/** Longer than a piece of work may be. */
function spin(): void {
  const end = performance.now() + 10;
  while (performance.now() < end) {}
}

describe('long lines', () => {
  test('let others in while they are read, and are read one after the other in the order in which they came', async () => {
    const lines = new LongLines();
    const happened: string[] = [];
    function* reading(name: string): Steps<void> {
      for (let step = 1; step <= 3; step++) {
        happened.push(`${name}${step}`);
        spin();
        yield;
      }
    }
    let over = false;
    const otherTurn = (): void => {
      happened.push('other');
      if (!over) {
        setImmediate(otherTurn);
      }
    };
    setImmediate(otherTurn);
    await Promise.all(['a', 'b'].map((name) => lines.read(reading(name), () => false)));
    over = true;
    const steps = happened.filter((what) => what !== 'other');
    expect(steps).toEqual(['a1', 'a2', 'a3', 'b1', 'b2', 'b3']);
    for (const [index, what] of happened.entries()) {
      // Each step is longer than a piece, so none follows another one in the same turn.
      expect(what === 'other' || happened[index + 1] === 'other', happened.join(' ')).toBe(true);
    }
  });

  test('of a connection that is closed before they are read are not read', async () => {
    const lines = new LongLines();
    let read = '';
    function* reading(name: string): Steps<void> {
      yield;
      read += name;
    }
    await Promise.all([
      lines.read(reading('a'), () => false),
      lines.read(reading('b'), () => read === 'a'),
      lines.read(reading('c'), () => false),
    ]);
    expect(read).toBe('ac');
  });
});

describe('a client that sends long lines and short ones in one burst', () => {
  /** Read in several turns. */
  const longId = (name: string) => [name, ...Array.from({ length: 100_000 }, (_, index) => index % 10)];

  test('gets the answers in the order of its lines, also when it ends its half at once', async () => {
    await using daemon = await startDaemon();
    await using client = await connectRaw(daemon);
    const ping = (id: unknown) =>
      `${JSON.stringify({ jsonrpc: '2.0', id, method: 'server.ping', auth: daemon.token })}\n`;
    const ids = [1, longId('a'), 2, longId('b'), longId('c'), 3];
    client.socket.end(ids.map(ping).join(''));
    await client.untilClosed();
    expect(client.replies.map(({ id }) => id)).toEqual(ids);
  });
});
