/** Fault 1 and the fault table's "client killed mid-frame": whoever reattaches has every byte once. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { fixture } from '../support/fixtures.ts';
import { readHistory, recordsOf } from '../tools/history-records.ts';
import { Noise } from '../tools/noise.ts';
import { connectRaw } from '../tools/raw-connection.ts';
import { byLength, limitMs } from './support/length.ts';
import { WatchedRun } from './support/watched-run.ts';

const kills = byLength(10, 200);
/** Larger than one read of a pipe, so that frames are full ones and a read of the client mostly ends inside of one. */
const blockBytes = 40_000;
const session = 'live';

/** In one generation the connection that loses a session is closed, in the others it stays open. */
describe.each(['S', 'next'] as const)('profile %s', (profile) => {
  test('clients that are killed in mid-frame one after the other lose nothing for the one that reattaches', {
    timeout: limitMs(60),
  }, async () => {
    await using daemon = await startDaemon({ profile });
    using run = new WatchedRun(daemon.dir);
    await using first = await connectRaw(daemon, { name: 'first', keep: 'figures', observer: run.observer });
    await first.spawn(session, ...fixture('echo-lines.ts', ...run.child(session)));
    await using feeder = await connectRaw(daemon, { name: 'feeder', observer: run.observer });

    // Input goes on all the time, on a connection that does not hold the session.
    const noise = new Noise('input');
    let offset = 0;
    let feeding = true;
    const fed = (async () => {
      while (feeding) {
        const { result } = await feeder.stdin(session, noise.bytes(offset, blockBytes), offset);
        offset = result.applied;
        await sleep(40);
      }
    })();

    const seen = run.file('followers');
    /** What the clients that were killed have written down, each frame once. */
    const frames = () => {
      const records = existsSync(seen) ? recordsOf(readHistory([seen]), session, 'frame') : [];
      return new Map(records.map((frame) => [frame.seq, frame.bytes]));
    };
    for (let kill = 0; kill < kills; kill++) {
      const ended = await follow(daemon, {
        name: `killed-${kill}`,
        from: Math.max(0, ...frames().keys()),
        log: seen,
        dieAfter: 1 + (kill % 20),
      });
      expect(ended).toEqual({ code: null, signal: 'SIGKILL' });
    }
    feeding = false;
    await fed;

    await using last = await connectRaw(daemon, { name: 'last', keep: 'figures', observer: run.observer });
    const before = frames();
    const bytesBefore = [...before.values()].reduce((sum, bytes) => sum + bytes, 0);
    await last.reattach(session, Math.max(...before.keys()));
    const stream = last.stream(session);
    await last.waitFor(() => bytesBefore + stream.bytes.stdout === offset, 'the last block to come back');
    await last.kill(session);
    expect(await last.exitOf(session)).toMatchObject({ exitCode: -1 });
    run.completeWithInput(session);
    run.verify();
  });
});

interface Follow {
  readonly name: string;
  readonly from: number;
  readonly log: string;
  readonly dieAfter: number;
}

function follow(daemon: TestDaemon, { name, from, log, dieAfter }: Follow): Promise<object> {
  const script = fileURLToPath(new URL('../fixtures/follow-session.ts', import.meta.url));
  const token = join(daemon.runDir, 'daemon.token');
  const args = ['--socket', daemon.socket, '--token', token, '--session', session, '--from', String(from)];
  const client = spawn(
    process.execPath,
    [script, ...args, '--log', log, '--name', name, '--die-after', String(dieAfter)],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
  return new Promise((resolve, reject) => {
    client.on('error', reject).on('exit', (code, signal) => resolve({ code, signal }));
  });
}
