/** plugins.prune (spec files.md §8). */
import { chmodSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterEach, expect, onTestFinished, test, vi } from 'vitest';
import { pluginsMethods } from '../../src/doors/rpc/methods/plugins.ts';
import { startDaemon } from '../support/daemon.ts';
import { connectTo, start } from '../support/host.ts';
import { asOrdinaryUser, callMethod, platform, scratchFolder, treeOf } from './support.ts';

const dayMs = 86_400_000;
const oldEnough = new Date(Date.now() - 400 * dayMs);
const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((letter) => letter.repeat(16)) as [string, string, string, string];

afterEach(() => {
  vi.useRealTimers();
});

/** An install `me` with its run folder; `<X>` is a folder of the test's own. */
function install() {
  const folder = scratchFolder();
  mkdirSync(join(folder, 'run', 'me'), { recursive: true });
  mkdirSync(join(folder, 'plugins', 'me'), { recursive: true });
  return folder;
}

/** An unpacked plug-in whose times are all `time`. */
function plugin(root: string, name: string, time: Date = oldEnough): void {
  const path = join(root, name);
  mkdirSync(join(path, 'sub'), { recursive: true });
  writeFileSync(join(path, 'sub', 'f'), '');
  writeFileSync(join(path, '.synced'), '');
  utimesSync(join(path, '.synced'), time, time);
  utimesSync(path, time, time);
}

function prune(folder: string, params: object | string | undefined = {}, running: string[][] = []): Promise<string> {
  return callMethod(pluginsMethods, 'plugins.prune', params, {
    platform,
    settings: { socketPath: join(folder, 'run', 'me', 'rpc.sock') },
    runningArguments: async () => running,
  });
}

async function listen(path: string): Promise<Server> {
  const server = createServer((socket) => socket.destroy()).listen(path);
  await new Promise((resolve) => server.once('listening', resolve));
  onTestFinished(() => void server.close());
  return server;
}

const skipped = "skipped: another install's daemon is running";
const nobody = 'its sessions may use the shared legacy dirs';

test('old plug-ins go from the own and from the shared folder, and the report has all keys in order', async () => {
  const folder = install();
  for (const name of [b, a]) {
    plugin(join(folder, 'plugins', 'me'), name);
  }
  for (const name of [d, c]) {
    plugin(join(folder, 'plugins'), name);
  }
  expect(await prune(folder, { minAgeDays: 30 })).toBe(
    `{"root":"${folder}/plugins/me","pruned":["${a}","${b}"],"prunedLegacy":["${c}","${d}"],"staleArchives":0,` +
      '"kept":0,"live":0,"young":0,"legacy":"swept","minAgeDays":30}',
  );
  expect(treeOf(join(folder, 'plugins'))).toEqual(['me/']);
});

test('a socket anywhere else has no roots to prune', async () => {
  const none =
    "this daemon's socket is not under run/\\u003cclientId\\u003e/, so it has no per-install plugin root to prune";
  const expected =
    '{"root":"","pruned":[],"prunedLegacy":[],"staleArchives":0,"kept":0,"live":0,"young":0,' +
    `"legacy":"skipped: ${none}","skipped":"${none}","minAgeDays":0}`;
  for (const socketPath of [
    '/tmp/x/rpc.sock',
    '/tmp/run/rpc.sock',
    '/tmp/run/me/other.sock',
    '/tmp/run/me/x/rpc.sock',
    'rpc.sock',
    '',
  ]) {
    const services = { platform, settings: { socketPath }, runningArguments: async () => [] };
    for (const params of [undefined, 'null', { minAgeDays: 5000 }]) {
      expect(await callMethod(pluginsMethods, 'plugins.prune', params, services)).toBe(expected);
    }
  }
});

test.each([
  [undefined, 7],
  ['{}', 7],
  ['{"minAgeDays":0}', 7],
  ['{"minAgeDays":-5}', 7],
  ['{"minAgeDays":8,"keep":["x",null]}', 8],
  ['{"minAgeDays":3651}', 3650],
  ['{"minAgeDays":9223372036854775807}', 3650],
])('%s asks for an age of %d days', async (params, days) => {
  expect(JSON.parse(await prune(install(), params)).minAgeDays).toBe(days);
});

test.each([
  ['{"minAgeDays":"x"}', 'string into Go struct field PruneParams.minAgeDays of type int'],
  ['{"minAgeDays":7.5}', 'number 7.5 into Go struct field PruneParams.minAgeDays of type int'],
  ['{"minAgeDays":1e2}', 'number 1e2 into Go struct field PruneParams.minAgeDays of type int'],
  [
    '{"minAgeDays":9223372036854775808}',
    'number 9223372036854775808 into Go struct field PruneParams.minAgeDays of type int',
  ],
  ['{"minAgeDays":true}', 'bool into Go struct field PruneParams.minAgeDays of type int'],
  ['{"keep":1}', 'number into Go struct field PruneParams.keep of type []string'],
  ['{"keep":{}}', 'object into Go struct field PruneParams.keep of type []string'],
  ['{"keep":["a",5]}', 'number into Go struct field PruneParams.keep of type string'],
  ['{"keep":[["a"]]}', 'array into Go struct field PruneParams.keep of type string'],
  ['[]', 'array into Go value of type handlers.PruneParams'],
  ['"x"', 'string into Go value of type handlers.PruneParams'],
  ['1.5', 'number into Go value of type handlers.PruneParams'],
  ['false', 'bool into Go value of type handlers.PruneParams'],
])('the params %s are refused with what is wrong, before anything else is looked at', async (params, text) => {
  expect(await prune('/nowhere', params)).toBe(`-32602 Invalid params: json: cannot unmarshal ${text}`);
});

test('only real folders named by a hash are looked at', async () => {
  const folder = install();
  const root = join(folder, 'plugins', 'me');
  const decoy = join(folder, 'decoy');
  plugin(folder, 'decoy');
  const others = ['A'.repeat(16), 'a'.repeat(15), 'a'.repeat(17), 'g'.repeat(16), `.${'a'.repeat(15)}`];
  for (const name of others) {
    plugin(root, name);
  }
  symlinkSync(decoy, join(root, a));
  writeFileSync(join(root, b), '');
  utimesSync(join(root, b), oldEnough, oldEnough);
  expect(JSON.parse(await prune(folder))).toMatchObject({ pruned: [], young: 0, live: 0 });
  expect(readdirSync(root).sort()).toEqual([...others, a, b].sort());
  expect(treeOf(decoy)).toEqual(['.synced=', 'sub/', 'sub/f=']);
});

test('a plug-in is young up to its very age, by the newer of its folder and its marker', async () => {
  const folder = install();
  const root = join(folder, 'plugins', 'me');
  const now = Date.now();
  vi.useFakeTimers({ toFake: ['Date'], now });
  const edge = new Date(now - 10 * dayMs);
  const past = new Date(now - 10 * dayMs - 1);
  plugin(root, a, edge);
  plugin(root, b, past);
  plugin(root, c, past);
  utimesSync(join(root, c, '.synced'), edge, edge);
  plugin(root, d, past);
  rmSync(join(root, d, '.synced'));
  utimesSync(join(root, d), edge, edge);
  expect(JSON.parse(await prune(folder, { minAgeDays: 10 }))).toMatchObject({ pruned: [b], young: 3 });
});

test('a plug-in whose hash is in an argument of a running child stays', async () => {
  const folder = install();
  const root = join(folder, 'plugins', 'me');
  for (const name of [a, b, c]) {
    plugin(root, name);
  }
  const running = [
    ['agent', `--plugin-dir=${root}/${a}/x`],
    [`${b}0`, `f${c}`, `xyz${'0'.repeat(16)}`],
  ];
  expect(JSON.parse(await prune(folder, {}, running))).toMatchObject({ pruned: [b, c], live: 1 });
  expect(readdirSync(root)).toEqual([a]);
});

test('what cannot be removed or read is told, and the rest is done', async () => {
  const folder = install();
  for (const path of [folder, join(folder, 'run'), join(folder, 'plugins')]) {
    chmodSync(path, 0o755);
  }
  const root = join(folder, 'plugins', 'me');
  plugin(root, a);
  chmodSync(root, 0o755);
  if (process.geteuid?.() !== 0) {
    chmodSync(root, 0o555);
  }
  const closed = JSON.parse(await asOrdinaryUser(() => prune(folder)));
  expect(closed.pruned).toEqual([]);
  expect(closed.errors).toEqual([expect.stringMatching(`^${root}/${a}: unlinkat ${root}/${a}.*: permission denied$`)]);
  chmodSync(root, 0);
  const unreadable = JSON.parse(await asOrdinaryUser(() => prune(folder)));
  expect(unreadable.errors).toEqual([`${root}: open ${root}: permission denied`]);
  chmodSync(root, 0o755);
});

test('missing roots are no failure', async () => {
  const folder = install();
  rmSync(join(folder, 'plugins'), { recursive: true });
  expect(JSON.parse(await prune(folder))).toEqual({
    root: `${folder}/plugins/me`,
    pruned: [],
    prunedLegacy: [],
    staleArchives: 0,
    kept: 0,
    live: 0,
    young: 0,
    legacy: 'absent',
    minAgeDays: 7,
  });
});

test('another daemon that answers protects the shared plug-ins, not ours', async () => {
  const folder = install();
  plugin(join(folder, 'plugins', 'me'), a);
  plugin(join(folder, 'plugins'), b);
  mkdirSync(join(folder, 'run', 'other'));
  await listen(join(folder, 'run', 'other', 'rpc.sock'));
  expect(JSON.parse(await prune(folder))).toMatchObject({
    pruned: [a],
    prunedLegacy: [],
    legacy: `${skipped} (run/other/rpc.sock answers); ${nobody}`,
  });
  rmSync(join(folder, 'plugins'), { recursive: true });
  expect(JSON.parse(await prune(folder)).legacy).toContain('run/other/rpc.sock answers');
});

test('what is left of other daemons protects nothing', async () => {
  const folder = install();
  plugin(join(folder, 'plugins'), b);
  const run = join(folder, 'run');
  for (const name of ['empty', 'file', 'dead', 'folder']) {
    mkdirSync(join(run, name));
  }
  writeFileSync(join(run, 'file', 'rpc.sock'), '');
  const server = await listen(join(run, 'dead', 'live.sock'));
  // The name of a socket that nobody listens to any more.
  renameSync(join(run, 'dead', 'live.sock'), join(run, 'dead', 'rpc.sock'));
  await new Promise((resolve) => server.close(resolve));
  symlinkSync('nowhere', join(run, 'folder', 'rpc.sock'));
  await listen(join(run, 'me', 'rpc.sock'));
  expect(JSON.parse(await prune(folder))).toMatchObject({ prunedLegacy: [b], legacy: 'swept' });
});

test('what cannot be looked at counts as another daemon', async () => {
  const folder = install();
  for (const path of [folder, join(folder, 'run'), join(folder, 'plugins'), join(folder, 'plugins', 'me')]) {
    chmodSync(path, 0o755);
  }
  mkdirSync(join(folder, 'run', 'closed'), { mode: 0 });
  const closed = `${folder}/run/closed/rpc.sock`;
  expect(JSON.parse(await asOrdinaryUser(() => prune(folder))).legacy).toBe(
    `${skipped} (cannot inspect ${closed}: lstat ${closed}: permission denied); ${nobody}`,
  );
  chmodSync(join(folder, 'run', 'closed'), 0o755);
  await listen(closed);
  chmodSync(closed, 0o600);
  expect(JSON.parse(await asOrdinaryUser(() => prune(folder))).legacy).toBe(
    process.geteuid?.() === 0
      ? `${skipped} (cannot rule out run/closed/rpc.sock: dial unix ${closed}: connect: permission denied); ${nobody}`
      : `${skipped} (run/closed/rpc.sock answers); ${nobody}`,
  );
  chmodSync(join(folder, 'run'), 0o311);
  expect(JSON.parse(await asOrdinaryUser(() => prune(folder))).legacy).toBe(
    `${skipped} (cannot read ${folder}/run: open ${folder}/run: permission denied); ${nobody}`,
  );
  chmodSync(join(folder, 'run'), 0o755);
});

test('the folder of an install is no shared plug-in, even if its id looks like one', async () => {
  const folder = scratchFolder();
  mkdirSync(join(folder, 'run', a), { recursive: true });
  mkdirSync(join(folder, 'run', b), { recursive: true });
  for (const name of [a, b, c]) {
    plugin(join(folder, 'plugins'), name);
  }
  const outcome = JSON.parse(
    await callMethod(
      pluginsMethods,
      'plugins.prune',
      {},
      {
        platform,
        settings: { socketPath: join(folder, 'run', a, 'rpc.sock') },
        runningArguments: async () => [],
      },
    ),
  );
  expect(outcome).toMatchObject({ prunedLegacy: [c], legacy: 'swept' });
  expect(readdirSync(join(folder, 'plugins')).sort()).toEqual([a, b]);
});

test('a daemon of the next generation keeps what its children use, the others do not know the namespace', async () => {
  await using daemon = await startDaemon({ profile: 'next', socketName: 'me/rpc.sock' });
  await using client = await connectTo(daemon);
  const root = join(daemon.dir, 'plugins', 'me');
  for (const name of [a, b]) {
    plugin(root, name);
  }
  const p1 = await start(client, 'p1', 'sh', ['-c', 'read line', 'sh', `--plugin=${root}/${a}`]);
  expect(await client.request('plugins.prune', {})).toMatchObject({ root, pruned: [b], live: 1, legacy: 'swept' });
  await p1.write('\n');
  await p1.ended();
  expect(await client.request('plugins.prune')).toMatchObject({ pruned: [a], live: 0 });
  await expect(client.request('plugins.bogus', {})).rejects.toMatchObject({
    code: -32601,
    message: 'plugins.bogus: Unknown method: plugins.bogus',
  });
  for (const profile of ['S', 'current'] as const) {
    await using other = await startDaemon({ profile });
    await using stranger = await connectTo(other);
    await expect(stranger.request('plugins.prune', {})).rejects.toMatchObject({
      code: -32601,
      message: 'plugins.prune: Unknown namespace: plugins',
    });
  }
});
