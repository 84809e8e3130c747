/**
 * `holdfast upgrade` where systemd keeps the daemon. systemd itself is no program that a test can run, so a script stands in
 * its place: it reads the real unit, and starts and stops what that says in a real cgroup of the unit's name.
 */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { connect } from '../../src/client/index.ts';
import { prepareDaemon, type TestDaemon } from '../support/daemon.ts';
import type { RunResult } from '../support/holdfast.ts';
import { linux, testNeeding } from '../support/needs.ts';
import { expectSchema } from '../support/schemas.ts';
import { UnitCgroup, unitCgroups } from '../support/unit-cgroup.ts';
import { waitUntil } from '../support/wait.ts';

const unit = 'holdfast.service';

/** `systemctl --user` of the test's home, in the PATH of `daemon`. @returns what tells how it was called */
function standIn(
  daemon: TestDaemon,
  cgroup: UnitCgroup,
): { readonly calls: () => string[]; refuse(words: string): void } {
  const [bin, calls, refusal] = ['bin', 'calls', 'refusal'].map((name) => join(daemon.dir, name)) as [
    string,
    string,
    string,
  ];
  mkdirSync(bin);
  for (const file of [calls, refusal]) {
    writeFileSync(file, '');
  }
  writeFileSync(
    join(bin, 'systemctl'),
    `#!/bin/bash
shift # --user
echo "$*" >>'${calls}'
[ ! -s '${refusal}' ] || { cat '${refusal}' >&2; exit 1; }
serving() { for pid in $(cat '${cgroup.path}/cgroup.procs'); do
  tr '\\0' ' ' </proc/$pid/cmdline 2>/dev/null | grep -q -- ' -serve ' && echo $pid; done; }
if [ "$1" = restart ]; then # KillMode=process: the main process alone.
  for pid in $(serving); do kill $pid; while kill -0 $pid 2>/dev/null; do sleep 0.02; done; done
fi
case $1 in start | restart)
  [ -z "$(serving)" ] || exit 0
  command=$(sed -n 's/^ExecStart=//p' '${daemon.home}/.config/systemd/user/${unit}')
  echo $$ >'${cgroup.path}/cgroup.procs'
  eval "exec $command"
esac
`,
  );
  chmodSync(join(bin, 'systemctl'), 0o755);
  daemon.env.PATH = `${bin}:${daemon.env.PATH}`;
  return {
    calls: () => readFileSync(calls, 'utf8').trim().split('\n'),
    refuse: (words) => writeFileSync(refusal, words),
  };
}

const upgrade = (daemon: TestDaemon, ...words: readonly string[]): Promise<RunResult> =>
  daemon.run(['upgrade', '--socket', daemon.socket, ...words]);
const daemonOf = ({ stdout }: RunResult): Record<string, unknown> =>
  (expectSchema('upgrade', stdout) as { daemon: Record<string, unknown> }).daemon;

testNeeding(linux, unitCgroups())(
  'a daemon that systemd keeps is started anew by systemd: one daemon, its unit’s, and a stream that goes on',
  { timeout: 120_000 },
  async () => {
    await using cgroup = new UnitCgroup(unit);
    await using daemon = await prepareDaemon();
    const systemd = standIn(daemon, cgroup);
    const installed = await daemon.run(['service', 'install', '--', '-socket', daemon.socket, '-durable']);
    expect(installed).toMatchObject({ code: 0, stderr: '' });
    expect(cgroup.pids()).toContain(daemon.pid());

    await using client = await connect({ socket: daemon.socket });
    const job = await client.spawn({ command: 'sh', args: ['-c', 'echo before; read line; echo "$line"; exit 4'] });
    let text = '';
    const read = (async () => {
      for await (const chunk of job.stdout) {
        text += chunk.toString();
      }
    })();
    await waitUntil(() => text === 'before\n' || undefined, 'the first line');
    const first = daemon.pid();
    const other = await upgrade(daemon, '--restart', '--json', '--', '-max-sessions', '7');
    expect(other).toMatchObject({ code: 5, stderr: '' });
    expect(daemonOf(other)).toMatchObject({
      state: 'left',
      reason: expect.stringMatching(
        /^systemd keeps it with the flags of \S+\/holdfast\.service; change them there: holdfast service install -- <flags>$/,
      ),
    });

    const done = await upgrade(daemon, '--restart', '--json', '--', '-durable');
    expect(done).toMatchObject({ code: 0, stderr: '' });
    expect(daemonOf(done)).toMatchObject({ state: 'replaced', by: 'systemd', durable: true, sessions: 1 });
    expect(systemd.calls().at(-1)).toBe(`restart ${unit}`);
    await job.write('after\n');
    expect(await job.exit).toMatchObject({ code: 4 });
    await read;
    expect(text).toBe('before\nafter\n');
    // The only one of this socket.
    expect(daemon.pid()).not.toBe(first);
    expect(cgroup.pids()).toContain(daemon.pid());
    expect((await upgrade(daemon, '--restart')).stdout).toMatch(
      /: replaced by systemd, pid \d+, durable, 0 sessions run\n/,
    );

    systemd.refuse('Failed to connect to bus: No medium found\n');
    const last = daemon.pid();
    const left = await upgrade(daemon, '--restart');
    expect(left.code).toBe(5);
    expect(left.stdout).toMatch(
      /left as it is, .*: systemd keeps it, and did not start it anew: Failed to connect to bus: No medium found\n$/,
    );
    expect(daemon.pid()).toBe(last);
  },
);

testNeeding(linux, unitCgroups())(
  'where a service is installed and no daemon runs, systemd starts it; one that a client has started is not systemd’s',
  { timeout: 120_000 },
  async () => {
    await using cgroup = new UnitCgroup(unit);
    await using daemon = await prepareDaemon();
    const systemd = standIn(daemon, cgroup);
    await daemon.run(['service', 'install', '--', '-socket', daemon.socket]);
    expect(await daemon.run(['-stop', '-socket', daemon.socket])).toMatchObject({ code: 0 });
    await waitUntil(() => daemon.daemons().length === 0 || undefined, 'the daemon to end');
    expect((await upgrade(daemon, '--start')).stdout).toMatch(/: started by systemd, pid \d+/);
    expect(systemd.calls().at(-1)).toBe(`start ${unit}`);
    expect(cgroup.pids()).toContain(daemon.pid());

    // It takes the socket over, and the one of the service ends.
    await daemon.start();
    await waitUntil(() => cgroup.pids().length === 0 || undefined, 'the daemon of the service to end');
    const calls = systemd.calls().length;
    // A token that a client keeps to itself would be in the way.
    expect((await upgrade(daemon, '--restart')).stdout).toMatch(/: replaced, pid \d+, not durable/);
    expect(systemd.calls()).toHaveLength(calls);
    expect(cgroup.pids()).not.toContain(daemon.pid());
  },
);
