/** The modes as a user of Windows meets them: from cmd.exe, from PowerShell's way of quoting, from another program. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { temporaryFolder } from '../platform/machine.ts';
import { removeFolder } from '../support/remove-folder.ts';
import { waitUntil } from '../support/wait.ts';
import { cleanEnvironment, type DaemonOptions, platform, runHoldfast, runProgram, WindowsDaemon } from './daemon.ts';

const shim = fileURLToPath(new URL('../../bin/holdfast.cmd', import.meta.url));
/** A mode is a Node under Wine, and some wait for ten seconds by design. */
const slowMs = 120_000;

async function prepareDaemon(options: DaemonOptions = {}): Promise<WindowsDaemon> {
  const daemon = new WindowsDaemon(options);
  onTestFinished(() => daemon.stop());
  return daemon;
}

async function startDaemon(options: DaemonOptions = {}): Promise<WindowsDaemon> {
  const daemon = await prepareDaemon(options);
  await daemon.start();
  return daemon;
}

const ping = (daemon: WindowsDaemon) => `{"jsonrpc":"2.0","id":1,"method":"server.ping","auth":"${daemon.token}"}\n`;
const pong = '{"jsonrpc":"2.0","id":1,"result":{"pong":true}}\n';

describe('-serve', () => {
  test(
    'comes back when the daemon accepts, prints nothing, and leaves what the page names',
    async () => {
      const daemon = await startDaemon();
      // Wine keeps the name of a file that is deleted while it is open; Windows does not (docs/windows.md).
      const names = readdirSync(daemon.runFolder).filter((name) => !name.startsWith('.spool-'));
      expect(names.sort()).toEqual(['daemon.token', 'remote-server.log', 'rpc.pipe']);
      expect(readFileSync(join(daemon.runFolder, 'rpc.pipe'), 'utf8')).toMatch(
        /^\\\\\.\\pipe\\claustrum-[0-9a-f]{16}$/,
      );
      expect(readFileSync(join(daemon.runFolder, 'daemon.token'), 'utf8')).toBe(daemon.token);
      expect(existsSync(daemon.tokenFile)).toBe(false);
      expect(daemon.log()).toContain(`Claustrum remote server listening on ${daemon.socketPath}\n`);
    },
    slowMs,
  );

  test(
    "says at once why it cannot start, the contract's text last",
    async () => {
      const daemon = await prepareDaemon();
      mkdirSync(daemon.runFolder);
      // Nothing can be renamed over a folder.
      mkdirSync(join(daemon.runFolder, 'rpc.pipe'));
      const { code, stdout, stderr } = await daemon.launch();
      expect([code, stdout]).toEqual([1, '']);
      expect(stderr).toMatch(/^\[Server\] named-pipe transport: /m);
      expect(stderr.trimEnd().split('\n').at(-1)).toBe(
        `claustrum: timeout waiting for daemon to accept on ${daemon.socketPath}`,
      );
    },
    slowMs,
  );

  test(
    'a second daemon takes over the path; the first goes on serving whom it has',
    async () => {
      const daemon = await startDaemon({ profile: 'current' });
      const first = await platform.transport.dial(daemon.socketPath);
      first.on('error', () => {});
      const old = readFileSync(join(daemon.runFolder, 'rpc.pipe'), 'utf8');
      await daemon.start();
      await waitUntil(
        () => readFileSync(join(daemon.runFolder, 'rpc.pipe'), 'utf8') !== old,
        'the second daemon to take over',
        { timeoutMs: 60_000 },
      );
      expect(readdirSync(daemon.runFolder)).not.toContain('daemon.lock');
      let answer = '';
      first.on('data', (bytes) => {
        answer += bytes.toString();
      });
      first.write(ping(daemon));
      await waitUntil(() => answer === pong || undefined, 'the first daemon to answer');
      // With its last client gone nothing leads to the first daemon any more, so it ends.
      first.destroy();
      await waitUntil(
        () => daemon.log().split('shutdown requested').length === 2 || undefined,
        'the first daemon to end',
      );
      expect(await daemon.answers()).toBe(true);
      expect(daemon.log()).toContain("[daemon] serve: not the run dir's lock holder;");
    },
    slowMs,
  );

  test(
    '-keep-children is refused in words where the profile does not know it',
    async () => {
      const daemon = await startDaemon({ flags: ['-keep-children'] });
      expect(daemon.log()).toContain(
        '[Server] -keep-children is not supported on Windows and is ignored: child processes',
      );
    },
    slowMs,
  );

  test(
    'children outlive a graceful end with -keep-children where the profile knows it',
    async () => {
      const daemon = await startDaemon({ profile: 'next', flags: ['-keep-children'] });
      const client = await platform.transport.dial(daemon.socketPath);
      client.on('error', () => {});
      let text = '';
      client.on('data', (bytes) => {
        text += bytes.toString();
      });
      const params = {
        id: 'p',
        command: process.execPath,
        args: ['-e', 'setInterval(() => {}, 60_000)'],
        wantPid: true,
      };
      client.write(
        `${JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'process.spawn', params, auth: daemon.token })}\n`,
      );
      const pid = await waitUntil(() => /"pid":(\d+)/.exec(text)?.[1], 'the pid');
      expect(
        (await runHoldfast(['-stop', '-socket', daemon.socketPath, '-wire-profile', 'next'], { env: daemon.env }))
          .stdout,
      ).toBe('stopped\n');
      await waitUntil(() => !existsSync(join(daemon.runFolder, 'rpc.pipe')) || undefined, 'the daemon to end');
      const child = platform.processes.identify(Number(pid));
      expect(child).toBeDefined();
      if (child !== undefined) {
        platform.processes.signalIfSame(child, 'KILL');
      }
    },
    slowMs,
  );
});

describe('-bridge', () => {
  test(
    'carries every byte both ways unchanged',
    async () => {
      const daemon = await startDaemon();
      // All bytes that a text mode would touch: CR, LF, Ctrl+Z, NUL, and none of UTF-8.
      const odd = Buffer.from([0x0d, 0x1a, 0x00, 0x0d, 0xff, 0x0a]);
      const input = Buffer.concat([Buffer.from(ping(daemon)), odd, Buffer.from(ping(daemon))]);
      const { code, stdout, stderr } = await runHoldfast(['-bridge', '-socket', daemon.socketPath], {
        env: daemon.env,
        input,
      });
      expect([code, stderr]).toEqual([0, '']);
      const lines = stdout.split('\n');
      expect([lines[0], lines[2], lines[3]]).toEqual([pong.trim(), pong.trim(), '']);
      expect(lines[1]).toContain('"code":-32700');
    },
    slowMs,
  );

  test(
    "fails with the contract's words where nobody serves",
    async () => {
      const folder = temporaryFolder();
      const socketPath = join(folder, 'rpc.sock');
      const { code, stdout, stderr } = await runHoldfast(['-bridge', '-socket', socketPath], {
        env: cleanEnvironment(folder),
        input: '',
      });
      expect([code, stdout]).toEqual([1, '']);
      expect(stderr).toBe(
        `claustrum: dial server: dial pipe ${join(folder, 'rpc.pipe')}: The system cannot find the file specified.\n`,
      );
    },
    slowMs,
  );
});

describe('-stop', () => {
  test(
    'ends the daemon, which removes what it had published',
    async () => {
      const daemon = await startDaemon({ profile: 'next' });
      const stop = ['-stop', '-socket', daemon.socketPath, '-wire-profile', 'next'];
      expect(await runHoldfast(stop, { env: daemon.env })).toEqual({ code: 0, stdout: 'stopped\n', stderr: '' });
      await waitUntil(() => !existsSync(join(daemon.runFolder, 'rpc.pipe')) || undefined, 'the daemon to end');
      expect(readdirSync(daemon.runFolder)).toEqual(['remote-server.log']);
      expect(await runHoldfast(stop, { env: daemon.env })).toEqual({ code: 0, stdout: 'none\n', stderr: '' });
    },
    slowMs,
  );
});

describe('bin\\holdfast.cmd', () => {
  test(
    'works from cmd.exe, with spaces in every path and without a single quoting trick',
    async () => {
      const daemon = await prepareDaemon();
      const folder = join(dirname(daemon.folder), `two words ${process.pid}`);
      mkdirSync(folder, { recursive: true });
      onTestFinished(() => removeFolder(folder));
      const socketPath = join(folder, 'run folder', 'rpc.sock');
      const tokenFile = join(folder, 'the token');
      writeFileSync(tokenFile, daemon.token);
      const script = join(folder, 'session.cmd');
      writeFileSync(
        script,
        [
          '@echo off',
          `call "${shim}" -version`,
          `call "${shim}" -serve -socket "${socketPath}" -token-file "${tokenFile}"`,
          'echo serve %errorlevel%',
          `call "${shim}" -stop -socket "${socketPath}" -wire-profile next`,
          'echo stop %errorlevel%',
          `call "${shim}" -no-such-flag 2>nul`,
          'echo wrong %errorlevel%',
          '',
        ].join('\r\n'),
      );
      const { stdout } = await runProgram('cmd.exe', ['/d', '/c', script], { env: daemon.env });
      expect(stdout.replaceAll('\r', '').split('\n')).toEqual([
        expect.stringMatching(/^claustrum .* \(built .*\)$/),
        'serve 0',
        'stopped',
        'stop 0',
        // 2 on Windows; Wine's `call` makes every failure a 1.
        expect.stringMatching(/^wrong [12]$/),
        '',
      ]);
    },
    slowMs,
  );

  test(
    'keeps what steers Node away from the daemon and gives it back to the children',
    async () => {
      const daemon = await prepareDaemon();
      const folder = temporaryFolder();
      const probe = join(folder, 'probe.cjs');
      const proof = join(folder, 'loaded');
      writeFileSync(probe, `require('node:fs').appendFileSync(${JSON.stringify(proof)}, 'x');`);
      const env = { ...daemon.env, NODE_OPTIONS: `--require ${probe.replaceAll('\\', '/')}` };
      const { stdout } = await runProgram('cmd.exe', ['/d', '/c', shim, '-version'], { env });
      expect(stdout).toMatch(/^claustrum /);
      expect(existsSync(proof)).toBe(false);
    },
    slowMs,
  );
});
