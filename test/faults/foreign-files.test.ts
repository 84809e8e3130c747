/** A lock or records of another user in the run directory are warned about and not used (spec modes.md §7). */
import { spawn } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished } from 'vitest';
import { createPlatform } from '../../platform/posix/index.ts';
import { becoming, otherUsers } from '../support/as-user.ts';
import { prepareDaemon, startDaemon, type TestDaemon } from '../support/daemon.ts';
import { installed, root, testNeeding } from '../support/needs.ts';
import { isRunning, type ProcessFacts, processFacts } from '../support/processes.ts';
import { waitUntil } from '../support/wait.ts';
import { connectRaw } from '../tools/raw-connection.ts';

const stranger = 61_022;
const user = 61_023;
const { node = '' } = createPlatform().processes.self();

/** Puts a lock file of another user in place, with a record that names a bystander, and has that user hold it. */
async function foreignLock(daemon: TestDaemon): Promise<{ readonly path: string; readonly bystander: ProcessFacts }> {
  const path = join(daemon.runDir, 'daemon.lock');
  const sleeper = spawn('sleep', ['600'], { stdio: 'ignore', detached: true });
  onTestFinished(() => void sleeper.kill('SIGKILL'));
  const bystander = await waitUntil(() => processFacts(sleeper.pid ?? 0), 'the bystander');
  mkdirSync(daemon.runDir, { mode: 0o700 });
  writeFileSync(path, JSON.stringify({ pid: sleeper.pid, role: 'serve', node }), { mode: 0o600 });
  chownSync(path, stranger, stranger);
  const holder = spawn('flock', ['-x', path, 'sh', '-c', 'echo held; exec sleep 600'], { stdio: 'pipe' });
  onTestFinished(() => void holder.kill('SIGKILL'));
  await new Promise((resolve) => holder.stdout.once('data', resolve));
  return { path, bystander };
}

async function serves(daemon: TestDaemon): Promise<void> {
  await using client = await connectRaw(daemon);
  await client.spawn('p', 'cat');
  await client.stdin('p', 'served\n');
  await client.untilOutput('p', 'served');
  // No stack trace, whatever is in the way.
  expect(daemon.log()).not.toMatch(/^\s+at .*:\d+/m);
}

describe.each(['current', 'next'] as const)('profile %s', (profile) => {
  testNeeding(root, installed('flock', 'util-linux'))(
    'a lock that another user holds keeps no daemon from serving, and nobody it names is signalled',
    {},
    async () => {
      await using daemon = await prepareDaemon({ profile });
      const { path, bystander } = await foreignLock(daemon);
      await daemon.start();
      await serves(daemon);
      expect(daemon.log()).toContain(
        `WARN  [daemon] serve: WARNING ${path} belongs to user ${stranger}, not to user 0, and is not used; remove it\n`,
      );
      expect(daemon.log()).not.toContain('sending SIG');
      expect(isRunning(bystander)).toBe(true);
    },
  );

  testNeeding(otherUsers(), installed('setpriv', 'util-linux'))(
    'a plain user is told whose lock and records lie in the run directory, and is served',
    {},
    async () => {
      const script = [
        `chown -R ${user}:${user} . && umask 077 && mkdir run && chown ${user} run`,
        `echo '{"pid":1,"role":"serve"}' >run/daemon.lock && mkdir run/children`,
        `chown ${stranger} run/daemon.lock run/children && exec "$@"`,
      ].join(' && ');
      const through = ['sh', '-c', script, 'sh', ...becoming(user)];
      await using daemon = await prepareDaemon({ profile, through });
      await daemon.start();
      await serves(daemon);
      expect(daemon.log()).toContain(
        `serve: WARNING ${daemon.runDir}/daemon.lock belongs to user ${stranger}, not to user ${user}, and is not used; remove it\n`,
      );
    },
  );
});

describe('profile next', () => {
  testNeeding(root)('-stop says whose lock it did not use, and signals nobody', {}, async () => {
    await using daemon = await prepareDaemon({ profile: 'next' });
    const { path, bystander } = await foreignLock(daemon);
    const { code, stdout, stderr } = await daemon.run(['-stop', '-wire-profile', 'next', '-socket', daemon.socket]);
    expect([code, stdout]).toEqual([0, 'none\n']);
    expect(stderr).toContain(`stop: WARNING ${path} belongs to user ${stranger}, not to user 0, and is not used;`);
    expect(isRunning(bystander)).toBe(true);
  });

  testNeeding(root)('records in a folder of another user end nobody, and none of ours go there', {}, async () => {
    await using daemon = await startDaemon({ profile: 'next' });
    const child = await childOf(daemon);
    await daemon.kill();
    const folder = join(daemon.runDir, 'children');
    chownSync(folder, stranger, stranger);
    await daemon.start();
    await serves(daemon);
    const refusal = `WARN  [process.Registry] ${folder} belongs to user ${stranger}, not to user 0; remove it;`;
    expect(daemon.log()).toContain(`${refusal} reaping nothing\n`);
    expect(daemon.log()).toContain(`${refusal} recording nothing\n`);
    expect(isRunning(child)).toBe(true);
    expect(readdirSync(folder)).toEqual([`${child.pid}.json`]);
  });

  testNeeding(root)('a folder of records that everybody can write is not used either', {}, async () => {
    await using daemon = await startDaemon({ profile: 'next' });
    const child = await childOf(daemon);
    await daemon.kill();
    const folder = join(daemon.runDir, 'children');
    chmodSync(folder, 0o777);
    await daemon.start();
    await serves(daemon);
    expect(daemon.log()).toContain(
      `${folder} is writable by everyone and has no sticky bit; chmod o-w ${folder}, or remove it; reaping nothing`,
    );
    expect(isRunning(child)).toBe(true);
  });

  testNeeding(root)('a record that another user has written ends nobody', {}, async () => {
    await using daemon = await startDaemon({ profile: 'next' });
    const child = await childOf(daemon);
    await daemon.kill();
    const record = join(daemon.runDir, 'children', `${child.pid}.json`);
    chownSync(record, stranger, stranger);
    await daemon.start();
    await serves(daemon);
    expect(daemon.log()).toContain(
      `record ${child.pid}.json: it is no record of a child; dropping it, signalling nothing`,
    );
    expect(isRunning(child)).toBe(true);
  });
});

/** A child that outlives its daemon. */
async function childOf(daemon: TestDaemon): Promise<ProcessFacts> {
  await using client = await connectRaw(daemon);
  const { pid } = await client.spawn('orphan', 'sleep', ['1000'], { wantPid: true });
  return processFacts(pid) as ProcessFacts;
}
