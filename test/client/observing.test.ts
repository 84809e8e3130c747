/** Looking on, lists, and what happens to sessions, over a connection that breaks. */
import { expect, test } from 'vitest';
import { connect, type SessionEvent, type Watch, type WatchEvent } from '../../src/client/index.ts';
import { startDaemon } from '../support/daemon.ts';
import { collect, connectTo, proxyTo, quick, textOf, untilText } from '../support/host.ts';

async function take(watch: Watch, wanted: (event: WatchEvent) => boolean): Promise<WatchEvent[]> {
  const seen: WatchEvent[] = [];
  for (;;) {
    const { value, done } = await watch.next();
    if (done) {
      throw new Error(`the watch has ended after ${JSON.stringify(seen)}`);
    }
    seen.push(value);
    if (wanted(value)) {
      return seen;
    }
  }
}

test('an observer sees what the receiver sees, across a cut, and takes nothing away', async () => {
  await using daemon = await startDaemon({ profile: 'next' });
  await using proxy = await proxyTo(daemon);
  await using receiving = await connectTo(daemon);
  await using looking = await connect({ socket: proxy.address, token: daemon.token, ...quick });
  const job = await receiving.spawn({ id: 'seen', command: 'cat' });
  await job.write('one\n');
  const observer = await looking.observe('seen');
  await untilText(observer.stdout, 'one\n');
  proxy.strike('cut');
  await job.write('two\n');
  await untilText(observer.stdout, 'two\n');
  await job.end();
  expect((await observer.exit).code).toBe(0);
  expect(await textOf(job.stdout)).toBe('one\ntwo\n');
  expect(() => observer.end()).toThrow(/only observed/);
  await expect(observer.write('x')).rejects.toMatchObject({ kind: 'unsupported' });
  await expect(looking.observe('unknown')).rejects.toMatchObject({ kind: 'rpc', code: -32602 });
  await expect(receiving.observe('seen')).resolves.toBeDefined();
});

test('an observer who falls behind is told which frames it will not get', async () => {
  await using daemon = await startDaemon();
  await using receiving = await connectTo(daemon);
  await using looking = await connectTo(daemon);
  const job = await receiving.spawn({
    id: 'flood',
    command: 'sh',
    args: ['-c', 'read go; head -c 60000000 /dev/zero'],
  });
  const observer = await looking.observe('flood', { onGap: 'continue' });
  const gaps: { from: number; to: number }[] = [];
  looking.on('gap', ({ from, to, processId }) => {
    expect(processId).toBe('flood');
    gaps.push({ from, to });
  });
  await job.write('go\n');
  // The receiver reads all of it while the observer reads nothing.
  expect((await collect(job.stdout)).bytes).toBe(60_000_000);
  const frames: SessionEvent[] = [];
  for await (const event of observer.events) {
    frames.push(event);
  }
  const lost = frames.filter((event) => event.type === 'gap').map(({ from, to }) => ({ from, to }));
  expect(lost.length).toBeGreaterThan(0);
  expect(lost).toEqual(gaps);
  // Each number once, in a frame or in a gap.
  let next = 1;
  for (const event of frames) {
    expect(event.type === 'gap' ? event.from : event.seq).toBe(next);
    next = (event.type === 'gap' ? event.to : event.seq) + 1;
  }
  expect(frames.at(-1)).toMatchObject({ type: 'exit', exitCode: 0 });
});

test('frames that are gone end the streams with their numbers, and the exit is told all the same', async () => {
  await using daemon = await startDaemon();
  const writing = await connectTo(daemon);
  const script = 'echo first; read go; head -c 60000000 /dev/zero; read end';
  const job = await writing.spawn({ id: 'away', command: 'sh', args: ['-c', script] });
  await untilText(job.stdout, 'first\n');
  await job.write('go\n');
  await writing.close();
  await using back = await connectTo(daemon);
  await using looking = await connectTo(daemon);
  // With nobody attached nothing is held back.
  const watch = looking.watch();
  let written = 0;
  while (written < 60_000_000) {
    written = (await looking.sessions()).find(({ id }) => id === 'away')?.outBytes ?? 0;
  }
  await watch.return();
  const gaps: object[] = [];
  back.on('gap', (gap) => gaps.push(gap));
  const again = await back.session('away', { fromSeq: job.lastSeq });
  await expect(collect(again.stdout)).rejects.toMatchObject({ kind: 'gap', from: job.lastSeq + 1 });
  expect(gaps).toHaveLength(1);
  await again.write('end\n');
  expect((await again.exit).code).toBe(0);

  await using third = await connectTo(daemon);
  const rest = await third.session('away');
  expect((await collect(rest.stdout)).bytes).toBeLessThan(16_000_000);
});

test('a watch gives the list, what happens from then on, and a new list after a cut', async () => {
  await using daemon = await startDaemon();
  await using proxy = await proxyTo(daemon);
  await using host = await connect({ socket: proxy.address, token: daemon.token, ...quick });
  await using other = await connectTo(daemon);
  const before = await other.spawn({ id: 'before', command: 'cat' });
  const watch = host.watch();
  const [list] = await take(watch, ({ event }) => event === 'sessions');
  expect(list).toMatchObject({ sessions: [{ id: 'before', state: 'running' }] });
  await other.spawn({ id: 'during', command: 'true' });
  const told = await take(watch, ({ event }) => event === 'exited');
  expect(told.map(({ event }) => event)).toEqual(['spawned', 'attached', 'exited']);
  expect(told.at(-1)).toMatchObject({ processId: 'during', exitCode: 0 });

  proxy.strike('cut');
  const again = (await take(watch, ({ event }) => event === 'sessions')).at(-1);
  expect(again).toMatchObject({ sessions: [{ id: 'before' }, { id: 'during' }] });
  await before.kill();
  await take(watch, (event) => event.event === 'exited' && event.processId === 'before');
  await watch.return();
  expect(await watch.next()).toEqual({ value: undefined, done: true });

  const last = host.watch();
  await take(last, ({ event }) => event === 'sessions');
  const waiting = last.next();
  await host.close();
  expect(await waiting).toEqual({ value: undefined, done: true });
});

test('two watches of one connection get the same', async () => {
  await using daemon = await startDaemon();
  await using host = await connectTo(daemon);
  const watches = [host.watch(), host.watch()];
  await host.spawn({ id: 'one', command: 'true' });
  const seen = await Promise.all(watches.map((watch) => take(watch, ({ event }) => event === 'exited')));
  for (const events of seen) {
    expect(events[0]?.event).toBe('sessions');
  }
});

test('a replay that is larger than what may wait here is read while it comes', async () => {
  await using daemon = await startDaemon({ flags: ['-spool-bytes', '268435456'] });
  await using host = await connectTo(daemon);
  const bytes = 24_000_000;
  const job = await host.spawn({ id: 'long', command: 'sh', args: ['-c', `head -c ${bytes} /dev/zero; cat`] });
  let received = 0;
  for await (const chunk of job.stdout) {
    received += chunk.length;
    if (received === bytes) {
      break;
    }
  }
  for (const how of ['observe', 'session'] as const) {
    await using other = await connectTo(daemon);
    const late = await other[how]('long', { fromSeq: 0 });
    late.exit.catch(() => {});
    let replayed = 0;
    for await (const chunk of late.stdout) {
      replayed += chunk.length;
      if (replayed === bytes) {
        break;
      }
    }
    expect(replayed).toBe(bytes);
  }
});
