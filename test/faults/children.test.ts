/**
 * Fault 15: children of every kind, also the fault table's child that ignores SIGTERM, grandchild that holds the pipe, and
 * 1,000 short lives. Each has exactly one exit frame, its last one, and leaves neither a zombie nor a descriptor.
 */
import { describe, expect, test } from 'vitest';
import { startDaemon } from '../support/daemon.ts';
import { fixture } from '../support/fixtures.ts';
import { isRunning, type ProcessFacts, processFacts, signalProcess, untilEnded } from '../support/processes.ts';
import { connectRaw } from '../tools/raw-connection.ts';
import { childrenOf, expectNothingLeft, holdingsOf } from './support/leaks.ts';
import { byLength, limitMs } from './support/length.ts';
import { WatchedRun } from './support/watched-run.ts';

const shortLives = byLength(1_000, 10_000);
const atOnce = 25;

describe.each(['S', 'current'] as const)('profile %s', (profile) => {
  test('a thousand short lives give a thousand correct exit frames, no zombie and no open descriptor', {
    timeout: limitMs(90),
  }, async () => {
    await using daemon = await startDaemon({ profile });
    using run = new WatchedRun(daemon.dir);
    await using client = await connectRaw(daemon, { observer: run.observer });
    const before = await holdingsOf(daemon, client);

    const live = async (id: string, code: number) => {
      await client.spawn(id, 'sh', ['-c', `echo x; exit ${code}`]);
      expect(await client.exitOf(id)).toMatchObject({ exitCode: code });
      expect(client.stream(id).text()).toBe('x\n');
    };
    for (let number = 0; number < shortLives; number += atOnce) {
      await Promise.all(Array.from({ length: atOnce }, (_, index) => live(`life-${number + index}`, index)));
    }

    await expectNothingLeft(daemon, before);
    run.verify();
    // Each of them can still be asked for, with the same frames.
    await using other = await connectRaw(daemon);
    expect(await other.reattach('life-7', 0)).toMatchObject({ found: true, running: false });
    expect(other.stream('life-7').text()).toBe('x\n');
  });

  test('a child that ignores TERM lives on, and an escalated kill ends it and all of its group', async () => {
    await using daemon = await startDaemon({ profile });
    using run = new WatchedRun(daemon.dir);
    await using client = await connectRaw(daemon, { observer: run.observer });
    const before = await holdingsOf(daemon, client);
    await client.spawn('stubborn', ...fixture('ignore-term.sh'));
    await client.untilOutput('stubborn', 'ready');
    const wait = { id: 'stubborn', signal: 'TERM', timeoutMs: 50 };
    expect(await client.call('process.killAndWait', { ...wait, escalate: false })).toEqual({
      found: true,
      died: false,
    });
    await client.kill('stubborn', 'INT');
    await client.kill('stubborn', 'HUP');
    expect(await client.reattach('stubborn')).toMatchObject({ found: true, running: true });

    expect(await client.call('process.killAndWait', wait)).toEqual({ found: true, died: true, escalated: true });
    const exit = await client.exitOf('stubborn');
    expect(exit.exitCode).toBe(-1);
    if (profile !== 'S') {
      expect(exit).toMatchObject({ signal: 'SIGKILL', killedBy: 'client' });
    }
    expect(await client.call('process.killAndWait', wait)).toEqual({ found: true, died: true, alreadyExited: true });
    await expectNothingLeft(daemon, before);
    run.verify();
  });
});

describe('each of these has one exit frame, its last one, and leaves nothing', () => {
  test('a grandchild that holds the pipe delays the exit frame until the drain limit, and no longer', {
    timeout: limitMs(60),
  }, async () => {
    await using daemon = await startDaemon();
    using run = new WatchedRun(daemon.dir);
    await using client = await connectRaw(daemon, { observer: run.observer });
    const before = await holdingsOf(daemon, client);
    await client.spawn('short', ...fixture('hold-pipe-open.sh', '0.3'));
    await client.spawn('long', ...fixture('hold-pipe-open.sh'));
    await client.untilOutput('long', '\n');
    const grandchild = processFacts(Number(client.stream('long').text())) as ProcessFacts;

    // One that lets go in time: what it wrote last is there, and the exit frame after it.
    expect(await client.exitOf('short')).toMatchObject({ exitCode: 0 });
    expect(client.stream('short').text()).toMatch(/^\d+\nlate\n$/);
    expect(client.stream('long').exit).toBeUndefined();

    expect(await client.exitOf('long')).toMatchObject({ exitCode: 0 });
    await daemon.untilLogged(
      /WARN .*Process long: pipe drain grace expired \(grandchild holding stdio\?\); force-closing/,
    );
    // The end of the session is not the end of the grandchild.
    expect(isRunning(grandchild)).toBe(true);
    signalProcess(grandchild, 'SIGKILL');
    await expectNothingLeft(daemon, before);
    run.verify();
  });

  test('an escalated kill reaches the grandchild that holds the pipe after the child itself has ended', async () => {
    await using daemon = await startDaemon();
    using run = new WatchedRun(daemon.dir);
    await using client = await connectRaw(daemon, { observer: run.observer });
    const before = await holdingsOf(daemon, client);
    const { pid } = await client.spawn('holder', ...fixture('hold-pipe-open.sh'), { wantPid: true });
    await client.untilOutput('holder', '\n');
    const grandchild = processFacts(Number(client.stream('holder').text())) as ProcessFacts;
    // Ended and not collected: the pid stays ours, so the group kill cannot hit a stranger.
    await expect.poll(() => processFacts(pid)?.state).toBe('Z');
    expect(await client.call('process.killAndWait', { id: 'holder', timeoutMs: 1 })).toMatchObject({
      found: true,
      died: true,
    });
    await untilEnded(grandchild);
    expect(await client.exitOf('holder')).toMatchObject({ exitCode: 0 });
    expect(daemon.log()).not.toContain('pipe drain grace expired');
    await expectNothingLeft(daemon, before);
    run.verify();
  });

  test('a double fork into a session of its own, which lets go of the pipes', async () => {
    await using daemon = await startDaemon();
    using run = new WatchedRun(daemon.dir);
    await using client = await connectRaw(daemon, { observer: run.observer });
    const before = await holdingsOf(daemon, client);
    await client.spawn('fork', ...fixture('leave-the-group.sh'));
    expect(await client.exitOf('fork')).toMatchObject({ exitCode: 0 });
    await client.kill('fork', 'KILL');
    const grandchild = processFacts(Number(client.stream('fork').text())) as ProcessFacts;
    // Out of reach of a group kill, and still there: only operators' verbs look for it.
    expect(isRunning(grandchild)).toBe(true);
    signalProcess(grandchild, 'SIGKILL');
    await untilEnded(grandchild);
    await expectNothingLeft(daemon, before);
    run.verify();
  });

  test('a child that closes its standard streams and lives on', async () => {
    await using daemon = await startDaemon();
    using run = new WatchedRun(daemon.dir);
    await using client = await connectRaw(daemon, { observer: run.observer });
    const before = await holdingsOf(daemon, client);
    const { pid } = await client.spawn('closed', ...fixture('close-stdio.sh'), { wantPid: true });
    await client.untilOutput('closed', 'closing\n');
    // Input for it goes nowhere and harms nobody; it counts as running until it ends.
    expect((await client.stdin('closed', 'nobody reads this')).result).toEqual({ success: true, applied: 17 });
    expect(await client.reattach('closed')).toMatchObject({ found: true, running: true });
    expect(client.stream('closed').exit).toBeUndefined();
    await client.kill('closed');
    expect(await client.exitOf('closed')).toMatchObject({ exitCode: -1 });
    expect(processFacts(pid)).toBeUndefined();
    await expectNothingLeft(daemon, before);
    run.verify();
  });

  test('a child that leaves zombies of its own takes them with it', async () => {
    await using daemon = await startDaemon();
    using run = new WatchedRun(daemon.dir);
    await using client = await connectRaw(daemon, { observer: run.observer });
    const before = await holdingsOf(daemon, client);
    const { pid } = await client.spawn('maker', ...fixture('leave-zombies.sh', '20'), { wantPid: true });
    await client.untilOutput('maker', 'ready');
    await expect.poll(() => childrenOf(pid).filter((child) => processFacts(child)?.state === 'Z').length).toBe(20);
    const zombies = childrenOf(pid).map((child) => processFacts(child) as ProcessFacts);
    await client.kill('maker', 'KILL');
    await client.exitOf('maker');
    await expect
      .poll(() => zombies.filter(({ pid, start }) => processFacts(pid)?.start === start), { timeout: 10_000 })
      .toEqual([]);
    await expectNothingLeft(daemon, before);
    run.verify();
  });

  test('a child that exits while a megabyte is unread', async () => {
    await using daemon = await startDaemon();
    using run = new WatchedRun(daemon.dir);
    await using client = await connectRaw(daemon, { observer: run.observer });
    const before = await holdingsOf(daemon, client);
    // A pipe holds 64 KiB; sixteen children at once leave a mebibyte behind when they end.
    const ids = Array.from({ length: 16 }, (_, index) => `quick-${index}`);
    client.pauseReading();
    for (const id of ids) {
      const [command, args] = fixture('exit-with-unread-output.sh', '65536');
      client.post('process.spawn', { id, command, args });
    }
    client.resumeReading();
    for (const id of ids) {
      expect(await client.exitOf(id)).toMatchObject({ exitCode: 7 });
      expect(client.stream(id).output().equals(Buffer.alloc(65_536, 'x'))).toBe(true);
    }
    await expectNothingLeft(daemon, before);
    run.verify();
  });

  test.each(['SEGV', 'ABRT', 'KILL', 'TERM', 'PIPE', 'USR1'])('a child that ends itself by SIG%s', async (signal) => {
    await using daemon = await startDaemon({ profile: 'current' });
    using run = new WatchedRun(daemon.dir);
    await using client = await connectRaw(daemon, { observer: run.observer });
    await client.spawn('dying', ...fixture('die-by-signal.sh', signal));
    expect((await client.exitOf('dying')).raw).toBe(
      `{"type":"stream","processId":"dying","stream":"exit","seq":2,"exitCode":-1,"signal":"SIG${signal}"}`,
    );
    run.verify();
  });
});
