/** Threat 2: a run directory in a folder that others may write to. What they can rename or replace is not used, and nothing is made there. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { becoming, otherUsers } from '../support/as-user.ts';
import { prepareDaemon, type TestDaemon } from '../support/daemon.ts';
import { connectTo } from '../support/host.ts';
import { root, testNeeding } from '../support/needs.ts';
import { byLength, limitMs } from './support/length.ts';

const stranger = 61_019;
const nobody = 65_534;
const starts = byLength(10, 2_000);

/** A folder of ours with files of every name that a daemon writes; nobody may change anything in it. */
function makeVictim(daemon: TestDaemon): string {
  const victim = join(daemon.dir, 'victim');
  mkdirSync(victim, { mode: 0o755 });
  for (const name of [
    'rpc.sock',
    'daemon.token',
    'daemon.lock',
    'remote-server.log',
    'remote-server.log.old',
    'rpc.pipe',
  ]) {
    writeFileSync(join(victim, name), `precious ${name}`);
  }
  chmodSync(daemon.dir, 0o755);
  return victim;
}

function fingerprint(folder: string): string[] {
  return readdirSync(folder)
    .concat('.')
    .map((name) => {
      const { mode, uid, ino, mtimeMs } = lstatSync(join(folder, name));
      return `${name} ${mode.toString(8)} ${uid} ${ino} ${mtimeMs}`;
    });
}

function serveIn(daemon: TestDaemon, folder: string): Promise<{ code: number | null; stderr: string }> {
  return daemon.run(['-serve', '-socket', join(folder, 'rpc.sock'), '-token-file', '/none/token']);
}

testNeeding(otherUsers())(
  'a folder whose group may swap what is in it is refused by name, however fast they swap',
  { timeout: limitMs(60) },
  async () => {
    await using daemon = await prepareDaemon();
    const victim = makeVictim(daemon);
    const before = fingerprint(victim);
    const shared = join(daemon.dir, 'shared');
    const runDir = join(shared, 'run');
    mkdirSync(runDir, { recursive: true, mode: 0o700 });
    chownSync(shared, 0, stranger);
    chmodSync(shared, 0o770);
    expect(await serveIn(daemon, runDir)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(
        `holdfast: ${shared} is writable by group ${stranger}, which others may be in, and has no sticky bit; chmod g-w ${shared}, or choose`,
      ),
    });

    const script = fileURLToPath(new URL('../fixtures/swap-for-link.ts', import.meta.url));
    const [setpriv = '', ...words] = [...becoming(stranger), process.execPath, script, runDir, victim];
    const racer = spawn(setpriv, words, {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      await once(racer.stdout, 'data');
      for (let start = 0; start < starts; start++) {
        expect(await serveIn(daemon, runDir)).toMatchObject({
          code: 1,
          stderr: expect.stringMatching(/^(holdfast|claustrum): /),
        });
      }
    } finally {
      racer.kill('SIGKILL');
      await once(racer, 'exit');
    }
    expect(fingerprint(victim)).toEqual(before);
    expect(readdirSync(shared).filter((name) => !/^run(\.aside)?$/.test(name))).toEqual([]);
  },
);

testNeeding(root)('no folder is made behind a link that another user has put on the way', {}, async () => {
  await using daemon = await prepareDaemon();
  const victim = makeVictim(daemon);
  const before = fingerprint(victim);
  const shared = join(daemon.dir, 'shared');
  mkdirSync(shared);
  chmodSync(shared, 0o1777);
  const link = join(shared, 'link');
  symlinkSync(victim, link);
  lchownSync(link, stranger, stranger);
  for (const folder of [join(link, 'run'), join(link, 'deep', 'run')]) {
    expect(await serveIn(daemon, folder)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(
        `holdfast: ${link} belongs to user ${stranger}, not to user 0; choose a -socket path`,
      ),
    });
  }
  expect(fingerprint(victim)).toEqual(before);
});

test('what lies behind a link of one’s own is judged as well: others could put another folder there', async () => {
  await using daemon = await prepareDaemon();
  const open = join(daemon.dir, 'open');
  mkdirSync(join(open, 'inner', 'run'), { recursive: true, mode: 0o700 });
  chmodSync(open, 0o777);
  const link = join(daemon.dir, 'link');
  // By way of a second link, so that the whole chain is followed.
  symlinkSync(join(open, 'inner'), join(daemon.dir, 'second'));
  symlinkSync('second', link);
  for (const folder of [join(link, 'run'), join(link, 'new')]) {
    expect(await serveIn(daemon, folder)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`holdfast: ${open} is writable by everyone and has no sticky bit`),
    });
  }
  expect(readdirSync(join(open, 'inner'))).toEqual(['run']);
  expect(readdirSync(join(open, 'inner', 'run'))).toEqual([]);
});

testNeeding(root)('a folder of the user nobody is as foreign as that of any other user', {}, async () => {
  await using daemon = await prepareDaemon();
  const theirs = join(daemon.dir, 'theirs');
  mkdirSync(theirs);
  chownSync(theirs, nobody, nobody);
  expect(await serveIn(daemon, theirs)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining(
      `holdfast: ${theirs} belongs to user ${nobody}, not to user 0; choose a -socket path`,
    ),
  });
  expect(readdirSync(theirs)).toEqual([]);
});

testNeeding(root)(
  'a folder that only a group of our own may write to is served, and so is one with the sticky bit',
  {},
  async () => {
    for (const [mode, group] of [
      [0o775, 0],
      [0o1777, stranger],
    ] as const) {
      await using daemon = await prepareDaemon();
      chownSync(daemon.dir, 0, group);
      chmodSync(daemon.dir, mode);
      await daemon.start();
      await using client = await connectTo(daemon);
      expect(await client.server.ping()).toEqual({ pong: true });
    }
  },
);
