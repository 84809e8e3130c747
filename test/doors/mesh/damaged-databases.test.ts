/**
 * Fault 23 with live daemons: one bit of a database flipped, at another place for each seed. Some seeds by default,
 * HOLDFAST_FULL_FAULTS=1 for a hundred; stores.test.ts has a hundred without the daemon around the databases.
 */
import { copyFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { byLength, limitMs } from '../../faults/support/length.ts';
import { waitUntil } from '../../support/wait.ts';
import { flipBits } from './damage.ts';
import { newMember } from './members.ts';
import { inboxOf, outboxOf } from './rows.ts';
import { StandInBroker } from './stand-in-broker.ts';
import { TestDaemon } from './test-daemon.ts';

const seeds = byLength(6, 100);
const messages = 12;
const names = ['outbox.db', 'inbox.db'];

test(
  'a daemon with a damaged database refuses to start and says which, or runs and answers; never a stack trace, never a hang',
  async () => {
    const [own, other] = [newMember('own'), newMember('other')];
    await using broker = await StandInBroker.start({ members: [own, other] });
    const options = { brokerUrl: broker.url, words: ['--no-tcp'] };
    await using daemon = await TestDaemon.start({ ...options, member: own });
    {
      await using peer = await TestDaemon.start({ ...options, member: other });
      for (let at = 0; at < messages; at++) {
        const text = `${at} ${'x'.repeat(at * 200)}`;
        await daemon.send({ to: '*', message: text });
        await peer.send({ to: own.pubkey, message: text });
      }
      await waitUntil(async () => (await inboxOf(daemon)).length === messages, 'all messages');
    }
    expect(await daemon.stopped()).toBe(0);
    for (const name of names) {
      copyFileSync(join(daemon.daemonFolder, name), join(daemon.folder, name));
    }
    for (let seed = 1; seed <= seeds; seed++) {
      for (const name of readdirSync(daemon.daemonFolder).filter((each) => /^(in|out)box\.db/.test(each))) {
        rmSync(join(daemon.daemonFolder, name));
      }
      for (const name of names) {
        copyFileSync(join(daemon.folder, name), join(daemon.daemonFolder, name));
      }
      const damaged = names[seed % 2] as string;
      flipBits(join(daemon.daemonFolder, damaged), seed);
      // A refusal is looked at below.
      await daemon.launch().catch(() => daemon.ended());
      if (daemon.isRunning) {
        expect((await daemon.request('/v1/health')).status).toBe(200);
        expect((await daemon.send({ to: '*', message: 'x' })).status).toBe(202);
        expect((await outboxOf(daemon)).length).toBeGreaterThan(0);
        expect(await inboxOf(daemon)).toBeInstanceOf(Array);
        expect(await daemon.stopped()).toBe(0);
      } else {
        expect(damaged, `seed ${seed}: an inbox is set aside`).toBe('outbox.db');
        expect(await daemon.ended()).toBe(1);
        expect(daemon.output).toContain('outbox.db corrupt\n');
      }
      expect(daemon.output).not.toMatch(/^\s+at /m);
    }
  },
  limitMs(120),
);
