/** Threat 2: another user swaps the run directory for a link while `-serve` starts. Nothing outside is touched. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { prepareDaemon } from '../support/daemon.ts';
import { installed, root, testNeeding } from '../support/needs.ts';
import { byLength, limitMs } from './support/length.ts';

const stranger = 61_018;
const starts = byLength(12, 200);

/** Every name a daemon writes, with content of ours. */
function makeVictim(folder: string): void {
  mkdirSync(folder, { mode: 0o755 });
  for (const name of [
    'rpc.sock',
    'daemon.token',
    'daemon.lock',
    'remote-server.log',
    'remote-server.log.old',
    'rpc.pipe',
  ]) {
    writeFileSync(join(folder, name), `precious ${name}`, { mode: 0o644 });
  }
}

function fingerprint(folder: string): unknown {
  return readdirSync(folder)
    .sort()
    .map((name) => {
      const { mode, ino, size, mtimeMs } = lstatSync(join(folder, name));
      return [name, mode, ino, size, mtimeMs, readFileSync(join(folder, name), 'utf8')];
    });
}

testNeeding(root, installed('setpriv', 'util-linux'))(
  'a run directory that another user swaps for a link is refused, and nothing behind the link changes',
  { timeout: limitMs(60) },
  async () => {
    await using daemon = await prepareDaemon();
    const victim = join(daemon.dir, 'victim');
    makeVictim(victim);
    const before = fingerprint(victim);
    const theirs = join(daemon.dir, 'theirs');
    mkdirSync(theirs);
    chownSync(theirs, stranger, stranger);
    for (const folder of [daemon.dir, theirs]) {
      chmodSync(folder, 0o755);
    }
    const flip = 'while :; do mkdir run; rmdir run; rm -rf run; ln -s "$1" run; rm -f run; done 2>&-';
    const words = [
      `--reuid=${stranger}`,
      `--regid=${stranger}`,
      '--clear-groups',
      'sh',
      '-c',
      `cd "$0" && ${flip}`,
      theirs,
      victim,
    ];
    const racer = spawn('setpriv', words, { stdio: 'ignore' });
    try {
      for (let round = 0; round < starts; round++) {
        const socket = join(theirs, 'run', 'rpc.sock');
        const { code, stderr } = await daemon.run(['-serve', '-socket', socket, '-token-file', '/none/token']);
        expect(code).toBe(1);
        expect(stderr).toMatch(/^(holdfast|claustrum): /);
      }
    } finally {
      racer.kill('SIGKILL');
      await once(racer, 'exit');
    }
    expect(fingerprint(victim)).toEqual(before);
  },
);

testNeeding(root)('a link that another user has put into a shared folder is not followed', {}, async () => {
  await using daemon = await prepareDaemon();
  const victim = join(daemon.dir, 'victim');
  makeVictim(victim);
  const before = fingerprint(victim);
  const shared = join(daemon.dir, 'shared');
  mkdirSync(shared);
  chmodSync(shared, 0o1777);
  symlinkSync(victim, join(shared, 'run'));
  lchownSync(join(shared, 'run'), stranger, stranger);
  const { code, stderr } = await daemon.run([
    '-serve',
    '-socket',
    join(shared, 'run', 'rpc.sock'),
    '-token-file',
    '/none',
  ]);
  expect(stderr).toContain(
    `holdfast: ${join(shared, 'run')} belongs to user ${stranger}, not to user 0; choose a -socket path`,
  );
  expect(stderr).toMatch(/bind: permission denied\n/);
  expect(code).toBe(1);
  expect(fingerprint(victim)).toEqual(before);
});
