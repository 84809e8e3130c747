/** Fault table: the disk is full for the log (and the token, and the lock). Serving goes on, and the log goes on when it can. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { prepareDaemon, startDaemon, type TestDaemon } from '../support/daemon.ts';
import { fixture } from '../support/fixtures.ts';
import { connectTo, start } from '../support/host.ts';
import * as needs from '../support/needs.ts';
import { connectRaw, type Endpoint } from '../tools/raw-connection.ts';
import { limitMs } from './support/length.ts';
import { WatchedRun } from './support/watched-run.ts';

const test = needs.testNeeding(needs.linux, needs.privateMounts());

/** A run directory on a disk of its own, 64 KiB large; more words come before the program. */
function onSmallDisk(prepare = 'true'): string[] {
  const script = `mkdir -p -m 700 run && mount -t tmpfs -o size=64k,mode=700 none run && { ${prepare}; } && exec "$@"`;
  return ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, 'sh'];
}

/** The run directory as the daemon sees it: its disk is mounted for nobody else. */
function inside(daemon: TestDaemon, name: string): string {
  return join('/proc', String(daemon.pid()), 'root', daemon.runDir, name);
}

function endpoint(daemon: TestDaemon): Endpoint {
  return { socket: inside(daemon, 'rpc.sock'), token: daemon.token };
}

const fillUp = 'head -c 1000000 /dev/zero >run/filler 2>/dev/null || true';

describe.each(['S', 'current'] as const)('profile %s', (profile) => {
  test('a disk that fills up under a running daemon costs lines of the log and nothing else', {
    timeout: limitMs(60),
  }, async () => {
    await using daemon = await startDaemon({ profile, through: onSmallDisk() });
    using run = new WatchedRun(daemon.dir);
    await using client = await connectRaw(endpoint(daemon), { observer: run.observer });
    await client.spawn('echo', ...fixture('echo-lines.ts', ...run.child('echo')));
    expect(() => writeFileSync(inside(daemon, 'filler'), Buffer.alloc(1_000_000))).toThrow('ENOSPC');
    const before = readFileSync(inside(daemon, 'remote-server.log'), 'utf8');

    let offset = 0;
    for (let round = 0; round < 100; round++) {
      // Each of these writes lines to the log.
      await using visitor = await connectTo(endpoint(daemon));
      await (await start(visitor, `visitor-${round}`, 'true')).ended();
      await client.stdin('echo', `line ${round}\n`, offset);
      offset += `line ${round}\n`.length;
    }
    await client.waitFor(() => client.stream('echo').bytes.stdout === offset, 'every line to come back');
    const during = readFileSync(inside(daemon, 'remote-server.log'), 'utf8');
    // Less than a page more went in, though a hundred visits are ten times that.
    expect(during.startsWith(before)).toBe(true);
    expect(during.length - before.length).toBeLessThan(4096);

    rmSync(inside(daemon, 'filler'));
    await client.spawn('after', 'true');
    await client.exitOf('after');
    await client.kill('echo');
    await client.exitOf('echo');
    const lines = readFileSync(inside(daemon, 'remote-server.log'), 'utf8').split('\n');
    // The line that was cut by the full disk is not continued by the next one.
    expect(lines.some((line) => /^\d{4}\/\S+ \S+ INFO {2}\[process.Manager\] Process after started/.test(line))).toBe(
      true,
    );
    run.completeWithInput('echo');
    run.verify();
    await stop(daemon);
  });

  test('a start on a full disk serves without what it cannot write', {
    timeout: limitMs(60),
  }, async () => {
    await using daemon = await prepareDaemon({ profile, through: onSmallDisk(fillUp) });
    await daemon.start();
    expect(readFileSync(inside(daemon, 'remote-server.log')).length).toBe(0);
    await using host = await connectTo(endpoint(daemon));
    await (await start(host, 'p', 'echo', ['served'])).until('served');
    // Neither half a token nor a temporary file.
    const files = readdirSync(inside(daemon, '.'));
    expect(files.filter((name) => name.startsWith('daemon.token'))).toEqual([]);
    expect(existsSync(inside(daemon, 'rpc.sock'))).toBe(true);
    await stop(daemon);
  });

  test('a limit on the size of files costs lines of the log and nothing else', { timeout: limitMs(60) }, async () => {
    await using daemon = await startDaemon({ profile });
    await using host = await connectTo(daemon);
    const cat = await start(host, 'cat', 'cat');
    const size = readFileSync(join(daemon.runDir, 'remote-server.log')).length + 10;
    execFileSync('prlimit', ['--pid', String(daemon.pid()), `--fsize=${size}:`]);
    const pid = daemon.pid();
    for (let round = 0; round < 20; round++) {
      await using visitor = await connectTo(daemon);
      await visitor.server.ping();
    }
    expect(readFileSync(join(daemon.runDir, 'remote-server.log')).length).toBe(size);
    await cat.write('still here\n');
    await cat.until('still here\n');
    expect(daemon.pid()).toBe(pid);
    // Children are under the limit too, and it treats them as it treats any program.
    const large = await start(host, 'large', 'sh', ['-c', `head -c 1000000 /dev/zero >${join(daemon.dir, 'large')}`]);
    expect((await large.ended()).code).not.toBe(0);
    expect(large.stderr).toMatch(/File size limit exceeded|File too large/);
  });
});

/** `server.shutdown` through the daemon's own view of its folder. */
async function stop(daemon: TestDaemon): Promise<void> {
  await using host = await connectTo(endpoint(daemon));
  host.server.shutdown().catch(() => {});
  await expect.poll(() => daemon.daemons()).toEqual([]);
}
