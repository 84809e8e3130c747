/** A link that breaks after a request was heard and before its reply has come: what is asked again, and what is not. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { connect, type HoldfastError, type Host, type MethodName } from '../../src/client/index.ts';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { connectTo, proxyTo, quick, untilText } from '../support/host.ts';
import { waitUntil } from '../support/wait.ts';

const partOfFrame = 10;

interface Place extends AsyncDisposable {
  readonly daemon: TestDaemon;
  readonly host: Host;
  /**
   * Sends a request whose reply stays on its way, and cuts the link once the daemon has done it.
   * @param done whether the daemon has, seen from elsewhere
   */
  lose<T>(send: () => Promise<T>, done: () => unknown): Promise<T>;
}

async function startPlace(): Promise<Place> {
  const stack = new AsyncDisposableStack();
  const daemon = stack.use(await startDaemon({ profile: 'current' }));
  const proxy = stack.use(await proxyTo(daemon));
  const host = stack.use(await connect({ socket: proxy.address, token: daemon.token, ...quick }));
  /** What a link carries to the client before it is asked for anything: the greeting, and the sessions taken up again. */
  const quietBytes = async (): Promise<number> => {
    await relinkWith('');
    await host.server.ping();
    const afterFirst = proxy.passed.toClient;
    await host.server.ping();
    return afterFirst - (proxy.passed.toClient - afterFirst);
  };
  /** The next link passes this and nothing more to the client. */
  const relinkWith = async (rules: string): Promise<void> => {
    proxy.setRules({ toClient: rules });
    const connected = new Promise((resolve) => host.once('connected', () => resolve(undefined)));
    proxy.strike('cut');
    await connected;
  };
  return {
    daemon,
    host,
    async lose(send, done) {
      // The first bytes of a frame may pass: ids of requests get longer with time.
      await relinkWith(`stall ${(await quietBytes()) + partOfFrame}`);
      let settled = false;
      const reply = send().finally(() => {
        settled = true;
      });
      reply.catch(() => {});
      await waitUntil(async () => (await done()) !== false, 'the daemon to have done it');
      expect(settled).toBe(false);
      await relinkWith('');
      return reply;
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

test('spawn: the process is started once', async () => {
  await using place = await startPlace();
  const { host, daemon } = place;
  const starts = join(daemon.dir, 'starts');
  const job = await place.lose(
    () => host.spawn({ id: 'once', command: 'sh', args: ['-c', `echo x >>${starts}; cat`] }),
    () => existsSync(starts),
  );
  expect(job.existing).toBe(false);
  await job.write('hello\n');
  await untilText(job.stdout, 'hello\n');
  expect(readFileSync(starts, 'utf8')).toBe('x\n');
});

test('input: every byte arrives once, and the write resolves', async () => {
  await using place = await startPlace();
  const { host, daemon } = place;
  const copy = join(daemon.dir, 'copy');
  const job = await host.spawn({ command: 'sh', args: ['-c', `cat >${copy}; cat ${copy}`] });
  await place.lose(
    () => job.write('one\n'),
    () => existsSync(copy) && readFileSync(copy, 'utf8') === 'one\n',
  );
  await job.write('two\n');
  await job.end();
  await untilText(job.stdout, 'one\ntwo\n');
});

test('input: a write that was taken resolves although the process has ended before anybody could say so', async () => {
  await using place = await startPlace();
  const { host, daemon } = place;
  await using other = await connectTo(daemon);
  const job = await host.spawn({ id: 'short', command: 'sh', args: ['-c', 'read line; echo "$line"'] });
  await place.lose(
    () => job.write('one\n'),
    async () => (await other.sessions()).find(({ id }) => id === 'short')?.state === 'exited',
  );
  await untilText(job.stdout, 'one\n');
  await expect(job.write('two\n')).rejects.toMatchObject({ kind: 'closed' });
});

test('end of input: the process gets it, and the call resolves', async () => {
  await using place = await startPlace();
  const { host, daemon } = place;
  const seen = join(daemon.dir, 'seen');
  const job = await host.spawn({ command: 'sh', args: ['-c', `cat >/dev/null; echo end >${seen}; exec sleep 60`] });
  await place.lose(
    () => job.end(),
    () => existsSync(seen),
  );
  await job.kill();
  expect((await job.exit).signal).toBe('SIGTERM');
});

test('kill and killAndWait: asked again, and the answer is that of the one end', async () => {
  await using place = await startPlace();
  const { host, daemon } = place;
  await using other = await connectTo(daemon);
  const state = async (id: string) => (await other.sessions()).find((session) => session.id === id)?.state;
  const first = await host.spawn({ id: 'first', command: 'sleep', args: ['60'] });
  await place.lose(
    () => first.kill('KILL'),
    async () => (await state('first')) === 'exited',
  );
  expect(await first.exit).toMatchObject({ signal: 'SIGKILL' });
  const second = await host.spawn({ id: 'second', command: 'sleep', args: ['60'] });
  const outcome = await place.lose(
    () => second.killAndWait(),
    async () => (await state('second')) === 'exited',
  );
  expect(outcome).toEqual({ found: true, died: true, alreadyExited: true });
  expect(await second.exit).toMatchObject({ signal: 'SIGTERM' });
});

test('reads: asked again', async () => {
  await using place = await startPlace();
  const { host, daemon } = place;
  writeFileSync(join(daemon.dir, 'text'), 'hello');
  const path = join(daemon.dir, 'text');
  const asked = Promise.all([
    place.lose(
      () =>
        Promise.all([
          host.server.ping(),
          host.files.read({ path }),
          host.files.stat({ path }),
          host.git.info({ path: daemon.dir }),
          host.sessions(),
        ]),
      () => true,
    ),
  ]);
  const [[pong, read, stat, info, sessions]] = await asked;
  expect(pong).toEqual({ pong: true });
  expect(read).toEqual({ content: 'hello', exists: true });
  expect(stat).toMatchObject({ exists: true, size: 5 });
  expect(info).toMatchObject({ isRepo: false });
  expect(sessions).toEqual([]);
});

test('what cannot be repeated is not: it rejects, and says that it may have been done', async () => {
  await using place = await startPlace();
  const { host, daemon } = place;
  const archive = join(daemon.dir, 'archive.tgz');
  const source = join(daemon.dir, 'home');
  const packed = await host.spawn({ command: 'tar', args: ['-czf', archive, '-C', source, '.'] });
  expect((await packed.exit).code).toBe(0);
  const destDir = join(daemon.dir, 'unpacked');
  const lost = { kind: 'closed', maybeDone: true, message: expect.stringContaining('may have been done') };
  await expect(
    place.lose(
      () => host.files.extractTar({ archivePath: archive, destDir }),
      () => existsSync(destDir),
    ),
  ).rejects.toMatchObject(lost);

  const starts = join(daemon.dir, 'starts');
  await expect(
    place.lose(
      () => host.process.spawn({ id: 'bare', command: 'sh', args: ['-c', `echo x >>${starts}`] }),
      () => existsSync(starts),
    ),
  ).rejects.toMatchObject(lost);
  expect(readFileSync(starts, 'utf8')).toBe('x\n');

  const job = await host.spawn({ id: 'released', command: 'sleep', args: ['60'] });
  await using other = await connectTo(daemon);
  await expect(
    place.lose(
      () => job.release(),
      async () => (await other.sessions()).every(({ id }) => id !== 'released'),
    ),
  ).rejects.toMatchObject(lost);
});

/** Params with which nothing happens, and what becomes of the request when its reply is lost. */
const afterLoss: Record<MethodName, readonly ['asked again' | 'may have been done', params: object]> = {
  'server.ping': ['asked again', {}],
  'server.version': ['asked again', {}],
  'server.capabilities': ['asked again', {}],
  'server.shutdown': ['may have been done', {}],
  'files.list': ['asked again', { path: '/' }],
  'files.validate': ['asked again', { path: '/' }],
  'files.stat': ['asked again', { path: '/' }],
  'files.read': ['asked again', { path: '/nowhere' }],
  'files.extract_tar': ['may have been done', { archivePath: '/nowhere', destDir: '/nowhere' }],
  'git.info': ['asked again', { path: '/' }],
  'git.status': ['asked again', { path: '/', baseRepo: '/' }],
  'git.list_branches': ['asked again', { path: '/' }],
  'git.worktree_create': ['may have been done', {}],
  'git.worktree_remove': ['may have been done', {}],
  'process.spawn': ['may have been done', { id: 'x', command: '/nowhere' }],
  'process.stdin': ['may have been done', { id: 'nobody', data: '' }],
  'process.kill': ['asked again', { id: 'nobody' }],
  'process.killAndWait': ['asked again', { id: 'nobody' }],
  'process.reattach': ['may have been done', { id: 'nobody', fromSeq: 0 }],
  'plugins.prune': ['may have been done', {}],
  'launcher.resolve': ['asked again', { cliPath: '/nowhere' }],
  'holdfast.describe': ['asked again', {}],
  'holdfast.sessions': ['asked again', {}],
  'holdfast.watch': ['asked again', { events: false }],
  'holdfast.observe': ['may have been done', { id: 'nobody' }],
  'holdfast.unobserve': ['asked again', { id: 'nobody' }],
  'holdfast.closeStdin': ['asked again', { id: 'nobody', offset: 0 }],
  'holdfast.release': ['may have been done', { id: 'nobody' }],
};
const withOwnRule = [
  ['process.spawn', 'asked again', { id: 'x', command: '/nowhere', ifAbsent: true }],
  ['process.stdin', 'asked again', { id: 'nobody', data: '', offset: 0 }],
] as const;

test('every method: a lost reply is asked for again, or said to be lost', { timeout: 60_000 }, async () => {
  await using place = await startPlace();
  const all = Object.entries(afterLoss).map(([method, [fate, params]]) => [method, fate, params] as const);
  // The end of the daemon comes last.
  const rows = [...all.filter(([method]) => method !== 'server.shutdown'), ...withOwnRule];
  const lose = (method: string, params: object): Promise<string> =>
    place
      .lose(
        () => place.host.request(method, params),
        () => true,
      )
      .then(
        () => 'asked again',
        ({ kind, maybeDone }: HoldfastError) => (kind === 'closed' && maybeDone ? 'may have been done' : kind),
      )
      // A refusal is an answer too.
      .then((fate) => (fate === 'rpc' ? 'asked again' : fate));
  for (const [method, fate, params] of rows) {
    expect([method, await lose(method, params)]).toEqual([method, fate]);
  }
  await using proxy = await proxyTo(place.daemon, {}, 'second.sock');
  await using last = await connect({ socket: proxy.address, token: place.daemon.token, ...quick });
  proxy.strike('half-open');
  const shutdown = last.server.shutdown();
  proxy.strike('cut');
  await expect(shutdown).rejects.toMatchObject({ kind: 'closed', maybeDone: true });
});

test('a request that was never sent is not lost: it waits for the next link', async () => {
  await using daemon = await startDaemon();
  await using proxy = await proxyTo(daemon);
  await using host = await connect({ socket: proxy.address, token: daemon.token, ...quick });
  const disconnected = new Promise((resolve) => host.once('disconnected', resolve));
  proxy.strike('cut');
  await disconnected;
  expect(host.isConnected).toBe(false);
  expect((await host.process.spawn({ id: 'late', command: 'true' })).success).toBe(true);
});
